"""Pairs of clips are served two at a time, once to each rater and to one at a time; answers come back as comparisons."""

import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from basalt.core.comparisons import Comparison, Winner, read_comparisons, write_comparisons
from basalt.core.reliability import reliability
from basalt.io.errors import StudyError
from leaderboard.http.video_urls import pair_videos, served_video_name, video_of_ticket
from leaderboard.judging.clip_answers import FLOOR_SPEED, answer_clips, answers_since, undo_clips
from leaderboard.judging.clip_queue import (
    AHEAD,
    Question,
    ServedClips,
    add_questions,
    clip_rater_view,
    next_clips,
    queue_state,
)
from leaderboard.judging.judgments import AnswerRefusedError
from leaderboard.judging.quality import rater_reports, study_quality
from leaderboard.judging.raters import (
    ending_of,
    erase,
    rater_of_code,
    rater_status,
    register_rater,
)
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import ClipAnswer, ClipShowing, RefusedAnswer
from leaderboard.studies.access import AccessDeniedError, TooManyRequestsError, command_line_admin
from leaderboard.studies.events import ban, unban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.studies.settings import change_settings, get_settings
from tests.support import ROOT
from tests.support.clip_study import STEPS, clip, clips_to_compare, put, questions

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADMIN = command_line_admin()
LONG_ENOUGH = STEPS / 20 / FLOOR_SPEED


class Rater:
    """A rater who takes ten seconds for each answer."""

    def __init__(self, store: Store, study: StudyInfo, name: str = "rater", seed: int = 0) -> None:
        self.store = store
        self.study = study
        self.id = register_rater(store, name)
        self.now = NOON
        self.rng = random.Random(seed)

    def pairs(self) -> list[ServedClips]:
        return next_clips(self.store, self.study, self.id, now=self.now, rng=self.rng)

    def answer(self, winner: str = "left", seconds: float = 10.0) -> str:
        """Answer the next pair; returns why it does not count."""
        pair = self.pairs()[0]
        self.now += timedelta(seconds=10)
        return answer_clips(
            self.store,
            self.study,
            pair.assignment_id,
            self.id,
            winner,
            seconds=seconds,
            skip_reason="no_opinion" if winner == "skip" else None,
            now=self.now,
        )

    def undo(self) -> None:
        undo_clips(self.store, self.study, self.id, now=self.now)


@pytest.fixture
def study(store: Store) -> StudyInfo:
    return clips_to_compare(store)


@pytest.fixture
def rater(store: Store, study: StudyInfo) -> Rater:
    return Rater(store, study)


def shown(store: Store, pair: ServedClips) -> ClipShowing:
    with store.read() as session:
        return session.scalars(
            sa.select(ClipShowing).where(ClipShowing.id == pair.assignment_id)
        ).one()


def exported(store: Store, study: StudyInfo) -> list[Comparison]:
    return load_comparisons(store, study, checks=True)


def test_a_rater_gets_each_question_once_with_the_next_one_ahead(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    seen, ahead = [], ""
    for done in range(6):
        # A skip, as the first one is, settles its question and does not count as an answer of the rater.
        assert rater_status(store, study, rater.id).answered == max(0, done - 1)
        pairs = rater.pairs()
        assert len(pairs) == min(AHEAD, 6 - done)
        assert rater.pairs()[0].assignment_id == pairs[0].assignment_id
        assert ahead in ("", pairs[0].assignment_id)
        ahead = pairs[-1].assignment_id
        seen.append(shown(store, pairs[0]).question_id)
        assert (pairs[0].task, pairs[0].seconds) == ("find_cave", STEPS / 20)
        assert rater.answer("skip" if done == 0 else "left") == ""
    assert rater.pairs() == []
    assert len(set(seen)) == 6
    assert queue_state(store, study).missing == 0
    view, pairs = clip_rater_view(store, study, rater.id)
    assert (view.status.answered, view.status.skipped, view.missing, pairs) == (5, 1, 0, [])


def test_the_queue_is_asked_in_order_and_each_pair_once(store: Store, study: StudyInfo) -> None:
    assert put(store, study, questions(6)) == []
    assert len(put(store, study, [*questions(8), *questions(8)])) == 2
    swapped = [replace(one, first=one.second, second=one.first) for one in questions(8)]
    assert put(store, study, swapped) == []
    rater = Rater(store, study)
    while rater.pairs():
        rater.answer()
    starts = [{one.left_start, one.right_start} for one in exported(store, study)]
    assert starts == [{n, n + 7} for n in range(8)]


def test_answers_come_back_as_comparisons_of_what_was_shown(
    store: Store, study: StudyInfo, rater: Rater, tmp_path
) -> None:
    put(
        store, study, questions(4, 100, selector="disagreement", selection_probability=1.0, round=3)
    )
    sides = []
    for winner in ("left", "right", "draw", "both_bad", "skip", "left", "right"):
        showing = shown(store, rater.pairs()[0])
        sides.append((showing.left_clip_id, showing.right_clip_id))
        rater.answer(winner)
    found = exported(store, study)
    assert [one.winner for one in found] == [
        "left", "right", "draw", "both_bad", "skip", "left", "right",
    ]  # fmt: skip
    assert {one.left_start == n for n, one in enumerate(found[:6])} == {True, False}  # both sides
    for n, one in enumerate(found[:6]):
        left, right = (clip(0, n), clip(1, n + 7))
        assert {one.left, one.right} == {left, right}
        assert (one.selector, one.selection_probability, one.round) == ("uniform", 0.25, None)
    assert (found[6].selector, found[6].selection_probability, found[6].round) == (
        "disagreement",
        1,
        3,
    )
    assert {one.source for one in found} == {"human"}
    assert {(one.seconds, one.speed, one.rater) for one in found} == {(10.0, 1.0, rater.id)}
    assert {(one.world, one.world_version, one.task) for one in found} == {
        ("test", "1", "find_cave")
    }
    assert rate(found) == []  # a clip ranks nobody
    write_comparisons(tmp_path / "answers.parquet", found)
    assert read_comparisons(tmp_path / "answers.parquet") == found


def test_two_raters_at_once_never_hold_the_same_question(store: Store, study: StudyInfo) -> None:
    raters = [Rater(store, study, f"rater {n}", n) for n in range(3)]
    held: list[list[str]] = [[] for _ in raters]

    def take(number: int) -> None:
        held[number] = [shown(store, pair).question_id for pair in raters[number].pairs()]

    threads = [threading.Thread(target=take, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(len(one) for one in held) == {AHEAD: 3}
    assert len({question for one in held for question in one}) == 6
    # Nothing is left for a fourth one until a reservation has expired.
    late = Rater(store, study, "late")
    assert late.pairs() == []
    late.now = NOON + timedelta(minutes=study.rules.reserve_minutes)
    assert len(late.pairs()) == AHEAD


def test_an_expired_pair_is_given_back_and_its_late_answer_taken_once(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    (pair, _) = rater.pairs()
    late = NOON + timedelta(minutes=study.rules.reserve_minutes)
    with pytest.raises(AccessDeniedError, match="no longer reserved"):
        served_video_name(store, pair.assignment_id, "left", now=late)
    rater.now = late
    again = rater.pairs()[0]
    assert again.assignment_id != pair.assignment_id
    assert shown(store, again).question_id == shown(store, pair).question_id

    def answer(served: ServedClips) -> str:
        return answer_clips(
            store, study, served.assignment_id, rater.id, "left", seconds=9, now=late
        )

    for _ in range(2):
        assert answer(pair) == ""
    assert [one.winner for one in exported(store, study)] == ["left"]
    # It is not asked again, nor answered twice.
    assert again.assignment_id not in [one.assignment_id for one in rater.pairs()]
    with pytest.raises(AnswerRefusedError, match="answered since"):
        answer(again)


def test_a_late_answer_does_not_count_beside_somebody_elses(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    (pair, _) = rater.pairs()
    late = NOON + timedelta(minutes=study.rules.reserve_minutes)
    other = Rater(store, study, "other")
    other.now = late
    assert shown(store, other.pairs()[0]).question_id == shown(store, pair).question_id
    other.answer("right")
    with pytest.raises(AnswerRefusedError, match="answered since"):
        answer_clips(store, study, pair.assignment_id, rater.id, "left", seconds=9, now=other.now)
    other.undo()
    answer_clips(store, study, pair.assignment_id, rater.id, "left", seconds=9, now=other.now)
    assert [one.winner for one in exported(store, study)] == ["left"]


def test_a_visit_renews_the_reservations(store: Store, study: StudyInfo, rater: Rater) -> None:
    first = rater.pairs()
    rater.now += timedelta(minutes=study.rules.reserve_minutes - 1)
    again = rater.pairs()
    assert [one.assignment_id for one in again] == [one.assignment_id for one in first]
    assert again[0].expires == rater.now + timedelta(minutes=study.rules.reserve_minutes)


def test_the_same_answer_twice_counts_once_and_strangers_answers_are_refused(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    (pair, _) = rater.pairs()
    other = Rater(store, study, "other")

    def send(who: str, winner: str, **facts: float) -> str:
        given = {"seconds": 9.0, "now": NOON + timedelta(seconds=10), **facts}
        return answer_clips(store, study, pair.assignment_id, who, winner, **given)  # type: ignore[arg-type]

    for who, winner, facts, expected in (
        (other.id, "left", {}, "served to another rater"),
        (rater.id, "best", {}, "expected one of left"),
        (rater.id, "left", {"seconds": float("nan")}, "expected a time"),
        (rater.id, "left", {"seconds": -1.0}, "expected a time"),
        (rater.id, "left", {"speed": 0.0}, "expected a number up to 5"),
    ):
        with pytest.raises(AnswerRefusedError, match=expected):
            send(who, winner, **facts)
    with pytest.raises(AnswerRefusedError, match="unknown pair"):
        answer_clips(store, study, "0" * 32, rater.id, "left", seconds=9)
    assert send(rater.id, "left") == send(rater.id, "left") == ""
    with pytest.raises(AnswerRefusedError, match="first answer stands"):
        send(rater.id, "right")
    assert [one.winner for one in exported(store, study)] == ["left"]
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RefusedAnswer)) == 7


def test_too_many_answers_in_a_minute_wait(store: Store, study: StudyInfo, rater: Rater) -> None:
    change_settings(store, study, ADMIN, answers_per_minute=2)
    rater.answer()
    rater.answer()
    with pytest.raises(TooManyRequestsError):
        rater.answer()
    rater.now += timedelta(minutes=1)
    assert rater.answer() == ""


def test_an_answer_that_was_too_fast_is_kept_with_its_reason_and_asked_again(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    first = shown(store, rater.pairs()[0]).question_id
    reason = rater.answer("right", seconds=LONG_ENOUGH - 0.1)
    assert reason == "answered after 3.1 s; clips of 6.4 s take at least 3.2 s"
    assert queue_state(store, study).answered == 0
    (kept,) = exported(store, study)
    assert (kept.winner, kept.preference) == ("skip", None)
    assert kept.justification == f"dropped: {reason}"
    assert kept.seconds == pytest.approx(3.1)
    with store.read() as session:
        assert session.scalar(sa.select(ClipAnswer.winner)) == "right"
    # Another rater gets it first; who dropped it, last of all.
    assert shown(store, Rater(store, study, "other").pairs()[0]).question_id == first
    rater.now += timedelta(minutes=study.rules.reserve_minutes)
    asked = []
    while pairs := rater.pairs():
        asked.append(shown(store, pairs[0]).question_id)
        assert rater.answer(seconds=LONG_ENOUGH) == ""
    assert asked[-1] == first and len(asked) == 6
    assert queue_state(store, study).missing == 0


def test_a_browser_cannot_claim_more_time_than_has_passed(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    (pair, _) = rater.pairs()
    soon = NOON + timedelta(seconds=1)
    assert answer_clips(store, study, pair.assignment_id, rater.id, "left", seconds=60, now=soon)
    assert answer_clips(store, study, pair.assignment_id, rater.id, "left", seconds=60, now=soon)
    assert [one.seconds for one in exported(store, study)] == [1.0]


def test_an_undone_answer_is_asked_again_first_with_the_same_sides(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    before = shown(store, rater.pairs()[0])
    rater.answer("left")
    rater.undo()
    again = shown(store, rater.pairs()[0])
    assert again.id != before.id
    assert (again.left_clip_id, again.right_clip_id) == (before.left_clip_id, before.right_clip_id)
    with pytest.raises(AnswerRefusedError, match="withdrawn"):
        answer_clips(store, study, before.id, rater.id, "left", seconds=9, now=rater.now)
    rater.answer("right")
    assert [one.winner for one in exported(store, study)] == ["right"]
    rater.now += timedelta(seconds=get_settings(store, study).undo_seconds + 1)
    with pytest.raises(AnswerRefusedError, match="only within 60 s"):
        rater.undo()
    with pytest.raises(AnswerRefusedError, match="no answer to withdraw"):
        Rater(store, study, "new").undo()


def test_repeats_are_hidden_with_the_sides_swapped(store: Store) -> None:
    study = clips_to_compare(store, 30, check_share=0.5, check_kinds=["repeat"])
    always_left, steady = Rater(store, study, "left"), Rater(store, study, "steady", 1)
    for _ in range(20):
        always_left.answer("left")
        showing = shown(store, steady.pairs()[0])
        # Better is the clip with the lower id, whichever side it is on.
        steady.answer("left" if showing.left_clip_id < showing.right_clip_id else "right")
    by_id = {one.comparison_id: one for one in exported(store, study)}
    repeats = [one for one in by_id.values() if one.pair_of is not None]
    assert 5 <= len(repeats) <= 20
    for one in repeats:
        first = by_id[str(one.pair_of)]
        assert (one.left, one.right, one.rater) == (first.right, first.left, first.rater)
    found = {
        name: reliability(one for one in by_id.values() if one.rater == who.id)
        for name, who in (("left", always_left), ("steady", steady))
    }
    assert found["left"].itself.share == 0.0 and found["left"].left.share == 1.0
    assert found["steady"].itself.share == 1.0
    # The study's owner sees the same.
    reports = {one.rater_id: one for one in rater_reports(store, study, ADMIN)}
    assert reports[always_left.id].repeats == (0, found["left"].itself.trials)
    assert reports[steady.id].repeats == (found["steady"].itself.trials,) * 2
    assert reports[always_left.id].left_share == 1.0
    assert reports[steady.id].median_seconds == 10.0
    quality = study_quality(store, study)
    assert quality.repeated.count == len(repeats)
    assert quality.judgments == len(by_id) - len(repeats)
    # A repeat is nobody's answer to the question, and never alone: it needs a question to hide among.
    assert all(one.selector == "uniform" for one in by_id.values())
    assert rater_status(store, study, steady.id).attention_checks == found["steady"].itself.trials


def test_gold_questions_are_hidden_and_whoever_fails_too_many_is_banned(store: Store) -> None:
    study = clips_to_compare(
        store, 20, check_share=0.5, check_kinds=["gold"], ban_after_failed_checks=2
    )
    put(
        store, study, [Question("find_cave", clip(2, n), clip(3, n), gold="left") for n in range(5)]
    )
    assert queue_state(store, study).asked == 20
    careful, careless = Rater(store, study, "careful"), Rater(store, study, "careless", 1)
    golds: Counter[Winner | None] = Counter()
    for _ in range(12):
        showing = shown(store, careful.pairs()[0])
        with store.read() as session:
            gold = session.merge(showing).question.gold
            first = session.merge(showing).question.first_clip_id
        careful.answer("left" if gold and showing.left_clip_id == first else "right")
    for one in exported(store, study):
        golds[one.gold] += one.gold is not None
        if one.gold is not None:
            assert one.winner == one.gold
            assert (one.left if one.gold == "left" else one.right) in [clip(2, n) for n in range(5)]
            assert one.selector is None
    assert golds["left"] and golds["right"]  # both sides
    with pytest.raises(AccessDeniedError, match="no longer judge"):
        for _ in range(20):
            careless.answer("both_bad")
    assert rater_status(store, study, careless.id).state == "banned"
    assert {one.rater for one in exported(store, study)} == {careful.id}
    assert {one.rater_id: one.gold[0] for one in rater_reports(store, study, ADMIN)}[
        careless.id
    ] == 0


def test_some_questions_are_answered_by_two_raters(store: Store) -> None:
    study = clips_to_compare(store, 12, overlap_share=0.5)
    first, second = Rater(store, study, "first"), Rater(store, study, "second", 1)
    for _ in range(6):
        first.answer("left")
        second.answer("left")
    times = Counter(frozenset((one.left, one.right)) for one in exported(store, study))
    assert Counter(times.values())[2] >= 2
    assert study_quality(store, study).shared_pairs == Counter(times.values())[2]
    assert max(times.values()) == 2


def test_a_loop_polls_new_answers_once_they_are_settled(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    assert answers_since(store, study, now=NOON).comparisons == []
    rater.answer("left")
    rater.answer("right")
    assert answers_since(store, study, now=rater.now).comparisons == []  # can still be withdrawn
    rater.undo()
    rater.now += timedelta(seconds=61)
    settled = answers_since(store, study, now=rater.now)
    assert [one.winner for one in settled.comparisons] == ["left"]
    assert answers_since(store, study, settled.cursor, now=rater.now).comparisons == []
    rater.answer("draw")
    rater.answer("left", seconds=0.5)
    rater.now += timedelta(seconds=61)
    later = answers_since(store, study, settled.cursor, now=rater.now)
    assert [one.winner for one in later.comparisons] == ["draw", "skip"]
    assert later.cursor > settled.cursor
    assert answers_since(store, study, now=rater.now).comparisons == exported(store, study)
    ban(store, study, ADMIN, rater.id, "at random")
    assert answers_since(store, study, now=rater.now).comparisons == []
    assert queue_state(store, study).answered == 0
    unban(store, study, ADMIN, rater.id, "by mistake")
    assert queue_state(store, study).answered == 2


def test_a_rounds_missing_answers_are_counted(store: Store, study: StudyInfo, rater: Rater) -> None:
    put(store, study, questions(4, 50, round=1))
    for _ in range(7):
        rater.answer()
    assert (queue_state(store, study).missing, queue_state(store, study, 1).missing) == (3, 3)
    assert queue_state(store, study, 2).asked == 0


def test_a_rater_who_is_done_gets_a_code(store: Store, study: StudyInfo, rater: Rater) -> None:
    settings = change_settings(store, study, ADMIN, pairs_per_rater=2)
    assert len(rater.pairs()) == 2
    rater.answer()
    assert len(rater.pairs()) == 1
    rater.answer()
    assert rater.pairs() == []
    view, _ = clip_rater_view(store, study, rater.id)
    assert view.ending == ending_of(store, study, rater.id, settings, view.status)
    assert rater_of_code(store, study, ADMIN, view.ending.code) == rater.id


def test_clips_are_served_by_signed_links_that_name_nobody(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    pair = next_clips(store, study, rater.id)[0]
    links = pair_videos(store, pair)
    for link in (links.left, links.right):
        name = video_of_ticket(store, link.rsplit("/", 1)[1])
        assert re.fullmatch(r"clips/[0-9a-f]{64}\.mp4", name)
        assert "player" not in repr(pair) + link
    with pytest.raises(AccessDeniedError):
        video_of_ticket(store, links.left.rsplit("/", 1)[1][:-1])


def test_personal_data_is_erased_and_the_answers_stay(
    store: Store, study: StudyInfo, rater: Rater
) -> None:
    rater.answer("left")
    erase(store, rater.id)
    assert [one.winner for one in exported(store, study)] == ["left"]
    with pytest.raises(StudyError, match="are append-only"), store.write() as session:
        try:
            session.execute(sa.delete(ClipAnswer))
        except sa.exc.DBAPIError as err:
            raise StudyError(str(err)) from err


def test_studies_of_clips_and_of_episodes_are_kept_apart(store: Store, study: StudyInfo) -> None:
    episodes = create_study(store, "episodes", demo_study({"find_cave": [100_001]}, "test", "1"))
    newer = clips_newer = create_study(store, "newer", study.rules)
    assert find_study(store).name == "episodes" and clips_newer == newer
    rater = register_rater(store, "somebody")
    with pytest.raises(StudyError, match="expected a study of clips"):
        next_clips(store, episodes, rater)
    with pytest.raises(StudyError, match="asks about find_cave, not make_waterfall"):
        add_questions(store, study, [replace(questions(1, 90)[0], task="make_waterfall")])
    with pytest.raises(StudyError, match="a clip of a question is missing"):
        add_questions(store, study, questions(1, 90))
    change_settings(store, study, ADMIN, qualification_pairs=1)
    with pytest.raises(StudyError, match="no practice pairs"):
        next_clips(store, study, rater)


ANSWER_FOR_EVER = """
import sys
from tests.leaderboard.judging.test_clips import Rater
from leaderboard.store.database import open_store
from leaderboard.studies.rules import find_study
store = open_store(*sys.argv[1:])
rater = Rater(store, find_study(store), "rater")
while True:
    rater.answer()
    print("stored", flush=True)
"""


def test_a_process_killed_between_answers_loses_none(store_place: tuple[str, object]) -> None:
    location, media = str(store_place[0]), str(store_place[1])
    store = open_store(location, media)
    study = clips_to_compare(store, 200)
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWER_FOR_EVER, location, media],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == "stored\n"
    process.send_signal(signal.SIGKILL)
    seen = 3 + len(process.stdout.read().split())
    process.wait()
    found = exported(store, study)
    assert seen <= len(found) <= seen + 1
    assert len({frozenset((one.left, one.right)) for one in found}) == len(found)
    # Who comes back resumes at the pair that was open.
    rater = Rater(store, study)
    rater.now = NOON + timedelta(seconds=10 * len(found))
    while len(exported(store, study)) < 10:
        rater.answer()
    assert queue_state(store, study).answered == 10
    store.close()
