"""Whatever is sent, a malformed request is answered with 4xx; a fault of the server with 503, and nothing is lost."""

import contextlib
import errno
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.testclient import TestClient

from basalt.io.errors import BusyError, WriteError
from leaderboard.http import api
from leaderboard.http.api import create_server
from leaderboard.store import database
from leaderboard.store.database import Store, StoreError, open_store
from leaderboard.store.models import Judgment
from leaderboard.studies.rules import StudyInfo, demo_study
from leaderboard.submissions.register import submit_recordings
from tests.leaderboard.http.test_api import Person
from tests.support.three_players import SEEDS, unwatched_study

ODD_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "\ud800",
            "\udfff!",
            "\0",
            "a\0b",
            "‮evil",
            "x" * 100_000,
            "NaN",
            "9" * 5_000,
            "0001-01-01T00:00:00Z",
        ]
    ),
)
ODD_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**400), 10**400),
        st.floats(),
        ODD_TEXTS,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXTS, inner, max_size=3),
    max_leaves=5,
)


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with TestClient(create_server(store, joins_per_minute=10_000)) as opened:
        yield opened


def body(value: object) -> bytes:
    """JSON as a stranger may write it: NaN, infinities and lone surrogates included."""
    return json.dumps(value).encode()


FIELDS = ("pair", "winner", "justification", "responses", "video_events", "watched_left", "watched_right", "?")  # fmt: skip


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(field=st.sampled_from(FIELDS), value=ODD_VALUES)
@example(field="justification", value="\ud800")
@example(field="watched_left", value=float("nan"))
@example(field="watched_left", value=float("inf"))
@example(field="video_events", value=[float("nan")])
@example(field="video_events", value=[{"\ud800": "\0"}])
@example(field="video_events", value=deep(300))
@example(field="pair", value="\ud800")
def test_no_value_in_an_answer_is_a_fault_of_the_server(
    client: TestClient, full_study: StudyInfo, field: str, value: object
) -> None:
    rater = Person(client)
    pair = rater.next()
    assert pair is not None
    sent = {"pair": pair["pair"], "winner": "left", field: value}
    answer = client.post(
        "/api/answers",
        content=body(sent),
        headers=rater.headers | {"Content-Type": "application/json"},
    )
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    assert answer.json()


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.sampled_from(
        [
            ("studies/small/join", "invite"),
            ("studies/small/join", "name"),
            ("studies/small/join", "platform"),
            ("studies/small/join", "participant"),
            ("admin/login", "name"),
            ("admin/login", "password"),
            ("studies/small/raters/x/ban", "reason"),
        ]
    ),
    value=ODD_VALUES,
)
@example(place=("admin/login", "name"), value="\ud800")
@example(place=("studies/small/join", "name"), value="\0")
def test_no_value_in_another_body_is_a_fault_of_the_server(
    client: TestClient, study: StudyInfo, place: tuple[str, str], value: object
) -> None:
    path, field = place
    sent = {"name": "ada", "password": "x"} if path == "admin/login" else {}
    answer = client.post(
        f"/api/{path}",
        content=body(sent | {field: value}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("path", ["studies/a%00b", "studies/%ED%A0%80", "studies/%00/scores",
                                  "studies/small/scores?model=%00", "studies/small/scores?%00=1",
                                  "video/%00"])  # fmt: skip
def test_no_address_is_a_fault_of_the_server(
    client: TestClient, study: StudyInfo, path: str
) -> None:
    assert 400 <= client.get(f"/api/{path}").status_code < 500


def test_a_malformed_request_is_not_repeated_in_the_answer(
    client: TestClient, study: StudyInfo
) -> None:
    answer = client.post("/api/admin/login", json={"name": "ada", "password": "secret" * 1000})
    assert answer.status_code == 422 and "secret" not in answer.text
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["body", "password"] and "at most 1000 characters" in fault["msg"]


FAULTS = [
    OperationalError("INSERT", {}, Exception("disk I/O error")),
    InterfaceError("INSERT", {}, Exception("connection already closed")),
    NoConnectionError("QueuePool limit reached"),
    OSError(errno.ENOSPC, "No space left on device"),
    StoreError("the database failed"),
    WriteError("cannot be written"),
    BusyError("another process holds this lock"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[type(one).__name__ for one in FAULTS])
def test_a_fault_of_disk_database_or_lock_is_503_and_the_answer_is_taken_later(
    client: TestClient,
    full_study: StudyInfo,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    rater = Person(client)
    pair = rater.next()
    assert pair is not None

    def fail(*_: object, **__: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(api, "answer_pair", fail)
        refused = rater.answer(pair, justification="only this rater knows")
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
    (line,) = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert type(fault).__name__ in line and "only this rater knows" not in line
    assert rater.answer(pair).status_code == 200


@pytest.fixture
def sqlite_file(tmp_path: Path, agents: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a study, opened by those who wait for nobody."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    store = open_store(tmp_path / "leaderboard.sqlite")
    study = unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(store, study, folder)
    store.close()
    return tmp_path / "leaderboard.sqlite"


def test_a_program_that_holds_the_database_delays_an_answer(sqlite_file: Path) -> None:
    store = open_store(sqlite_file)
    with TestClient(create_server(store)) as client:
        rater = Person(client)
        pair = rater.next()
        assert pair is not None
        with contextlib.closing(sqlite3.connect(sqlite_file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = rater.answer(pair)
            other.execute("ROLLBACK")
        assert refused.status_code == 503 and refused.headers["Retry-After"]
        assert rater.answer(pair).status_code == 200
        with store.read() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Judgment)) == 1


def test_a_full_disk_delays_an_answer(sqlite_file: Path) -> None:
    """SQLite's own limit of pages stands for the disk's end."""
    store = open_store(sqlite_file)
    pages: list[int] = []

    @sa.event.listens_for(store.engine, "checkout")
    def limit(connection: Any, *_: object) -> None:
        for count in pages:
            connection.execute(f"PRAGMA max_page_count = {count}")

    with TestClient(create_server(store)) as client:
        rater = Person(client)
        pair = rater.next()
        assert pair is not None
        with contextlib.closing(sqlite3.connect(sqlite_file, isolation_level=None)) as other:
            other.execute("VACUUM")  # no page is left free
        pages.append(1)  # as many as there are: none more
        refused = rater.answer(pair, justification="x" * 9_000)
        pages[:] = [1_000_000]
        assert refused.status_code == 503
        assert rater.answer(pair, justification="x" * 9_000).status_code == 200
