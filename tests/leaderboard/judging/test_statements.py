"""How many statements a request sends to the database: each one is a wait of its rater, and of all who want the same study."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from starlette.testclient import TestClient

from leaderboard.http.api import create_server
from leaderboard.judging.assignments import next_pair, reserve_ahead
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.matchmaking import prepare_board
from leaderboard.judging.raters import join
from leaderboard.store.database import Store, open_store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill


@contextmanager
def at_most(store: Store, limit: int) -> Iterator[None]:
    """Statements of a block, without those that begin and end transactions; the failure lists them."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            sent.append(" ".join(statement.split()))

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)
    assert sent, "none was noticed"
    assert len(sent) <= limit, "\n".join(sent)


def test_serving_and_storing_send_few_statements(store: Store) -> None:
    study = fill(store, 4, 4)
    prepare_board(store, study.id)
    rater = join(store, study, "ada")
    for _ in range(3):  # no more with more answers
        with at_most(store, 15):
            pair = next_pair(store, study, rater)
        assert pair is not None
        with at_most(store, 16):
            reserve_ahead(store, study, rater, pair.assignment_id)
        with at_most(store, 11):
            answer_pair(store, pair.assignment_id, rater, "left")
        with at_most(store, 12):
            shown = next_pair(store, study, rater)  # the one that was reserved ahead
        assert shown is not None
        answer_pair(store, shown.assignment_id, rater, "draw")


def test_a_rater_over_http_costs_few_more(store: Store) -> None:
    fill(store, 4, 4)
    with TestClient(create_server(store)) as client:
        secret = client.post("/api/studies/small/join", json={}).json()["secret"]
        client.headers["Authorization"] = f"Bearer {secret}"
        first = client.post("/api/studies/small/next").json()["pair"]  # reads the signing key, too
        client.post("/api/answers", json={"pair": first, "winner": "left"}).raise_for_status()
        with at_most(store, 18):
            pair = client.post("/api/studies/small/next").json()["pair"]
        given = {"pair": pair, "winner": "left", "responses": {}}
        with at_most(store, 16):
            client.post("/api/answers", json=given).raise_for_status()


def test_attention_checks_cost_a_few_whether_one_is_served_or_not(tmp_path: Path) -> None:
    store = open_store(tmp_path / "leaderboard.sqlite")
    study = fill(store, 4, 4)
    change_settings(store, study, command_line_admin(), check_share=0.5)
    rater = join(store, study, "ada")
    prepare_board(store, study.id)
    for _ in range(6):
        with at_most(store, 20):
            pair = next_pair(store, study, rater)
        assert pair is not None
        with at_most(store, 12):
            answer_pair(store, pair.assignment_id, rater, "left")
    store.close()
