"""The pair after the one on screen is reserved ahead, so that its videos can be loaded: the same rules hold for it."""

import random
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from leaderboard.http.video_urls import pair_videos, video_of_ticket
from leaderboard.judging.assignments import ServedPair, next_pair, renew, reserve_ahead
from leaderboard.judging.gold_pairs import add_gold_pair
from leaderboard.judging.judgments import AnswerRefusedError, answer_pair, undo_last
from leaderboard.judging.pairs import all_pairs
from leaderboard.judging.raters import join, new_rater_secret
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, AttentionCheck, Judgment, pair_key
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def study(store: Store) -> StudyInfo:
    """A study of six pairs."""
    return fill(store, agents=3, seeds=2)


@pytest.fixture
def rater(store: Store, study: StudyInfo) -> str:
    return join(store, study, new_rater_secret(store))


def shown(store: Store, study: StudyInfo, rater: str, now: datetime = START) -> ServedPair:
    pair = next_pair(store, study, rater, now=now)
    assert pair is not None
    return pair


def ahead_of(
    store: Store, study: StudyInfo, rater: str, pair: ServedPair, now: datetime = START
) -> ServedPair:
    ahead = reserve_ahead(store, study, rater, pair.assignment_id, now=now)
    assert ahead is not None
    return ahead


def episodes_of(store: Store, pair: ServedPair) -> str:
    with store.read() as session:
        return session.get_one(Assignment, pair.assignment_id).pair


def test_the_pair_ahead_is_served_next_and_its_time_begins_then(
    store: Store, study: StudyInfo, rater: str
) -> None:
    first = shown(store, study, rater)
    ahead = ahead_of(store, study, rater, first)
    assert episodes_of(store, ahead) != episodes_of(store, first)
    assert ahead_of(store, study, rater, first) == ahead
    # The pair on screen stays the pair on screen.
    assert shown(store, study, rater).assignment_id == first.assignment_id
    later = START + timedelta(minutes=20)
    answer_pair(store, first.assignment_id, rater, "left", now=later)
    second = shown(store, study, rater, later)
    assert second.assignment_id == ahead.assignment_id
    assert second.expires == later + timedelta(minutes=study.rules.reserve_minutes)
    answer_pair(store, second.assignment_id, rater, "right", now=later + timedelta(seconds=5))
    with store.read() as session:
        took = list(session.scalars(sa.select(Judgment.seconds).order_by(Judgment.number)))
    assert took == [1200, 5]


def test_its_videos_can_be_loaded_at_the_address_that_they_will_have(
    store: Store, study: StudyInfo, rater: str
) -> None:
    first = shown(store, study, rater)
    ahead = ahead_of(store, study, rater, first)
    links = pair_videos(store, ahead)
    assert video_of_ticket(store, links.left.rsplit("/", 1)[1], now=START)
    later = START + timedelta(minutes=3)
    answer_pair(store, first.assignment_id, rater, "left", now=later)
    assert pair_videos(store, shown(store, study, rater, later)) == links


def test_it_cannot_be_answered_before_it_is_shown(
    store: Store, study: StudyInfo, rater: str
) -> None:
    ahead = ahead_of(store, study, rater, shown(store, study, rater))
    with pytest.raises(AnswerRefusedError, match="not shown yet"):
        answer_pair(store, ahead.assignment_id, rater, "left", now=START)


def test_others_get_other_pairs_while_it_is_reserved(
    store: Store, study: StudyInfo, rater: str
) -> None:
    first = shown(store, study, rater)
    ahead = ahead_of(store, study, rater, first)
    others = [join(store, study, new_rater_secret(store)) for _ in range(4)]
    taken = {episodes_of(store, shown(store, study, one)) for one in others}
    assert len(taken) == 4 and not taken & {episodes_of(store, one) for one in (first, ahead)}


def test_it_stays_reserved_while_the_page_is_open_and_is_given_back_by_an_undo(
    store: Store, study: StudyInfo, rater: str
) -> None:
    first = shown(store, study, rater)
    answer_pair(store, first.assignment_id, rater, "left", now=START)
    second = shown(store, study, rater)
    ahead = ahead_of(store, study, rater, second)
    later = START + timedelta(minutes=10)
    assert renew(store, study, rater, second.assignment_id, now=later)
    with store.read() as session:
        expires = session.get_one(Assignment, ahead.assignment_id).expires
    assert expires == later + timedelta(minutes=study.rules.reserve_minutes)
    change_settings(store, study, ADMIN, undo_seconds=3600)
    again = undo_last(store, study, rater, now=later)
    assert episodes_of(store, again) == episodes_of(store, first)
    assert shown(store, study, rater, later).assignment_id == again.assignment_id
    with store.read() as session:
        assert session.get_one(Assignment, ahead.assignment_id).expires == later


def test_nothing_is_reserved_beyond_what_the_rater_owes(
    store: Store, study: StudyInfo, rater: str
) -> None:
    change_settings(store, study, ADMIN, pairs_per_rater=2)
    first = shown(store, study, rater)
    ahead_of(store, study, rater, first)
    answer_pair(store, first.assignment_id, rater, "left", now=START)
    last = shown(store, study, rater)
    assert reserve_ahead(store, study, rater, last.assignment_id, now=START) is None
    assert reserve_ahead(store, study, rater, first.assignment_id, now=START) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_rater_with_pairs_ahead_judges_each_pair_once_checks_included(
    store: Store, study: StudyInfo, rater: str, seed: int
) -> None:
    with store.read() as session:
        pairs = [(one.id, other.id) for one, other in all_pairs(session, study)]
    for one, other in pairs[:3]:
        add_gold_pair(store, study, ADMIN, one, other, "left")
    change_settings(store, study, ADMIN, check_share=0.5, answers_per_minute=1000)
    rng = random.Random(seed)
    while pair := next_pair(store, study, rater, now=START, rng=rng):
        ahead = reserve_ahead(store, study, rater, pair.assignment_id, now=START, rng=rng)
        answer_pair(store, pair.assignment_id, rater, rng.choice(["left", "right"]), now=START)
        following = next_pair(store, study, rater, now=START, rng=rng)
        if ahead is not None:
            assert following is not None and following.assignment_id == ahead.assignment_id
    with store.read() as session:
        judged = list(session.scalars(sa.select(Judgment.pair)))
        gold = [
            pair_key(one.left_episode_id, one.right_episode_id)
            for one in session.scalars(
                sa.select(AttentionCheck).where(AttentionCheck.kind == "gold")
            )
        ]
    # Gold pairs and ordinary pairs are never the same to one rater.
    assert len(judged) == len(set(judged)) and not set(gold) & set(judged)
    assert sorted([*judged, *gold]) == sorted(pair_key(*pair) for pair in pairs)
