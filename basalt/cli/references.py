"""`basalt references`: opponents for a newcomer, played and entered into a study by one command."""

import re
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from agents.common.references import PLAYERS, play_reference
from basalt.cli.flags import Folder, Jobs, run
from basalt.cli.flags import Store as StoreOption
from basalt.core.settings import unknown_option
from basalt.worlds.luanti.version import world_version
from leaderboard.studies.rules import OFFICIAL
from leaderboard.submissions.bundle import About
from leaderboard.submissions.references import enter, enter_person, open_playable_study
from leaderboard.submissions.register import submitted_agents

DEFAULT_OUT = Path("runs/references")


def main(argv: list[str]) -> int:
    """Run `basalt references ARGUMENTS`; returns the exit status."""
    return run("references", _references, argv, several=("--players",))


def _references(
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Name of the study (default: the newest; {OFFICIAL!r}: the 11 official seeds of each "
            "task at full length, made if it does not exist, which takes hours).",
        ),
    ] = None,
    players: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help=f"Some of {', '.join(PLAYERS)} (default: all)."),
    ] = None,
    person: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also enter a person's recordings (`basalt play`) of all the study's seeds of a task.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Demonstrations that bc learns from; it enters the tasks they show."
        ),
    ] = "sample",
    train_steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Training steps of bc (default: as basalt train)."),
    ] = None,
    jobs: Jobs = 1,
    out: Folder = DEFAULT_OUT,
    store: StoreOption = None,
) -> int:
    """Let the reference players (random, demonstrator, bc) play all seeds of a study and enter them.

    A newcomer's agent then has opponents. What was played or entered is kept: the same command resumes.
    """
    for name in players or ():
        if name not in PLAYERS:
            raise typer.BadParameter(unknown_option("--players", name, list(PLAYERS)))
    opened, its_study = open_playable_study(study, store, "luanti", world_version)
    tasks = {name: (one.seeds, one.step_limit) for name, one in its_study.rules.tasks.items()}
    with closing(opened):
        for name in players or PLAYERS:
            if name in submitted_agents(opened, its_study):
                print(f"{name}: in study {its_study.name!r} already")
                continue
            folder = out / re.sub(r"[^\w.-]+", "-", its_study.name) / name
            training = play_reference(
                name, tasks, folder, data=data, train_steps=train_steps, jobs=jobs
            )
            about = About(agent=name, description=PLAYERS[name], training_data=training)
            enter(opened, its_study, folder, name, about)
        if person is not None:
            enter_person(opened, its_study, person)
    return 0
