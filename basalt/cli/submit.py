"""What ``basalt submit`` does: verify a folder or bundle of recordings, and register it."""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from basalt.cli.leaderboard import add_store_argument
from basalt.core.recording import find_recordings
from basalt.io.errors import ConfigError, RecordingError, StudyError
from leaderboard.store.database import Store, default_store, open_existing, open_store
from leaderboard.studies.rules import (
    OFFICIAL,
    StudyInfo,
    StudyRules,
    find_study,
    official_study,
)
from leaderboard.studies.settings import open_official
from leaderboard.submissions.bundle import About, unpack_bundle, write_bundle
from leaderboard.submissions.legacy_episodes import PlainOrigin, convert_plain, is_plain
from leaderboard.submissions.register import (
    CheckedRecording,
    SubmissionError,
    check_submission,
    submit_recordings,
)

TOLERANCE = 0.5
"""Nodes by which a replay may stray from a recording's positions and still confirm it."""


@dataclass(frozen=True)
class Prepared:
    """Recordings ready to be checked, and what their bundle says of their agent."""

    folder: Path
    about: About | None


def submit_main(argv: list[str]) -> int:
    """``basalt submit DIR|BUNDLE [--name NAME] [--study S] [--check | --pack FILE] [--replay K]``."""
    options = _parser().parse_args(argv)
    with _prepared(options) as given:
        if options.check or options.pack:
            return _check_only(options, given)
        about = _about(options, given)
        name = options.name or (given.about.agent if given.about else None)
        try:
            verified = _confirmed(options, given.folder, name)
            store, study = _entered(options, given.folder)
            done = submit_recordings(
                store, study, given.folder, name, about=about, verified=verified
            )
        except SubmissionError as err:
            # By the name that the user gave, not that of the unpacked copy.
            raise SubmissionError(options.source, err.study, err.faults) from err
    print(f"registered {done.agent!r} in study {done.study!r}: {done.episodes} episodes")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="basalt submit",
        description="Verify a folder or bundle of recordings against a study's rules and register it. "
        "A folder holds recordings of ours (NAME.mp4, .jsonl, .json), or the original benchmark's "
        "(TASK/seed_N.mp4 with or without .jsonl).",
    )
    parser.add_argument("source", metavar="DIR|BUNDLE", type=Path)
    parser.add_argument("--name", help="the agent's name in the table (default: as recorded)")
    parser.add_argument(
        "--study",
        help=f"name of the study (default: the newest; {OFFICIAL!r}: the 11 official seeds of each "
        "task in the recordings' world, made if need be)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check",
        action="store_true",
        help="verify only; without --study by the official study's rules",
    )
    what.add_argument(
        "--pack", metavar="FILE", type=Path, help="verify, and write a bundle to send elsewhere"
    )
    parser.add_argument(
        "--replay",
        type=int,
        default=0,
        metavar="K",
        help="replay K random episodes in their world and compare positions",
    )
    parser.add_argument(
        "--random-seed", type=int, metavar="N", help="of the choice of episodes to replay"
    )
    about = parser.add_argument_group("what the bundle says of the agent")
    about.add_argument("--agent-version", default="", metavar="V")
    about.add_argument("--author", action="append", default=[], metavar="NAME", help="repeatable")
    about.add_argument("--description", default="", metavar="TEXT")
    about.add_argument("--training-data", default="", metavar="TEXT")
    plain = parser.add_argument_group("of the original benchmark's files, which do not say it")
    plain.add_argument("--task", help="task of all of them (default: by the folders' names)")
    plain.add_argument("--world", default="minerl", help="default: %(default)s")
    plain.add_argument("--world-version", default="1.0", metavar="V", help="default: %(default)s")
    add_store_argument(parser)
    return parser


@contextmanager
def _prepared(options: argparse.Namespace) -> Iterator[Prepared]:
    """The recordings in a folder: as they are, unpacked or converted; what was made is removed again."""
    source: Path = options.source
    if options.replay < 0:
        raise ConfigError("--replay: a number of episodes")
    if source.is_dir() and not is_plain(source):
        yield Prepared(source, None)
        return
    if not source.exists():
        raise StudyError(f"{source}: no such folder or bundle of recordings")
    scratch = Path(tempfile.mkdtemp(prefix="basalt-submit-"))
    try:
        if source.is_dir():
            origin = PlainOrigin(
                options.name or source.name, options.world, options.world_version, options.task
            )
            faults = convert_plain(source, scratch, origin)
            if faults:
                raise SubmissionError(source, options.study or OFFICIAL, faults)
            yield Prepared(scratch, None)
        else:
            yield Prepared(scratch, unpack_bundle(source, scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _confirmed(options: argparse.Namespace, folder: Path, name: str | None) -> set[tuple[str, int]]:
    """Check and replay as far as is asked for, before anything is written; what was confirmed."""
    if not options.replay and options.study != OFFICIAL:
        return set()
    rules, study = _rules(options, folder)
    checked, _, faults = check_submission(folder, rules, name)
    if faults:
        raise SubmissionError(options.source, study, faults)
    return _replayed(checked, options.replay, options.random_seed)


def _entered(options: argparse.Namespace, folder: Path) -> tuple[Store, StudyInfo]:
    """The study to register in, and its store."""
    if options.study == OFFICIAL:
        store = open_store(options.store or default_store())
        return store, open_official(store, *_world(folder))
    store = open_existing(options.store)
    return store, find_study(store, options.study)


def _check_only(options: argparse.Namespace, given: Prepared) -> int:
    rules, name = _rules(options, given.folder)
    agent = options.name or (given.about.agent if given.about else None)
    checked, agent, faults = check_submission(given.folder, rules, agent)
    if faults:
        raise SubmissionError(options.source, name, faults)
    verified = _replayed(checked, options.replay, options.random_seed)
    print(f"{options.source}: keeps the rules of study {name!r}, {len(checked)} episodes")
    for item in checked:
        key = (item.meta.task, item.meta.seed)
        state = "replayed: the same places" if key in verified else "unverified"
        print(f"  {item.meta.task} seed {item.meta.seed}: {item.meta.steps} steps, {state}")
    if options.pack:
        about = _about(options, given) or About(agent=agent)
        manifest = write_bundle(options.pack, [item.recording for item in checked], about)
        print(f"wrote {options.pack}: {manifest.agent!r}, {len(manifest.files)} files")
    return 0


def _about(options: argparse.Namespace, given: Prepared) -> About | None:
    """What is said of the agent: the bundle's words, and over them those of the command line."""
    said = {
        "agent": options.name,
        "agent_version": options.agent_version,
        "authors": tuple(options.author),
        "description": options.description,
        "training_data": options.training_data,
    }
    said = {field: value for field, value in said.items() if value}
    if given.about is not None:
        present = {field: getattr(given.about, field) for field in About.model_fields}
        said = present | said
    if not said:
        return None
    try:
        return About.model_validate({"agent": "unnamed"} | said)
    except ValidationError as err:
        fault = err.errors()[0]
        raise StudyError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from err


def _replayed(
    checked: list[CheckedRecording], count: int, seed: int | None
) -> set[tuple[str, int]]:
    """Replay some episodes; task and seed of those confirmed.

    Raises:
        StudyError: a replay came out elsewhere: the recording is not what it claims to be.
        WorldError: the world failed.
    """
    chosen = random.Random(seed).sample(checked, min(count, len(checked)))
    verified: set[tuple[str, int]] = set()
    if not chosen:
        return verified
    # Only here: it loads the worlds.
    from basalt.rollouts.replay import replay

    wrong = []
    for item in chosen:
        key = (item.meta.task, item.meta.seed)
        try:
            result = replay(item.recording, pictures=False, progress=True)
        except RecordingError as err:
            print(f"  {key[0]} seed {key[1]}: cannot be replayed ({err})", file=sys.stderr)
            continue
        strayed = result.drift_max is None or result.drift_max > TOLERANCE
        if not result.exact and (strayed or result.replayed != result.steps):
            wrong.append(f"  - {key[0]} seed {key[1]}: {result.summary()}")
        else:
            verified.add(key)
    if wrong:
        raise StudyError("replayed, episodes came out otherwise:\n" + "\n".join(wrong))
    return verified


def _rules(options: argparse.Namespace, folder: Path) -> tuple[StudyRules, str]:
    """The rules to check by, and the study's name."""
    registers = not (options.check or options.pack)
    if options.study not in (None, OFFICIAL) or (options.study is None and registers):
        study = find_study(open_existing(options.store), options.study)
        return study.rules, study.name
    world, version = _world(folder)
    return official_study(world, version), f"{OFFICIAL} {world} {version}"


def _world(folder: Path) -> tuple[str, str]:
    """World and version that all recordings of a folder were played in."""
    worlds = {
        (one.meta.world, one.meta.world_version) for one in find_recordings(folder) if one.meta
    }
    if len(worlds) != 1:
        found = ", ".join(sorted(" ".join(world) for world in worlds)) or "none with NAME.json"
        raise StudyError(f"{folder}: recordings of one world make a submission; found {found}")
    return worlds.pop()
