"""Pairs are served blind, once and to one rater; answers are stored once and for the right pair."""

import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from basalt.core.recording import sha256_of
from basalt.io.errors import StudyError
from leaderboard.http.video_urls import served_video_name
from leaderboard.judging.assignments import ServedPair, assign, next_pair, renew
from leaderboard.judging.judgments import (
    AnswerRefusedError,
    StoredAnswer,
    answer_pair,
    undo_last,
)
from leaderboard.judging.rater_view import rater_view
from leaderboard.judging.raters import register_rater
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, Episode, Judgment, Rater
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study
from leaderboard.studies.settings import change_settings

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADMIN = command_line_admin()
ALL_PAIRS = 6


def served(store: Store, study: StudyInfo, rater: str, **options: datetime) -> ServedPair:
    pair = next_pair(store, study, rater, **options)  # type: ignore[arg-type]
    assert pair is not None
    return pair


def pairs_judged(store: Store, source: str = "human") -> Counter[str]:
    with store.read() as session:
        return Counter(session.scalars(sa.select(Judgment.pair).where(Judgment.source == source)))


def test_a_rater_sees_each_pair_once_and_then_is_done(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "secret")
    for done in range(ALL_PAIRS):
        assert rater_view(store, full_study, rater).status.answered == done
        pair = served(store, full_study, rater)
        answer_pair(store, pair.assignment_id, rater, "draw" if done == 0 else "left")
    assert next_pair(store, full_study, rater) is None
    assert rater_view(store, full_study, rater) == rater_view(store, full_study, rater)
    assert rater_view(store, full_study, rater).total == ALL_PAIRS
    assert set(pairs_judged(store).values()) == {1}
    assert len(pairs_judged(store)) == ALL_PAIRS


def test_pairs_are_of_the_same_task_and_seed_by_two_agents(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "secret")
    while pair := next_pair(store, full_study, rater):
        answer_pair(store, pair.assignment_id, rater, "draw")
    for one in load_comparisons(store, full_study):
        assert one.left_agent != one.right_agent
        assert one.left_episode != one.right_episode


def test_what_is_served_tells_nothing_of_the_players(store: Store, full_study: StudyInfo) -> None:
    pair = served(store, full_study, register_rater(store, "secret"))
    path = store.media_file(served_video_name(store, pair.assignment_id, "left"))
    for name in ("good", "middling", "poor"):
        assert name not in repr(pair)
        assert name not in str(path.relative_to(store.media))


def test_both_sides_are_given_to_each_agent(store: Store, full_study: StudyInfo) -> None:
    lefts: Counter[str] = Counter()
    rng = random.Random(0)
    for number in range(12):
        rater = register_rater(store, f"rater {number}")
        while pair := next_pair(store, full_study, rater, rng=rng):
            answer_pair(store, pair.assignment_id, rater, "draw")
    for one in load_comparisons(store, full_study):
        lefts[one.left_agent] += 1
    # 72 pairs, each agent in 48 of them: left between a quarter and three quarters of its times.
    assert set(lefts) == {"good", "middling", "poor"}
    assert all(12 <= count <= 36 for count in lefts.values())


def test_asked_again_before_the_answer_it_is_the_same_pair(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "secret")
    assert served(store, full_study, rater) == served(store, full_study, rater)


def test_an_expired_pair_is_given_back(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    assert pair.expires == NOON + timedelta(minutes=30)
    late = pair.expires
    with pytest.raises(StudyError, match="no longer reserved"):
        store.media_file(served_video_name(store, pair.assignment_id, "left", now=late))
    again = served(store, full_study, rater, now=late)
    assert again.assignment_id != pair.assignment_id
    answer_pair(store, again.assignment_id, rater, "left", now=late)


def pair_of(store: Store, assignment_id: str) -> str:
    with store.read() as session:
        return session.get_one(Assignment, assignment_id).pair


def test_a_late_answer_is_taken_and_its_pair_not_asked_again(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    late = pair.expires + timedelta(hours=2)
    # The page was loaded again meanwhile; the pair may be the same one.
    again = served(store, full_study, rater, now=late)
    assert answer_pair(store, pair.assignment_id, rater, "left", now=late)
    seen = {pair_of(store, pair.assignment_id)}
    while one := next_pair(store, full_study, rater, now=late):
        key = pair_of(store, one.assignment_id)
        assert key not in seen
        seen.add(key)
        answer_pair(store, one.assignment_id, rater, "left", now=late)
    assert len(seen) == ALL_PAIRS and set(pairs_judged(store).values()) == {1}
    if pair_of(store, again.assignment_id) == pair_of(store, pair.assignment_id):
        with pytest.raises(AnswerRefusedError, match="answered since"):
            answer_pair(store, again.assignment_id, rater, "left", now=late)


def test_a_pair_that_was_reserved_again_just_when_its_late_answer_came_is_judged_once(
    store: Store, full_study: StudyInfo
) -> None:
    """On PostgreSQL, serving does not wait for answers."""
    rater = register_rater(store, "secret")
    first = served(store, full_study, rater, now=NOON)
    late = NOON + timedelta(hours=1)
    answer_pair(store, first.assignment_id, rater, "left", now=late)
    with store.write() as session:
        before = session.get_one(Assignment, first.assignment_id)
        sides = (before.left_episode_id, before.right_episode_id)
        again = assign(session, full_study, rater, sides, late).id
    with pytest.raises(AnswerRefusedError, match="has been answered since"):
        answer_pair(store, again, rater, "right", now=late)
    other = served(store, full_study, rater, now=late)
    assert other.assignment_id != again
    answer_pair(store, other.assignment_id, rater, "left", now=late)
    assert set(pairs_judged(store).values()) == {1} and len(pairs_judged(store)) == 2


def test_a_late_answer_does_not_count_beside_somebody_elses(
    store: Store, full_study: StudyInfo
) -> None:
    alice, bob = register_rater(store, "alice"), register_rater(store, "bob")
    early, lost = served(store, full_study, alice, now=NOON), NOON + timedelta(hours=1)
    key = pair_of(store, early.assignment_id)
    while pair := next_pair(store, full_study, bob, now=lost):
        answer_pair(store, pair.assignment_id, bob, "left", now=lost)
    assert pairs_judged(store)[key] == 1
    with pytest.raises(AnswerRefusedError, match="answered since; your answer came too late"):
        answer_pair(store, early.assignment_id, alice, "right", now=lost)
    assert pairs_judged(store)[key] == 1


def test_a_pair_is_renewed_while_its_page_is_open(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    for minutes in range(10, 100, 10):
        now = NOON + timedelta(minutes=minutes)
        assert renew(store, full_study, rater, pair.assignment_id, now=now)
        assert served(store, full_study, rater, now=now).assignment_id == pair.assignment_id
    # The machine slept, and nobody asked for another pair meanwhile.
    later = NOON + timedelta(hours=9)
    assert renew(store, full_study, rater, pair.assignment_id, now=later)
    assert store.media_file(served_video_name(store, pair.assignment_id, "left", now=later))
    for other, now in ((register_rater(store, "other"), later), (rater, later)):
        assert renew(store, full_study, other, pair.assignment_id, now=now) == (other == rater)
    over = later + timedelta(hours=9)
    again = served(store, full_study, rater, now=over)
    assert not renew(store, full_study, rater, pair.assignment_id, now=over)
    answer_pair(store, again.assignment_id, rater, "left", now=over)
    assert not renew(store, full_study, rater, again.assignment_id, now=over)
    assert not renew(store, full_study, rater, "0" * 32, now=over)


def test_what_was_watched_before_an_undo_need_not_be_watched_again(
    store: Store, full_study: StudyInfo
) -> None:
    change_settings(store, full_study, ADMIN, watch_share=0.9)
    with store.write() as session:
        session.execute(sa.update(Episode).values(steps=20 * 180))
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    later = NOON + timedelta(seconds=60)
    answer_pair(store, pair.assignment_id, rater, "left", watched=(1, 1), now=later)
    again = undo_last(store, full_study, rater, now=later)
    answer_pair(store, again.assignment_id, rater, "right", watched=(1, 1), now=later)
    assert [one.winner for one in load_comparisons(store, full_study)] == ["right"]


def test_two_raters_get_different_pairs_while_there_are_some(
    store: Store, full_study: StudyInfo
) -> None:
    raters = [register_rater(store, f"rater {number}") for number in range(ALL_PAIRS)]
    for rater in raters:
        served(store, full_study, rater)
    for rater in raters:
        answer_pair(store, served(store, full_study, rater).assignment_id, rater, "left")
    assert set(pairs_judged(store).values()) == {1}
    assert len(pairs_judged(store)) == ALL_PAIRS


def test_the_same_answer_twice_counts_once_and_another_is_refused(
    store: Store, full_study: StudyInfo
) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    arguments = (store, pair.assignment_id, rater)
    first = answer_pair(*arguments, "left", now=NOON)
    assert answer_pair(*arguments, "left", now=NOON) == first
    # Also when the repetition comes late: the answer itself was in time.
    assert answer_pair(*arguments, "left", now=NOON + timedelta(days=1)) == first
    with pytest.raises(AnswerRefusedError, match="first answer stands"):
        answer_pair(*arguments, "right", now=NOON)
    assert pairs_judged(store).total() == 1


def test_foreign_unknown_and_malformed_answers_are_refused(
    store: Store, full_study: StudyInfo
) -> None:
    mine, other = register_rater(store, "mine"), register_rater(store, "other")
    pair = served(store, full_study, mine)
    for assignment, rater, winner, message in (
        (pair.assignment_id, other, "left", "served to another rater"),
        ("0" * 32, mine, "left", "unknown pair"),
        (pair.assignment_id, mine, "both", "expected one of left"),
    ):
        with pytest.raises(AnswerRefusedError, match=message):
            answer_pair(store, assignment, rater, winner)
    with pytest.raises(AnswerRefusedError, match="longer than"):
        answer_pair(store, pair.assignment_id, mine, "left", justification="x" * 10_001)
    assert not pairs_judged(store)


def test_an_answer_keeps_all_that_was_said(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater, now=NOON)
    answer_pair(
        store,
        pair.assignment_id,
        rater,
        "both_bad",
        justification=" '); DROP TABLE judgment; -- <script>alert(1)</script> ",
        responses={"Which player seemed more human-like?": "draw"},
        video_events=[{"type": "play", "source": "left", "at": 0.0}],
        now=NOON + timedelta(seconds=42),
    )
    with store.read() as session:
        stored = session.scalars(sa.select(Judgment)).one()
    assert stored.winner == "both_bad"
    assert stored.justification == "'); DROP TABLE judgment; -- <script>alert(1)</script>"
    assert stored.responses == {"Which player seemed more human-like?": "draw"}
    assert stored.video_events == [{"type": "play", "source": "left", "at": 0.0}]
    assert stored.seconds == 42.0
    assert stored.created == NOON + timedelta(seconds=42)


def test_served_videos_are_the_recorded_ones(store: Store, full_study: StudyInfo) -> None:
    rater = register_rater(store, "secret")
    pair = served(store, full_study, rater)
    sides = [
        sha256_of(store.media_file(served_video_name(store, pair.assignment_id, side)))
        for side in ("left", "right")
    ]
    answer_pair(store, pair.assignment_id, rater, "right")
    (one,) = load_comparisons(store, full_study)
    assert sides == [one.left_episode, one.right_episode]
    for assignment, side in ((pair.assignment_id, "middle"), ("../../etc/passwd", "left")):
        with pytest.raises(StudyError, match="no such video"):
            store.media_file(served_video_name(store, assignment, side))


def test_ten_raters_at_once_lose_and_double_nothing(store: Store, full_study: StudyInfo) -> None:
    failures: list[BaseException] = []
    answers: list[StoredAnswer] = []

    def judge(number: int) -> None:
        try:
            rater = register_rater(store, f"rater {number}")
            while pair := next_pair(store, full_study, rater):
                for _ in range(2):  # a double click
                    answers.append(answer_pair(store, pair.assignment_id, rater, "left"))
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(answers)) == 10 * ALL_PAIRS
    assert pairs_judged(store) == Counter(dict.fromkeys(pairs_judged(store), 10))
    assert len(pairs_judged(store)) == ALL_PAIRS


def test_raters_are_known_by_their_secret_which_is_not_stored(store: Store) -> None:
    first = register_rater(store, "a long secret")
    assert register_rater(store, "a long secret", "Ada") == first
    assert register_rater(store, "a long secret") == first
    assert register_rater(store, "another secret") != first
    with store.read() as session:
        rater = session.get_one(Rater, first)
    assert rater.name == "Ada"
    assert "secret" not in repr(vars(rater))
    with pytest.raises(StudyError, match="cannot be printed"):
        register_rater(store, "a long secret", "line\nbreak")


def test_an_unknown_rater_is_sent_back(store: Store, full_study: StudyInfo) -> None:
    with pytest.raises(StudyError, match="unknown rater"):
        next_pair(store, full_study, "0" * 32)


def test_telemetry_judges_every_pair_once(store: Store, full_study: StudyInfo) -> None:
    assert judge_by_telemetry(store, full_study) == ALL_PAIRS
    assert judge_by_telemetry(store, full_study) == 0
    assert pairs_judged(store, "telemetry") == Counter(
        dict.fromkeys(pairs_judged(store, "telemetry"), 1)
    )
    (table,) = rate(load_comparisons(store, full_study))
    assert table.source == "telemetry"
    assert [row.agent for row in table.rows] == ["good", "middling", "poor"]
    assert [row.comparisons for row in table.rows] == [4, 4, 4]
    reasons = {one.justification for one in load_comparisons(store, full_study)}
    assert reasons == {"succeeded sooner", "only this player succeeded"}


def test_telemetry_takes_no_pair_from_people(store: Store, full_study: StudyInfo) -> None:
    judge_by_telemetry(store, full_study)
    rater = register_rater(store, "secret")
    assert rater_view(store, full_study, rater) == rater_view(store, full_study, rater)
    assert rater_view(store, full_study, rater).status.answered == 0
    pair = served(store, full_study, rater)
    answer_pair(store, pair.assignment_id, rater, "draw")
    assert [table.source for table in rate(load_comparisons(store, full_study))] == [
        "human",
        "telemetry",
    ]
    assert len(load_comparisons(store, full_study, ["human"])) == 1


def test_sources_a_study_does_not_take_are_refused(store: Store, study: StudyInfo) -> None:
    closed = create_study(store, "closed", study.rules.model_copy(update={"sources": ("bedd",)}))
    with pytest.raises(StudyError, match="does not accept judgments from source 'telemetry'"):
        judge_by_telemetry(store, closed)
    with pytest.raises(StudyError, match="does not accept judgments from source 'human'"):
        next_pair(store, closed, register_rater(store, "secret"))


def test_a_study_of_one_agent_has_no_pair(store: Store, study: StudyInfo) -> None:
    assert next_pair(store, study, register_rater(store, "secret")) is None
    assert judge_by_telemetry(store, study) == 0
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Episode)) == 0
