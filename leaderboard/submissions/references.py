"""Entering the reference players into a study."""

from collections.abc import Callable
from pathlib import Path

from basalt.core.recording import find_recordings
from basalt.core.tasks import TASKS, Task, get_task
from basalt.io.errors import StudyError
from leaderboard.store.database import Store, default_store, open_existing, open_store
from leaderboard.studies.rules import OFFICIAL, StudyInfo, find_study
from leaderboard.studies.settings import open_official_study
from leaderboard.submissions.bundle import About
from leaderboard.submissions.register import submit_recordings, submitted_agents


def open_playable_study(
    name: str | None, location: str | None, world: str, version_of: Callable[[Task], str]
) -> tuple[Store, StudyInfo]:
    """Open a store, and a study whose world can be played here; the official study is made if it is missing.

    Args:
        name: Name of the study; None for the newest.
        location: The store, a file or an address; None for the default.
        world: Name of the world that can be played.
        version_of: Version of that world for a task.

    Raises:
        StudyError: The study is about another world, or another version of it.
    """
    if name == OFFICIAL:
        store = open_store(location or default_store())
        versions = {task.name: version_of(task) for task in TASKS.values()}
        return store, open_official_study(store, world, versions)
    store = open_existing(location)
    study = find_study(store, name)
    for task in study.rules.tasks:
        found = version_of(get_task(task))
        asked = study.rules.version_of(task) or found
        if (study.rules.world, asked) != (world, found):
            store.close()
            raise StudyError(
                f"study {study.name!r} is about {task} in {study.rules.world} {asked}; the "
                f"reference players play {world} {found} here, and worlds are never mixed"
            )
    return store, study


def enter(store: Store, study: StudyInfo, folder: Path, name: str | None, about: About) -> None:
    """Enter a folder of recordings and report it; `name` None takes the name in them."""
    done = submit_recordings(store, study, folder, name, about=about)
    print(f"{done.agent}: entered study {done.study!r} with {done.episodes} episodes")


def enter_person(store: Store, study: StudyInfo, folder: Path) -> None:
    """Enter a person's recordings under the name in them, unless that is entered already.

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
    enter(store, study, folder, None, about)
