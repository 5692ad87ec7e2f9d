"""Skipping is not judging: it earns nothing, has a budget and a reason, and shows in the raters' table."""

import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.gold_pairs import add_gold_pair, list_gold_pairs
from leaderboard.judging.judgments import AnswerRefusedError, answer_pair, undo_last
from leaderboard.judging.matchmaking import board_of
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.quality import rater_reports, study_quality
from leaderboard.judging.rater_view import next_view, rater_view
from leaderboard.judging.raters import join, rater_status
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import AttentionCheck, Judgment
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
PAIRS = 6


@pytest.fixture
def place(tmp_path: Path):
    """A study of six pairs: three agents, two seeds."""
    store = open_store(str(tmp_path / "leaderboard.sqlite"), tmp_path / "media")
    yield store, fill(store, 3, 2)
    store.close()


def served(store: Store, study: StudyInfo, rater: str, **options) -> ServedPair:
    pair = next_pair(store, study, rater, **options)
    assert pair is not None
    return pair


def skip(store: Store, study: StudyInfo, rater: str, reason: str = "no_opinion", **options) -> None:
    pair = served(store, study, rater, **options)
    answer_pair(store, pair.assignment_id, rater, "skip", skip_reason=reason)


def judge(store: Store, study: StudyInfo, rater: str) -> None:
    answer_pair(store, served(store, study, rater).assignment_id, rater, "left")


def add_gold(store: Store, study: StudyInfo) -> None:
    with store.read() as session:
        pairs = [(one.id, other.id) for one, other in all_pairs(session, study)]
    for one, other in pairs[:2]:
        add_gold_pair(store, study, ADMIN, one, other, "left")


def test_skips_do_not_pay_what_a_rater_owes(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    change_settings(store, study, ADMIN, pairs_per_rater=2)
    rater = join(store, study, "alice")
    for _ in range(3):
        skip(store, study, rater)
    status = rater_status(store, study, rater)
    assert (status.state, status.answered, status.skipped, status.skips_left) == ("judge", 0, 3, 7)
    judge(store, study, rater)
    judge(store, study, rater)
    view = rater_view(store, study, rater)
    assert view.status.state == "done" and view.ending is not None


def test_who_skips_everything_is_never_done(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    rater = join(store, study, "alice")
    for _ in range(PAIRS):
        skip(store, study, rater)
    view, pair = next_view(store, study, rater)
    assert pair is None
    assert (view.status.state, view.ending) == ("judge", None)


@pytest.mark.parametrize("limit", [None, PAIRS])
def test_who_has_judged_and_seen_all_pairs_is_done(
    place: tuple[Store, StudyInfo], limit: int | None
) -> None:
    store, study = place
    change_settings(store, study, ADMIN, pairs_per_rater=limit)
    rater = join(store, study, "alice")
    for number in range(PAIRS):
        assert rater_status(store, study, rater).state == "judge"
        skip(store, study, rater) if number % 2 else judge(store, study, rater)
    assert rater_status(store, study, rater).state == "done"
    view, pair = next_view(store, study, rater)
    assert pair is None and view.ending is not None
    # The owner may find later that this was too much skipping.
    change_settings(store, study, ADMIN, skips_allowed=2)
    assert rater_view(store, study, rater).ending is None


def test_the_budget_holds_and_is_given_back_by_undo(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    change_settings(store, study, ADMIN, skips_allowed=1)
    rater = join(store, study, "alice")
    skip(store, study, rater, "broken")
    with pytest.raises(AnswerRefusedError, match="allows 1 skipped pairs"):
        skip(store, study, rater)
    undo_last(store, study, rater)
    assert rater_status(store, study, rater).skips_left == 1
    skip(store, study, rater)
    with pytest.raises(AnswerRefusedError, match="allows 1 skipped pairs"):
        skip(store, study, rater, "broken")
    judge(store, study, rater)


def test_a_skip_has_a_reason_and_other_answers_have_none(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    rater = join(store, study, "alice")
    pair = served(store, study, rater).assignment_id
    for winner, reason in (("skip", None), ("skip", "bored"), ("left", "broken")):
        with pytest.raises(AnswerRefusedError, match="skip_reason"):
            answer_pair(store, pair, rater, winner, skip_reason=reason)
    answer_pair(store, pair, rater, "skip", skip_reason="broken")
    with store.read() as session:
        assert session.scalars(sa.select(Judgment.skip_reason)).all() == ["broken"]


def test_a_skipped_pair_stays_with_the_others(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    alice, bob = join(store, study, "alice"), join(store, study, "bob")
    for _ in range(PAIRS):
        skip(store, study, alice)
    with store.read() as session:
        assert board_of(store, session, study.id).shown.sum() == 0
    change_settings(store, study, ADMIN, overlap_share=1.0)
    seen = set()
    for _ in range(PAIRS):
        pair = served(store, study, bob)
        seen.add((pair.seed, *sorted(pair.steps)))
        judge(store, study, bob)
    assert len(seen) == PAIRS


@pytest.mark.parametrize("kind", ["gold", "self"])
def test_a_skipped_check_is_neither_passed_nor_failed(
    place: tuple[Store, StudyInfo], kind: str
) -> None:
    store, study = place
    add_gold(store, study)
    change_settings(
        store, study, ADMIN, check_share=0.5, check_kinds=(kind,), ban_after_failed_checks=1
    )
    rater, rng = join(store, study, "alice"), random.Random(4)
    skip(store, study, rater, rng=rng)
    with store.read() as session:
        assert session.scalars(sa.select(AttentionCheck.kind)).all() == [kind]
    (report,) = rater_reports(store, study, ADMIN)
    assert report.state == "judge"
    assert (report.gold, report.self_pairs) == ((0, 0), (0, 0))
    assert (report.judged, report.skipped) == (0, 1)
    assert sum(one.answered for one in list_gold_pairs(store, study, ADMIN)) == 0


def test_a_skipped_practice_pair_comes_again_and_tells_nothing(
    place: tuple[Store, StudyInfo],
) -> None:
    store, study = place
    add_gold(store, study)
    change_settings(store, study, ADMIN, qualification_pairs=2, qualification_right=2)
    rater = join(store, study, "alice")
    for _ in range(3):
        pair = served(store, study, rater)
        assert pair.qualification
        given = answer_pair(store, pair.assignment_id, rater, "skip", skip_reason="broken")
        assert given.feedback is None
    status = rater_status(store, study, rater)
    assert (status.state, status.qualification.answered, status.skipped) == ("qualify", 0, 3)


def test_raters_who_skip_are_flagged(place: tuple[Store, StudyInfo]) -> None:
    store, study = place
    change_settings(store, study, ADMIN, skips_allowed=3)
    people = {"often": (3, 1), "sometimes": (1, 4), "never": (0, 4), "early": (1, 1)}
    flags = {}
    for name, (skips, judged) in people.items():
        rater = join(store, study, name)
        for _ in range(judged):
            judge(store, study, rater)
        for _ in range(skips):
            skip(store, study, rater)
        flags[rater] = name
    found = {flags[one.rater_id]: one for one in rater_reports(store, study, ADMIN)}
    # They answer in no time, which is a flag of its own.
    skipped = {
        name: tuple(flag for flag in one.flags if flag.startswith("skipped"))
        for name, one in found.items()
    }
    assert skipped == {
        "often": ("skipped 3 of 4",), "sometimes": (), "never": (), "early": (),
    }  # fmt: skip
    assert {name: (one.skipped, one.judged) for name, one in found.items()} == people
    assert study_quality(store, study).judgments == sum(judged for _, judged in people.values())
