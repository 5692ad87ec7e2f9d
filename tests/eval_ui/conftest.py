"""A store with three players' episodes, and the app's process pointed at it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from eval_ui import session
from eval_ui.store_access import STORE_VARIABLE, the_store
from leaderboard.store.database import Store, open_store
from leaderboard.studies.access import add_admin, log_in
from leaderboard.studies.rules import StudyInfo, demo_study
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, record_three, unwatched_study

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def players(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return record_three(tmp_path_factory.mktemp("players"))


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store that the app's pages open, without any study."""
    path = tmp_path / "leaderboard.sqlite"
    monkeypatch.setenv(STORE_VARIABLE, str(path))
    the_store.cache_clear()
    store = open_store(path)
    yield store
    store.close()
    the_store().close()
    the_store.cache_clear()


@pytest.fixture
def study(empty_store: Store, players: dict[str, Path]) -> StudyInfo:
    """A study of six pairs in that store."""
    made = unwatched_study(empty_store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in players.values():
        submit_recordings(empty_store, made, folder)
    return made


@pytest.fixture
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cookies of the browser; without one there are none."""
    kept = {session.RATER_COOKIE: "the tests' secret"}
    monkeypatch.setattr(session, "browser_cookie", kept.get)
    return kept


@pytest.fixture
def as_admin(empty_store: Store, cookies: dict[str, str]) -> None:
    name = f"ada {uuid4()}"
    add_admin(empty_store, name, password=PASSWORD)
    # Logins are counted by address.
    cookies[session.ADMIN_COOKIE] = log_in(empty_store, name, PASSWORD, address=name)
