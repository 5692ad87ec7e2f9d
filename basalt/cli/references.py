"""`basalt references`: opponents for a newcomer, played and entered into a study by one command."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.common.registry import make_agent
from basalt.cli.flags import Folder, Jobs, run
from basalt.cli.flags import Store as StoreOption
from basalt.core.recording import find_recordings
from basalt.core.settings import unknown_option
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import StudyError
from basalt.io.paths import sample_dir
from basalt.rollouts.rollout import RolloutPlan, rollout
from basalt.worlds.luanti.version import world_version
from leaderboard.store.database import Store, default_store, open_existing, open_store
from leaderboard.studies.rules import OFFICIAL, StudyInfo, find_study
from leaderboard.studies.settings import open_official_study
from leaderboard.submissions.bundle import About
from leaderboard.submissions.register import submit_recordings, submitted_agents

PLAYERS = {
    "random": "Keys and mouse at random.",
    "demonstrator": "Scripted, with the referee's knowledge of the world; no agent that sees pictures alone.",
    "bc": "Behavioural cloning: pixels in, keys and mouse out.",
}
"""Reference players and the descriptions in their submissions."""

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
    opened, its_study = _opened(study, store)
    try:
        for name in players or PLAYERS:
            if name in submitted_agents(opened, its_study):
                print(f"{name}: in study {its_study.name!r} already")
                continue
            folder = out / re.sub(r"[^\w.-]+", "-", its_study.name) / name
            training = _play(name, its_study, folder, data, train_steps, jobs)
            about = About(agent=name, description=PLAYERS[name], training_data=training)
            _enter(opened, its_study, folder, name, about)
        if person is not None:
            _enter_person(opened, its_study, person)
    finally:
        opened.close()
    return 0


def _opened(name: str | None, location: str | None) -> tuple[Store, StudyInfo]:
    """Open the store and the study, whose world can be played here.

    Raises:
        StudyError: The study is about another world, or another version of it.
    """
    world = "luanti"
    if name == OFFICIAL:
        store = open_store(location or default_store())
        versions = {task.name: world_version(task) for task in TASKS.values()}
        return store, open_official_study(store, world, versions)
    store = open_existing(location)
    study = find_study(store, name)
    for task in study.rules.tasks:
        found = world_version(get_task(task))
        asked = study.rules.version_of(task) or found
        if (study.rules.world, asked) != (world, found):
            store.close()
            raise StudyError(
                f"study {study.name!r} is about {task} in {study.rules.world} {asked}; the "
                f"reference players play {world} {found} here, and worlds are never mixed"
            )
    return store, study


def _play(
    name: str, study: StudyInfo, folder: Path, source: str, train_steps: int | None, jobs: int
) -> str:
    """Let a player play all its tasks; returns a description of its training data."""
    tasks = list(study.rules.tasks)
    training = ""
    if name == "bc":
        data = sample_dir() if source == "sample" else Path(source)
        shown = {one.meta.task for one in find_recordings(data) if one.meta}
        tasks = [task for task in tasks if task in shown]
        if not tasks:
            raise StudyError(
                f"{data}: has demonstrations of none of the study's tasks, so bc cannot learn them; "
                "give others with --data, or leave bc out with --players"
            )
        training = f"recordings of {', '.join(tasks)} ({source})"
    for task in tasks:
        agent: dict[str, Any] = {"name": name}
        if name == "bc":
            agent["checkpoint"] = str(
                _trained(task, folder.parent / f"bc-{task}", source, train_steps)
            )
        rules = study.rules.tasks[task]
        plan = RolloutPlan(
            task, "luanti", agent, rules.seeds, folder / task, max_steps=rules.step_limit
        )
        print(f"{name}: {task}, {len(rules.seeds)} seeds of up to {rules.step_limit} steps")
        rollout(partial(make_agent, **agent), plan, jobs=jobs)
    return training


def _trained(task: str, run: Path, source: str, steps: int | None) -> Path:
    """A run of behavioural cloning on the demonstrations, trained or resumed if it is not complete."""
    # torch is heavy, and only this player needs it.
    from agents.bc.config import TrainConfig
    from agents.bc.train import train

    settings: Mapping[str, Any] = {"steps": steps} if steps else {}
    result = train(TrainConfig(out=str(run), task=task, data=source, **settings))
    if result.interrupted:
        raise KeyboardInterrupt
    return run


def _enter(store: Store, study: StudyInfo, folder: Path, name: str | None, about: About) -> None:
    done = submit_recordings(store, study, folder, name, about=about)
    print(f"{done.agent}: entered study {done.study!r} with {done.episodes} episodes")


def _enter_person(store: Store, study: StudyInfo, folder: Path) -> None:
    """Enter a person's recordings under the name in them.

    Raises:
        StudyError: The recordings are not a person's.
        SubmissionError: The recordings break the study's rules.
    """
    metas = [one.meta for one in find_recordings(folder) if one.meta]
    if others := sorted({meta.player for meta in metas if meta.player_kind != "human"}):
        raise StudyError(
            f"{folder}: {', '.join(others)} was not played by a person; use `basalt submit` for agents"
        )
    names = {meta.player for meta in metas}
    if names and names <= submitted_agents(store, study):
        print(f"{', '.join(sorted(names))}: in study {study.name!r} already")
        return
    about = About(agent="a person", description="A person.")
    _enter(store, study, folder, None, about)
