"""However a study ends for a person, the platform's code and the way back are right, and the payment list says so."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from basalt.cli.leaderboard import leaderboard_main
from basalt.io.errors import StudyError
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.invites import StudyFullError, check_invite, create_invite
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.payments import LONGEST_ANSWER_S, payment_list
from leaderboard.judging.rater_view import next_view, rater_view
from leaderboard.judging.raters import join, outcome_of
from leaderboard.store.database import Store, open_store
from leaderboard.studies.access import AccessDeniedError, command_line_admin
from leaderboard.studies.events import ban
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import PROLIFIC_RETURN, JudgingSettings, change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CODES = {"screened_out": "OUT", "failed_checks": "CHECK", "no_consent": "NO", "closed": "FULL"}
Place = tuple[Store, StudyInfo, Path]


@pytest.fixture
def place(tmp_path: Path):
    """A study on Prolific with a code for each outcome, one practice pair and one pair to judge."""
    path = tmp_path / "leaderboard.sqlite"
    store = open_store(str(path), tmp_path / "media")
    study = fill(store, 3, 2)
    with store.read() as session:
        (one, other), *_ = all_pairs(session, study)
    add_gold_pair(store, study, ADMIN, one.id, other.id, "left")
    change_settings(
        store, study, ADMIN, platform="prolific", completion_code="DONE", pairs_per_rater=1,
        qualification_pairs=1, qualification_right=1,
        endings={outcome: {"code": code} for outcome, code in CODES.items()},
    )  # fmt: skip
    yield store, study, path
    store.close()


def answer(place: Place, rater: str, winner: str, seconds: float = 60) -> None:
    store, study, _ = place
    pair = next_pair(store, study, rater, now=NOON)
    assert pair is not None
    later = NOON + timedelta(seconds=seconds)
    answer_pair(store, pair.assignment_id, rater, winner, now=later)


def member(place: Place, name: str) -> str:
    ids = {"participant": name, "platform_session": f"session {name}"}
    return join(place[0], place[1], name, platform="prolific", **ids)


def practised(place: Place, rater: str) -> None:
    # The right answer is left, and sides are drawn.
    change_settings(place[0], place[1], ADMIN, qualification_right=0)
    answer(place, rater, "draw")


def completed(place: Place, rater: str) -> None:
    practised(place, rater)
    answer(place, rater, "left")


def screened_out(place: Place, rater: str) -> None:
    answer(place, rater, "both_bad")


def failed_checks(place: Place, rater: str) -> None:
    ban(place[0], place[1], ADMIN, rater, "failed 3 attention checks")


def closed(place: Place, rater: str) -> None:
    change_settings(place[0], place[1], ADMIN, paused=True)


@pytest.mark.parametrize(
    ("end", "code"),
    [(completed, "DONE"), (screened_out, "OUT"), (failed_checks, "CHECK"), (closed, "FULL")],
)
def test_each_outcome_has_its_code_and_leads_back_to_prolific(
    place: Place, end: Callable[[Place, str], None], code: str
) -> None:
    store, study, _ = place
    rater = member(place, "P1")
    assert rater_view(store, study, rater).ending is None
    end(place, rater)
    view, pair = next_view(store, study, rater)
    assert pair is None and view.ending is not None
    assert outcome_of(view.status) == end.__name__
    assert (view.ending.code, view.ending.address) == (code, PROLIFIC_RETURN.format(code=code))
    (paid,) = payment_list(store, study, ADMIN)
    assert (paid.participant, paid.session, paid.outcome, paid.code) == (
        "P1", "session P1", end.__name__, code,
    )  # fmt: skip


def test_a_paused_study_takes_open_answers_and_goes_on_where_it_stopped(place: Place) -> None:
    store, study, _ = place
    rater = member(place, "P1")
    practised(place, rater)
    pair = next_pair(store, study, rater, now=NOON)
    assert pair is not None
    change_settings(store, study, ADMIN, paused=True, pairs_per_rater=2)
    answer_pair(store, pair.assignment_id, rater, "left", now=NOON)
    with pytest.raises(AccessDeniedError, match="paused"):
        next_pair(store, study, rater)
    with pytest.raises(AccessDeniedError, match="paused"):
        member(place, "P2")
    change_settings(store, study, ADMIN, paused=False)
    view, pair = next_view(store, study, rater)
    assert (view.status.answered, pair is not None) == (1, True)


def test_an_own_address_comes_before_the_platforms() -> None:
    own = {"no_consent": {"code": "NO", "url": "https://x.test/no?{code}"}}
    settings = JudgingSettings(platform="prolific", endings=own)
    assert settings.ending("no_consent").address == "https://x.test/no?NO"
    # Without a code, Prolific would refuse what comes back.
    assert settings.ending("closed").address == settings.ending("completed").address == ""


def test_an_invite_needs_the_codes_that_prolific_asks_for(place: Place) -> None:
    store, study, _ = place
    change_settings(store, study, ADMIN, completion_code="", endings={}, consent="Agreed?")
    with pytest.raises(StudyError) as refused:
        create_invite(store, study, ADMIN, "batch 1")
    for name in ("completed", "screened out", "no consent"):
        assert f"the code for {name}" in str(refused.value)
    assert "failed checks" not in str(refused.value)  # nobody is banned by a rule here
    change_settings(store, study, ADMIN, platform="mturk")
    create_invite(store, study, ADMIN, "batch 1")


def test_a_used_up_invite_is_told_from_a_wrong_one(place: Place) -> None:
    store, study, _ = place
    token = create_invite(store, study, ADMIN, "one", max_raters=1)
    join(store, study, "alice", invite=token)
    with pytest.raises(StudyFullError, match="already used"):
        check_invite(store, study, token)
    with pytest.raises(AccessDeniedError) as unknown:
        check_invite(store, study, "forged")
    assert not isinstance(unknown.value, StudyFullError)


def test_the_list_of_payments_is_written_for_a_spreadsheet(place: Place, tmp_path: Path) -> None:
    path = place[2]
    first = member(place, "P1")
    practised(place, first)
    answer(place, first, "left", seconds=90)
    second = member(place, "=P2()")
    answer(place, second, "both_bad", seconds=29 * 60)  # a break
    member(place, "P3")
    file = tmp_path / "payments.csv"
    assert leaderboard_main(["payments", str(file), "--store", str(path)]) == 0
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["participant"], row["outcome"], row["code"]) for row in rows] == [
        ("P1", "completed", "DONE"), ("'=P2()", "", ""), ("P3", "", ""),
    ]  # fmt: skip
    assert [float(row["minutes_active"]) for row in rows] == [2.5, LONGEST_ANSWER_S / 60, 0.0]
    assert [row["judged"] for row in rows] == ["1", "0", "0"]
