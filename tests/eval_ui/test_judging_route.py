"""What raters do comes by HTTP: stored once however often it is sent, for the rater of the page, and from no other site."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.testclient import TestClient

from eval_ui.judging import acts
from eval_ui.judging.acts import rater_ticket
from eval_ui.judging.routes import ACT_PATH, ROUTES
from leaderboard.http.media import MAX_BODY
from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.raters import erase, join, register_rater
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, Judgment
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, demo_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support.three_players import SEEDS, unwatched_study

ADMIN = command_line_admin()
BROWSER = TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1")


@pytest.fixture
def rater(empty_store: Store, study: StudyInfo) -> str:
    return join(empty_store, study, "secret")


@pytest.fixture
def answer(empty_store: Store, study: StudyInfo, rater: str) -> dict[str, object]:
    """An answer as the page sends it."""
    return {
        "kind": "answer", "ticket": rater_ticket(empty_store, study, rater),
        "pair": served(empty_store, study, rater).assignment_id, "winner": "left", "nonce": "1",
        "justification": "straight in", "direct": [], "comparative": [], "seen": [1, 1], "events": [],
    }  # fmt: skip


def served(store: Store, study: StudyInfo, rater: str) -> ServedPair:
    pair = next_pair(store, study, rater)
    assert pair is not None
    return pair


def send(act: object, **headers: str) -> tuple[int, dict[str, object]]:
    given = {"content-type": "application/json"} | headers
    reply = BROWSER.post(ACT_PATH, content=json.dumps(act), headers=given)
    return reply.status_code, reply.json()


def judgments(store: Store) -> list[Judgment]:
    with store.read() as session:
        return list(session.scalars(sa.select(Judgment)))


def test_an_answer_that_is_sent_again_is_stored_once(
    empty_store: Store, study: StudyInfo, rater: str, answer: dict[str, object]
) -> None:
    saved = {"text": "Saved.", "ok": True, "stored": True, "hold": False, "load": []}
    following = set()
    for _ in range(3):
        status, reply = send(answer)
        following.add(reply.pop("next")["pair"])  # type: ignore[index]
        assert (status, reply) == (200, saved)
    assert following == {served(empty_store, study, rater).assignment_id}
    (one,) = judgments(empty_store)
    assert (one.rater_id, one.winner, one.justification) == (rater, "left", "straight in")
    refused = send(answer | {"winner": "right"})[1]
    assert (refused["ok"], refused["stored"]) == (False, False)
    assert refused["text"] == "This pair was answered before; the first answer stands."


def test_the_next_pair_comes_with_the_reply_and_its_videos_are_loaded_before(
    empty_store: Store, study: StudyInfo, rater: str, answer: dict[str, object]
) -> None:
    ahead = {"kind": "ahead", "pair": answer["pair"], "ticket": answer["ticket"]}
    load = send(ahead)[1]["load"]
    following: dict[str, object] = send(answer)[1]["next"]  # type: ignore[assignment]
    assert [following["left"], following["right"]] == load
    assert (following["standing"], following["undo"] is None) == ("1 of 6 pairs judged", False)
    undo = {"kind": "undo", "answer": following["undo"], "ticket": following["ticket"]}
    again: dict[str, object] = send(undo)[1]["next"]  # type: ignore[assignment]
    assert again["earlier"] == [answer["pair"]]
    # Of a pair that is no longer on screen, nothing follows.
    assert send(ahead)[1]["load"] == []
    # After the last pair the page says what follows.
    change_settings(empty_store, study, ADMIN, pairs_per_rater=1)
    assert send(answer | {"pair": again["pair"]})[1]["next"] is None


def test_an_answer_is_stored_in_the_study_of_its_pair(
    empty_store: Store, study: StudyInfo, answer: dict[str, object], players: dict[str, Path]
) -> None:
    newer = unwatched_study(empty_store, "newer", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in players.values():
        submit_recordings(empty_store, newer, folder)
    send(answer)
    assert [one.study_id for one in judgments(empty_store)] == [study.id]


def test_an_undo_that_is_sent_again_withdraws_one_answer(
    empty_store: Store, study: StudyInfo, rater: str, answer: dict[str, object]
) -> None:
    send(answer)
    send(answer | {"pair": served(empty_store, study, rater).assignment_id})
    last = judgments(empty_store)[-1]
    undo = {"kind": "undo", "answer": last.id, "ticket": answer["ticket"]}
    for _ in range(2):
        assert send(undo)[1]["stored"] is True
    again = served(empty_store, study, rater)
    assert again.earlier == (last.assignment_id,)


def test_an_open_page_keeps_its_pair_reserved(
    empty_store: Store, study: StudyInfo, answer: dict[str, object]
) -> None:
    with empty_store.write() as session:
        session.execute(sa.update(Assignment).values(expires=Assignment.created))
    renewal = {"kind": "renew", "pair": answer["pair"], "ticket": answer["ticket"]}
    assert send(renewal)[1]["stored"] is True
    with empty_store.read() as session:
        (one,) = session.scalars(sa.select(Assignment))
    assert (one.expires - one.created).total_seconds() >= 60 * study.rules.reserve_minutes
    send(answer)
    assert send(renewal)[1]["stored"] is False


def test_too_many_answers_are_to_be_sent_again(
    empty_store: Store, study: StudyInfo, rater: str, answer: dict[str, object]
) -> None:
    change_settings(empty_store, study, ADMIN, answers_per_minute=1)
    send(answer)
    pair = served(empty_store, study, rater)
    assert send(answer | {"pair": pair.assignment_id})[0] == 429
    assert len(judgments(empty_store)) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": "http://127.0.0.1"}, 200),
    ],
)
def test_only_the_apps_own_pages_send_answers(
    empty_store: Store, answer: dict[str, object], headers: dict[str, str], status: int
) -> None:
    assert send(answer, **headers)[0] == status
    assert len(judgments(empty_store)) == (status == 200)


@pytest.mark.parametrize(
    "changes",
    [
        {"ticket": ""}, {"ticket": "x" * 501}, {"kind": "ban"}, {"pair": ["x"]}, {"seen": [1, 1e400]},
        {"justification": "\0"}, {"justification": "\ud800"}, {"events": [[]]}, {"winner": None},
    ],
)  # fmt: skip
def test_what_no_page_sends_is_refused(
    empty_store: Store, answer: dict[str, object], changes: dict[str, object]
) -> None:
    assert send(answer | changes)[0] in (403, 422)
    assert judgments(empty_store) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b" " * (MAX_BODY + 1)])
def test_no_body_is_a_fault_of_the_server(empty_store: Store, body: bytes) -> None:
    reply = BROWSER.post(ACT_PATH, content=body, headers={"content-type": "application/json"})
    assert reply.status_code in (413, 422)


def test_a_page_of_somebody_who_was_forgotten_or_a_forged_one_sends_nothing(
    empty_store: Store, study: StudyInfo, rater: str, answer: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ticket = str(answer["ticket"])
    assert send(answer | {"ticket": ticket[:-1] + "AB"[ticket[-1] == "A"]})[0] == 403
    other = rater_ticket(empty_store, study, register_rater(empty_store, "other"))
    reply = send(answer | {"ticket": other})[1]
    assert reply["stored"] is False and "not yours to answer" in str(reply["text"])
    monkeypatch.setattr(acts, "TICKET_DAYS", -1)
    assert send(answer)[0] == 403
    monkeypatch.undo()
    erase(empty_store, rater)
    assert send(answer)[0] == 403
    assert judgments(empty_store) == []
