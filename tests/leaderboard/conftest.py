"""Stores to test on (SQLite, and a PostgreSQL server of our own) and recordings to submit."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
import sqlalchemy as sa
from limits.storage import memory

from leaderboard.store.database import Store, open_store
from leaderboard.studies import access
from leaderboard.studies.rules import StudyInfo, demo_study
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, record_three, unwatched_study
from tools.postgres_server import POSTGRES, PostgresServer


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of recordings of three players on SEEDS; by telemetry: good, then middling, then poor."""
    return record_three(tmp_path_factory.mktemp("agents"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server of the tests' own, on a socket in a new folder."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    server = PostgresServer(durable=False)
    try:
        yield server.url
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Location and media folder of a store that does not exist yet, on both databases in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store" / "leaderboard.sqlite"), tmp_path / "store" / "media"
    server: str = request.getfixturevalue("postgres_server")
    # A schema of its own is as good as a database of its own, and made in no time.
    schema = f"test_{uuid4().hex}"
    admin = sa.create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
    with admin.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    admin.dispose()
    return f"{server}&options=-csearch_path%3D{schema}", tmp_path / "media"


@pytest.fixture
def store(store_place: tuple[str, Path]) -> Iterator[Store]:
    opened = open_store(*store_place)
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))


@pytest.fixture
def full_study(store: Store, study: StudyInfo, agents: dict[str, Path]) -> StudyInfo:
    """The study with the three players' episodes: six pairs."""
    for folder in agents.values():
        submit_recordings(store, study, folder)
    return study


@pytest.fixture(autouse=True)
def fresh_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits count per process and minute: one test's requests are not another's, and no minute ends in a test."""
    access._limiter.storage.reset()
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
