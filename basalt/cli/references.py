"""``basalt references``: opponents for a newcomer, played and entered into a study by one command.

Part of the command line: like :mod:`basalt.cli.main` it knows all packages.
"""

import argparse
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agents.common.registry import make_agent
from basalt.cli.leaderboard import add_store_argument
from basalt.core.recording import find_recordings
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import ConfigError, StudyError
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
"""The reference players and what their submissions say of them."""

DEFAULT_OUT = Path("runs/references")


def main(argv: list[str]) -> int:
    """Play what is missing, enter who is missing; the same command goes on where it stopped."""
    options = _parser().parse_args(argv)
    if options.jobs < 1:  # before a study is made
        raise ConfigError(f"--jobs: {options.jobs} is less than 1")
    store, study = _opened(options)
    try:
        for name in options.players or PLAYERS:
            if name in submitted_agents(store, study):
                print(f"{name}: in study {study.name!r} already")
                continue
            folder = options.out / re.sub(r"[^\w.-]+", "-", study.name) / name
            training = _play(name, study, folder, options)
            about = About(agent=name, description=PLAYERS[name], training_data=training)
            _enter(store, study, folder, name, about)
        if options.person is not None:
            _enter_person(store, study, options.person)
    finally:
        store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="basalt references",
        description="Let the reference players (random, demonstrator, bc) play all seeds of a study in "
        "the embedded world, and enter them, so that a newcomer's agent has opponents. What was played "
        "or entered is kept: the same command goes on.",
    )
    parser.add_argument(
        "--study",
        help=f"name of the study (default: the newest; {OFFICIAL!r}: the 11 official seeds of each "
        "task at full length, made if need be: hours)",
    )
    parser.add_argument(
        "--players", nargs="+", choices=PLAYERS, metavar="NAME", help=f"of {', '.join(PLAYERS)}"
    )
    parser.add_argument(
        "--person",
        type=Path,
        metavar="DIR",
        help="also enter a person's recordings (`basalt play`) of all the study's seeds of a task",
    )
    parser.add_argument(
        "--data",
        default="sample",
        metavar="DIR",
        help="demonstrations that bc learns from; it enters the tasks they are of (default: sample)",
    )
    parser.add_argument(
        "--train-steps", type=int, metavar="N", help="of bc (default: as `basalt train`)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="worlds side by side (default: 1)")
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help=f"default: {DEFAULT_OUT}"
    )
    add_store_argument(parser)
    return parser


def _opened(options: argparse.Namespace) -> tuple[Store, StudyInfo]:
    """The store and the study; its world is one that can be played here.

    Raises:
        StudyError: it is another world, or another version of it.
    """
    world = "luanti"
    if options.study == OFFICIAL:
        store = open_store(options.store or default_store())
        versions = {task.name: world_version(task) for task in TASKS.values()}
        return store, open_official_study(store, world, versions)
    store = open_existing(options.store)
    study = find_study(store, options.study)
    for task in study.rules.tasks:
        asked, found = study.rules.version_of(task), world_version(get_task(task))
        if (study.rules.world, asked) != (world, found):
            store.close()
            raise StudyError(
                f"study {study.name!r} is about {task} in {study.rules.world} {asked}; the "
                f"reference players play {world} {found} here, and worlds are never mixed"
            )
    return store, study


def _play(name: str, study: StudyInfo, folder: Path, options: argparse.Namespace) -> str:
    """Let a player play all its tasks; what it learned from, in words."""
    tasks = list(study.rules.tasks)
    training = ""
    if name == "bc":
        data = sample_dir() if options.data == "sample" else Path(options.data)
        shown = {one.meta.task for one in find_recordings(data) if one.meta}
        tasks = [task for task in tasks if task in shown]
        if not tasks:
            raise StudyError(
                f"{data}: has demonstrations of none of the study's tasks, so bc cannot learn them; "
                "give others with --data, or leave bc out with --players"
            )
        training = f"recordings of {', '.join(tasks)} ({options.data})"
    for task in tasks:
        agent: dict[str, Any] = {"name": name}
        if name == "bc":
            agent["checkpoint"] = str(_trained(task, folder.parent / f"bc-{task}", options))
        rules = study.rules.tasks[task]
        plan = RolloutPlan(
            task, "luanti", agent, rules.seeds, folder / task, max_steps=rules.step_limit
        )
        print(f"{name}: {task}, {len(rules.seeds)} seeds of up to {rules.step_limit} steps")
        rollout(partial(make_agent, **agent), plan, jobs=options.jobs)
    return training


def _trained(task: str, run: Path, options: argparse.Namespace) -> Path:
    """A run of behavioural cloning on the demonstrations, made or finished if need be."""
    # torch is heavy, and only this player needs it.
    from agents.bc.config import TrainConfig
    from agents.bc.train import train

    settings: Mapping[str, Any] = {"steps": options.train_steps} if options.train_steps else {}
    result = train(TrainConfig(out=str(run), task=task, data=options.data, **settings))
    if result.interrupted:
        raise KeyboardInterrupt
    return run


def _enter(store: Store, study: StudyInfo, folder: Path, name: str | None, about: About) -> None:
    done = submit_recordings(store, study, folder, name, about=about)
    print(f"{done.agent}: entered study {done.study!r} with {done.episodes} episodes")


def _enter_person(store: Store, study: StudyInfo, folder: Path) -> None:
    """Enter a person's recordings, under the name that they carry.

    Raises:
        StudyError: they are not a person's.
        SubmissionError: they break the study's rules.
    """
    metas = [one.meta for one in find_recordings(folder) if one.meta]
    if others := sorted({meta.player for meta in metas if meta.player_kind != "human"}):
        raise StudyError(
            f"{folder}: {', '.join(others)} is no person; `basalt submit` enters agents"
        )
    names = {meta.player for meta in metas}
    if names and names <= submitted_agents(store, study):
        print(f"{', '.join(sorted(names))}: in study {study.name!r} already")
        return
    about = About(agent="a person", description="A person.")
    _enter(store, study, folder, None, about)
