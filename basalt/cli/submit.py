"""`basalt submit`: check a folder or bundle of recordings, and register it."""

import argparse
from pathlib import Path

from basalt.cli.leaderboard import add_store_argument
from basalt.core.recording import Recording
from basalt.io.errors import ConfigError
from leaderboard.studies.rules import OFFICIAL
from leaderboard.submissions.legacy_episodes import LegacyOrigin
from leaderboard.submissions.submit import (
    ReplayPlan,
    ReplayResult,
    Verified,
    check,
    described,
    pack,
    prepared,
    submit,
)


def submit_main(argv: list[str]) -> int:
    """`basalt submit DIR|BUNDLE [--name NAME] [--study S] [--check | --pack FILE] [--replay K]`."""
    options = _parser().parse_args(argv)
    if options.replay < 0:
        raise ConfigError(f"--replay: expected a non-negative integer, got {options.replay}")
    source: Path = options.source
    origin = LegacyOrigin(
        options.name or source.name, options.world, options.world_version, options.task
    )
    replays = ReplayPlan(_replay if options.replay else None, options.replay, options.random_seed)
    with prepared(source, origin, options.study) as given:
        about = described(
            given.about,
            agent=options.name,
            agent_version=options.agent_version,
            authors=tuple(options.author),
            description=options.description,
            training_data=options.training_data,
        )
        target = (given, options.study, options.store, options.name, replays)
        if options.check or options.pack:
            verified = check(*target)
            _print_check(source, verified)
            if options.pack:
                manifest = pack(options.pack, verified, about)
                print(f"wrote {options.pack}: {manifest.agent!r}, {len(manifest.files)} files")
            return 0
        done = submit(*target, about)
    print(f"registered {done.agent!r} in study {done.study!r}: {done.episodes} episodes")
    return 0


def _replay(recording: Recording) -> ReplayResult:
    from basalt.rollouts.replay import replay  # only here: it loads the worlds

    return replay(recording, pictures=False, progress=True)


def _print_check(source: Path, verified: Verified) -> None:
    recordings = verified.submission.recordings
    study = verified.submission.study
    print(f"{source}: follows the rules of study {study!r}, {len(recordings)} episodes")
    for item in recordings:
        state = "replayed: the same places" if item.key in verified.replayed else "unverified"
        print(f"  {item.meta.task} seed {item.meta.seed}: {item.meta.steps} steps, {state}")


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
