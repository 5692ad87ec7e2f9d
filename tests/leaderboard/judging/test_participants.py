"""Participants are known by their platform's id: in each of their browsers, and apart from others in the same one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from basalt.io.errors import StudyError
from leaderboard.http.api import create_server
from leaderboard.judging.assignments import next_pair, renew
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import create_invite, list_invites, revoke_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.participants import (
    MOST_BROWSERS,
    BrowserRequest,
    Participant,
    allow_browser,
    browser_requests,
    personal_links,
)
from leaderboard.judging.quality import rater_reports
from leaderboard.judging.rater_view import rater_view
from leaderboard.judging.raters import enter, erase, find_rater, join, rater_status
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Assignment
from leaderboard.studies.access import AccessDeniedError, command_line_admin
from leaderboard.studies.events import ban, history, release
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()


@pytest.fixture
def place(tmp_path: Path):
    """A study by invitation of one pair each, and a token of an invite."""
    store = open_store(str(tmp_path / "leaderboard.sqlite"), tmp_path / "media")
    study = fill(store, 3, 2)
    change_settings(store, study, ADMIN, open_signup=False, pairs_per_rater=1)
    yield store, study, create_invite(store, study, ADMIN, "batch 1")
    store.close()


Place = tuple[Store, StudyInfo, str]


def begin(place: Place, browser: str, person: str | None, **options: Any) -> str:
    """Join by the link, as the page does after its instructions."""
    store, study, invite = place
    ids = {} if person is None else {"platform": "prolific", "participant": person}
    return join(store, study, browser, invite=invite, **ids, **options)


def arrive(
    place: Place, browser: str, person: str | None, *, minutes: float = 0, **options: Any
) -> str | None:
    """Open the link, now or some minutes later; None for somebody who has yet to join."""
    store, study, invite = place
    named = None if person is None else Participant("prolific", person, **options)
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    return enter(store, study, browser, participant=named, invite=invite, now=now)


def judge(place: Place, rater: str) -> None:
    store, study, _ = place
    pair = next_pair(store, study, rater)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "left")


def code(place: Place, rater: str) -> str | None:
    view = rater_view(place[0], place[1], rater)
    return view.ending.code if view.ending and view.status.state == "done" else None


def test_a_participant_goes_on_in_another_browser_and_the_owner_sees_it(place: Place) -> None:
    store, study, _ = place
    rater = begin(place, "laptop", "P1")
    judge(place, rater)
    assert arrive(place, "phone", "P1", minutes=4) == rater == arrive(place, "laptop", "P1")
    # Back later without the link, in both.
    assert arrive(place, "phone", None) == rater == arrive(place, "laptop", None)
    assert find_rater(store, "phone", study.id) == rater == find_rater(store, "phone")
    assert begin(place, "phone", "P1") == rater
    (event,) = [one for one in history(store, study, ADMIN) if one.kind == "attach"]
    assert (event.rater_id, event.data["reason"]) == (rater, "continued in browser 2")
    (report,) = rater_reports(store, study, ADMIN)
    assert report.browsers == 2


def test_while_another_browser_is_active_the_owner_decides(place: Place) -> None:
    store, study, _ = place
    rater = begin(place, "laptop", "P1")
    pair = next_pair(store, study, rater)
    assert pair is not None
    for _ in range(2):
        with pytest.raises(AccessDeniedError, match="open in another of your browsers"):
            arrive(place, "phone", "P1")
    assert [one.kind for one in history(store, study, ADMIN)].count("ask") == 1
    # An open page is active, too; the first browser continues.
    later = datetime.now(UTC) + timedelta(minutes=10)
    assert renew(store, study, rater, pair.assignment_id, now=later)
    with pytest.raises(AccessDeniedError, match="open in another of your browsers"):
        arrive(place, "phone", "P1", minutes=12)
    assert arrive(place, "laptop", "P1") == rater
    (request,) = browser_requests(store, study, ADMIN)
    assert request.rater_id == rater and "phone" not in request.browser
    allow_browser(store, study, ADMIN, request)
    assert browser_requests(store, study, ADMIN) == []
    assert arrive(place, "phone", "P1", minutes=12) == rater
    # Only that browser; and none has to be allowed once the page is closed.
    with pytest.raises(AccessDeniedError, match="open in another of your browsers"):
        arrive(place, "tablet", "P1", minutes=12)
    assert arrive(place, "tablet", "P1", minutes=14) == rater
    with pytest.raises(StudyError, match="no such request"):
        allow_browser(store, study, ADMIN, BrowserRequest(rater, "0" * 16, later))


def test_a_page_that_was_left_open_keeps_its_pair_and_is_not_active(place: Place) -> None:
    store, study, _ = place
    rater = begin(place, "laptop", "P1")
    pair = next_pair(store, study, rater)
    assert pair is not None
    start = datetime.now(UTC)
    for minutes in range(1, 61):
        moment = start + timedelta(minutes=minutes)
        assert renew(store, study, rater, pair.assignment_id, idle=minutes > 5, now=moment)
    with store.read() as session:
        assert session.get_one(Assignment, pair.assignment_id).expires > moment + timedelta(
            minutes=20
        )
    assert arrive(place, "phone", "P1", minutes=60) == rater


def test_three_browsers_are_enough(place: Place) -> None:
    begin(place, "browser 1", "P1")
    for number in range(2, MOST_BROWSERS + 1):
        assert arrive(place, f"browser {number}", "P1") is not None
    for _ in range(2):
        with pytest.raises(AccessDeniedError, match="3 browsers already"):
            arrive(place, "one more", "P1")
        assert arrive(place, "browser 2", "P1") is not None


def test_an_id_without_an_invite_is_not_enough(place: Place) -> None:
    store, study, invite = place
    rater = begin(place, "laptop", "P1")
    change_settings(store, study, ADMIN, open_signup=True)
    person = Participant("prolific", "P1")
    for token in (None, "forged"):
        with pytest.raises(AccessDeniedError, match="open the invitation link"):
            enter(store, study, "thief", participant=person, invite=token)
    # An invite that lets nobody new in will do: the participant has joined before.
    (info,) = list_invites(store, study, ADMIN)
    revoke_invite(store, study, ADMIN, info.id)
    assert enter(store, study, "phone", participant=person, invite=invite) == rater


def test_another_participant_in_the_same_browser_gets_no_code_of_the_first(place: Place) -> None:
    first = begin(place, "shared", "P1")
    judge(place, first)
    assert code(place, first) is not None
    assert arrive(place, "shared", "P2") is None
    second = begin(place, "shared", "P2")
    assert second != first and code(place, second) is None
    assert arrive(place, "shared", None) == second
    judge(place, second)
    assert code(place, second) not in (None, code(place, first))
    # Each link leads to its own participant, no matter who used the browser last.
    assert arrive(place, "shared", "P1") == first
    assert arrive(place, "shared", "P2") == second
    # Without an id, one browser is one person.
    assert begin(place, "shared", None) == second


def test_somebody_who_began_without_an_id_may_tell_it_before_the_first_answer(place: Place) -> None:
    anonymous = begin(place, "laptop", None)
    assert arrive(place, "laptop", "P1") is None
    assert begin(place, "laptop", "P1") == anonymous
    other = begin(place, "library", None)
    judge(place, other)
    assert begin(place, "library", "P2") != other


def failed(place: Place, rater: str) -> None:
    store, study, _ = place
    with store.read() as session:
        (one, other), *_ = all_pairs(session, study)
    add_gold_pair(store, study, ADMIN, one.id, other.id, "left")
    change_settings(store, study, ADMIN, qualification_pairs=1, qualification_right=1)
    pair = next_pair(store, study, rater)
    assert pair is not None
    answer_pair(store, pair.assignment_id, rater, "both_bad")
    assert rater_status(store, study, rater).state == "failed"
    change_settings(store, study, ADMIN, pairs_per_rater=1)


def banned(place: Place, rater: str) -> None:
    ban(place[0], place[1], ADMIN, rater, "at random")


def banned_and_forgotten(place: Place, rater: str) -> None:
    banned(place, rater)
    erase(place[0], rater)


@pytest.mark.parametrize("end", [banned, failed, banned_and_forgotten])
def test_who_follows_a_banned_or_failed_participant_is_held_for_review(place: Place, end) -> None:
    store, study, _ = place
    end(place, begin(place, "shared", "P1"))
    second = begin(place, "shared", "P2")
    change_settings(store, study, ADMIN, qualification_pairs=0, qualification_right=0)
    judge(place, second)
    status = rater_status(store, study, second)
    assert (status.state, status.held, code(place, second)) == ("done", True, None)
    (report,) = [one for one in rater_reports(store, study, ADMIN) if one.participant == "P2"]
    assert report.held
    release(store, study, ADMIN, second)
    assert code(place, second) is not None
    with pytest.raises(StudyError, match="not held"):
        release(store, study, ADMIN, second)
    # In a browser of their own others are not held.
    assert not rater_status(store, study, begin(place, "another", "P3")).held


def test_the_ids_of_the_platform_are_kept_and_erased(place: Place) -> None:
    store, study, _ = place
    change_settings(store, study, ADMIN, open_signup=True)
    rater = begin(place, "laptop", "P1", platform_study="S1", platform_session="A1")
    begin(place, "laptop", "P1", platform_session="A2")

    def ids() -> tuple[str | None, ...]:
        (one,) = rater_reports(store, study, ADMIN)
        return one.participant, one.platform_study, one.platform_session

    assert ids() == ("P1", "S1", "A2")
    erase(store, rater)
    assert ids() == (None, None, None)
    assert arrive(place, "laptop", None) is None


def test_signed_ids_cannot_be_forged(place: Place) -> None:
    store, study, invite = place
    change_settings(store, study, ADMIN, signed_ids=True)
    people = ["P1", "P 2&3"]
    links = personal_links(store, study, ADMIN, "https://x.test/", invite, "prolific", people)
    raters = []
    for person, link in zip(people, links, strict=True):
        query = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
        assert (query["PROLIFIC_PID"], query["invite"]) == (person, invite)
        raters.append(begin(place, person, person, signature=query["sig"]))
        assert arrive(place, "phone", person, signature=query["sig"]) == raters[-1]
        for wrong in (None, "", "é", query["sig"][:-1] + "x"):
            with pytest.raises(AccessDeniedError, match="not valid for this participant"):
                begin(place, "thief", person, signature=wrong)
            with pytest.raises(AccessDeniedError, match="not valid for this participant"):
                arrive(place, "thief", person, signature=wrong)
    assert len({*raters}) == 2
    with pytest.raises(StudyError, match="no such invite"):
        personal_links(store, study, ADMIN, "https://x.test", "forged", "other", people)


def test_over_http_a_participant_goes_on_with_another_secret(place: Place) -> None:
    store, study, invite = place
    change_settings(store, study, ADMIN, pairs_per_rater=2)
    body = {"invite": invite, "platform": "prolific", "participant": "P1"}
    with TestClient(create_server(store)) as client:
        people = [client.post("/api/studies/small/join", json=body).json() for _ in range(2)]
        assert people[0]["secret"] != people[1]["secret"]
        assert people[0]["rater"] == people[1]["rater"]
        for done, one in enumerate(people):
            headers = {"Authorization": f"Bearer {one['secret']}"}
            me = client.get("/api/studies/small/me", headers=headers).json()
            assert (me["rater"], me["done"], me["held"]) == (one["rater"], done, False)
            pair = client.post("/api/studies/small/next", headers=headers).json()["pair"]
            given = {"pair": pair, "winner": "left"}
            assert client.post("/api/answers", json=given, headers=headers).status_code == 200
