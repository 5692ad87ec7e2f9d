"""`basalt submit`: check a folder or bundle of recordings, and register it."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from basalt.cli.flags import Store, run
from basalt.core.recording import Recording
from leaderboard.studies.rules import OFFICIAL
from leaderboard.submissions.checks import CheckedSubmission
from leaderboard.submissions.legacy_episodes import LegacyOrigin
from leaderboard.submissions.submit import (
    ReplayPlan,
    ReplayResult,
    check,
    described,
    pack,
    prepared,
    study_episodes,
    submit,
)


def submit_main(argv: list[str]) -> int:
    """Run `basalt submit ARGUMENTS`; returns the exit status."""
    return run("submit", _submit, argv)


def _submit(
    source: Annotated[Path, typer.Argument(metavar="DIR|BUNDLE")],
    name: Annotated[
        str | None, typer.Option(help="Name of the agent in the table (default: as recorded).")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Name of the study (default: the newest; {OFFICIAL!r}: the 11 official seeds of each "
            "task in the recordings' world, made if it does not exist).",
        ),
    ] = None,
    check_only: Annotated[
        bool,
        typer.Option(
            "--check", help="Verify only; without --study by the rules of the official study."
        ),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--pack", metavar="FILE", help="Verify, and write a bundle to send elsewhere."
        ),
    ] = None,
    replay: Annotated[
        int,
        typer.Option(
            min=0, metavar="K", help="Replay K random episodes in their world; compare positions."
        ),
    ] = 0,
    random_seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the choice of episodes to replay.")
    ] = None,
    agent_version: Annotated[str, typer.Option(help="Version of the agent, for the bundle.")] = "",
    author: Annotated[
        list[str] | None, typer.Option(help="Author of the agent; may be repeated.")
    ] = None,
    description: Annotated[str, typer.Option(help="Description of the agent.")] = "",
    training_data: Annotated[str, typer.Option(help="What the agent was trained on.")] = "",
    task: Annotated[
        str | None,
        typer.Option(help="Task of the original benchmark's files (default: by their folders)."),
    ] = None,
    world: Annotated[str, typer.Option(help="World of the original benchmark's files.")] = "minerl",
    world_version: Annotated[
        str, typer.Option(help="World's version of the original benchmark's files.")
    ] = "1.0",
    store: Store = None,
) -> int:
    """Verify a folder or bundle of recordings against a study's rules and register it.

    A folder holds this project's recordings (NAME.mp4, .jsonl, .json), or the original benchmark's
    (TASK/seed_N.mp4 with or without .jsonl).
    """
    if check_only and bundle:
        raise typer.BadParameter("--check and --pack exclude each other; --pack verifies too")
    origin = LegacyOrigin(name or source.name, world, world_version, task)
    replays = ReplayPlan(_replay if replay else None, replay, random_seed)
    episodes = partial(study_episodes, study, store, registers=not (check_only or bundle))
    with prepared(source, origin, study, episodes) as given:
        about = described(
            given.about,
            agent=name,
            agent_version=agent_version,
            authors=tuple(author or ()),
            description=description,
            training_data=training_data,
        )
        target = (given, study, store, name, replays)
        if check_only or bundle:
            checked = check(*target)
            _print_check(checked)
            if bundle:
                manifest = pack(bundle, checked, about)
                print(f"wrote {bundle}: {manifest.agent!r}, {len(manifest.files)} files")
            return 0
        done = submit(*target, about)
    print(f"registered {done.agent!r} in study {done.study!r}: {done.episodes} episodes")
    if replay:
        print(f"  replayed to the same places: {done.replayed} of {min(replay, done.episodes)}")
    print(
        f"  0 comparisons so far; `basalt leaderboard show --study {done.study!r}` says what is next"
    )
    return 0


def _replay(recording: Recording) -> ReplayResult:
    from basalt.rollouts.replay import replay  # only here: it loads the worlds

    return replay(recording, pictures=False, progress=True)


def _print_check(checked: CheckedSubmission) -> None:
    print(
        f"{checked.source}: follows the rules of study {checked.study!r}, "
        f"{len(checked.recordings)} episodes"
    )
    for item in checked.recordings:
        state = "replayed: the same places" if item.key in checked.replayed else "unverified"
        print(f"  {item.meta.task} seed {item.meta.seed}: {item.meta.steps} steps, {state}")
