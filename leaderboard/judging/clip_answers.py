"""Answers about clips: added once and never changed; an event withdraws them, and a loop reads them as they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.comparisons import Comparison
from basalt.core.tasks import STEPS_PER_SECOND
from leaderboard.judging.clip_queue import (
    counted_answers,
    last_clip_answer,
    require_clips,
    reservation,
)
from leaderboard.judging.judgments import (
    FASTEST,
    AnswerRefusedError,
    check_answerable,
    check_repeated,
    check_skip_reason,
    check_skips,
    check_undo,
    check_winner,
    replaced,
    store_refused,
)
from leaderboard.store.database import Store
from leaderboard.store.models import ClipAnswer, ClipShowing, count, new_id
from leaderboard.studies.access import AccessDeniedError
from leaderboard.studies.events import (
    BY_RATER,
    BY_RULE,
    add_event,
    give_back,
    rater_log,
    record_ban,
    withdrawn_answers,
)
from leaderboard.studies.export import load_clip_comparisons
from leaderboard.studies.rules import StudyInfo, lock_study
from leaderboard.studies.settings import JudgingSettings, read_settings

FLOOR_SPEED = 2.0
"""An answer that took less time than the clips take at this speed is dropped."""


def answer_clips(
    store: Store,
    study: StudyInfo,
    showing_id: str,
    rater_id: str,
    winner: str,
    *,
    seconds: float,
    speed: float = 1.0,
    skip_reason: str | None = None,
    now: datetime | None = None,
) -> str:
    """Store a rater's answer; it is durable when this returns. The same answer sent twice counts once.

    An answer that was given too fast is stored with the reason and does not count. One after the pair's time is taken,
    unless another answer has replaced it. A refused one is stored apart.

    Args:
        store: Leaderboard.
        study: Study of clips.
        showing_id: Id of the served pair.
        rater_id: Rater who answers; the pair must have been served to this rater.
        winner: Answer, one of `leaderboard.store.models.WINNERS`.
        seconds: Time from when the pair could be played to the answer, as the browser measured it; at most the time
            since the pair was reserved counts.
        speed: Playback speed.
        skip_reason: Why the pair is skipped, one of `leaderboard.store.models.SKIP_REASONS`; None for other answers.
        now: Current time; tests set it.

    Returns:
        Why the answer does not count; empty if it does.

    Raises:
        AnswerRefusedError: The pair is unknown, served to another rater, answered differently before, or answered by
            somebody else since its time was over; the rater has used up the study's skips; or the answer is malformed.
        AccessDeniedError: The rater is banned.
        TooManyRequestsError: More answers in a minute than the study allows; the pair stays reserved.
    """
    now = now or datetime.now(UTC)
    try:
        check_winner(winner)
        check_skip_reason(winner, skip_reason)
        _check_pace(seconds, speed)
        with store.write() as session:
            # The numbers of answers grow in the order of commits.
            lock_study(session, study)
            showing = session.scalar(
                sa.select(ClipShowing).where(
                    ClipShowing.id == showing_id, ClipShowing.study_id == study.id
                )
            )
            if showing is None:
                raise AnswerRefusedError("unknown pair; the answer was not stored", "unknown_pair")
            if showing.rater_id != rater_id:
                raise AnswerRefusedError(
                    "this pair was served to another rater; the answer was not stored",
                    "unknown_pair",
                )
            earlier = session.scalar(
                sa.select(ClipAnswer).where(ClipAnswer.showing_id == showing_id)
            )
            if earlier is not None:
                check_repeated(session, study.id, earlier, winner)
                return earlier.dropped
            settings = read_settings(session, study.id)
            log = rater_log(session, study.id, rater_id)
            check_answerable(session, log, rater_id, settings, now)
            if now >= showing.expires:
                _check_late(session, showing)
            if winner == "skip":
                check_skips(session, showing, settings)
            took = min(seconds, (now - showing.created).total_seconds())
            answer = ClipAnswer(
                id=new_id(),
                study_id=study.id,
                showing_id=showing_id,
                rater_id=rater_id,
                winner=winner,
                dropped="" if winner == "skip" else _too_fast(showing, took),
                seconds=took,
                speed=speed,
                created=now,
                skip_reason=skip_reason,
            )
            session.add(answer)
            session.flush()
            _end_others(session, showing, now)
            _after_gold(session, study, rater_id, settings)
            return answer.dropped
    except (AnswerRefusedError, AccessDeniedError) as err:
        store_refused(store, showing_id, rater_id, winner, str(err), now)
        raise


def _check_late(session: Session, showing: ClipShowing) -> None:
    """Refuse an answer that comes after the pair's time if another answer has replaced it, as for a pair of episodes.

    Raises:
        AnswerRefusedError: Another answer stands.
    """
    given = (
        ClipAnswer.showing_id == ClipShowing.id,
        ClipShowing.question_id == showing.question_id,
        ClipAnswer.dropped == "",
        ClipAnswer.id.not_in(withdrawn_answers(session, showing.study_id)),
    )
    own = (ClipAnswer.rater_id == showing.rater_id, ClipAnswer.created >= showing.created)
    others = (ClipAnswer.rater_id != showing.rater_id, ClipAnswer.created >= showing.expires)
    # Checks are about one rater: what others answer replaces nothing.
    is_check = showing.repeats is not None or showing.question.gold is not None
    if count(session, *given, *own) or (
        not is_check and count(session, *given, *others, ClipShowing.repeats.is_(None))
    ):
        raise replaced()


def _end_others(session: Session, showing: ClipShowing, now: datetime) -> None:
    """After an answer, end the rater's other reservations of the same question: it would be asked again."""
    session.execute(
        sa.update(ClipShowing)
        .where(
            ClipShowing.study_id == showing.study_id,
            ClipShowing.rater_id == showing.rater_id,
            ClipShowing.question_id == showing.question_id,
            ClipShowing.id != showing.id,
            ClipShowing.repeats.is_(None),
            ClipShowing.expires > now,
        )
        .values(expires=now)
    )


def undo_clips(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    answer: str | None = None,
    now: datetime | None = None,
) -> None:
    """Withdraw a rater's last answer; `leaderboard.judging.clip_queue.next_clips` then serves its pair first.

    Args:
        store: Leaderboard.
        study: Study of the answer.
        rater_id: Rater who gave it.
        answer: Id of the answer, which makes it safe to ask twice; None for whichever is the last.
        now: Current time; tests set it.

    Raises:
        AnswerRefusedError: There is no answer, or it is older than the study allows.
        AccessDeniedError: The rater is banned.
    """
    now = now or datetime.now(UTC)
    require_clips(study)
    with store.write() as session:
        lock_study(session, study)
        if answer in withdrawn_answers(session, study.id, rater_id):
            return
        last = last_clip_answer(session, study.id, rater_id)
        check_undo(session, study.id, rater_id, last, now, answer)
        assert last is not None
        add_event(
            session, study.id, "withdraw", BY_RATER, rater_id=rater_id, answer_id=last.id, now=now
        )
        # What was reserved ahead is given back, so that the pair of this answer comes first.
        give_back(session, study.id, rater_id, now)
        before = last.showing
        session.add(
            ClipShowing(
                **reservation(study, rater_id, now),
                question_id=before.question_id,
                left_clip_id=before.left_clip_id,
                right_clip_id=before.right_clip_id,
                repeats=before.repeats,
            )
        )


@dataclass(frozen=True)
class NewAnswers:
    """Answers since a cursor.

    Attributes:
        comparisons: The answers, in the order they were given. Dropped ones are a `skip` with the reason; checks of
            raters are among them, with `gold` or `pair_of`.
        cursor: Where to continue.
    """

    comparisons: Sequence[Comparison]
    cursor: int


def answers_since(
    store: Store, study: StudyInfo, cursor: int = 0, *, now: datetime | None = None
) -> NewAnswers:
    """Answers that came since the last call; it reads what is there and never waits.

    An answer is given out once its rater can no longer withdraw it (the study's `undo_seconds`), each one once. A ban
    that comes later takes it back from exports only.

    Args:
        store: Leaderboard.
        study: Study of clips.
        cursor: `NewAnswers.cursor` of the last call; 0 begins at the first answer.
        now: Current time; tests set it.

    Raises:
        StudyError: The study is not one of clips.
    """
    require_clips(study)
    now = now or datetime.now(UTC)
    with store.read() as session:
        settled = now - timedelta(seconds=read_settings(session, study.id).undo_seconds)
        first_open = session.scalar(
            sa.select(sa.func.min(ClipAnswer.number)).where(
                ClipAnswer.study_id == study.id, ClipAnswer.created > settled
            )
        )
        last = sa.select(sa.func.max(ClipAnswer.number)).where(ClipAnswer.study_id == study.id)
        if first_open is not None:
            last = last.where(ClipAnswer.number < first_open)
        until = max(cursor, session.scalar(last) or 0)
    found = load_clip_comparisons(store, study, checks=True, numbers=(cursor, until))
    return NewAnswers(found, until)


def _check_pace(seconds: float, speed: float) -> None:
    if not 0 <= seconds < float("inf"):
        raise AnswerRefusedError(f"seconds: expected a time of at least 0, got {seconds}")
    if not 0 < speed <= FASTEST:
        raise AnswerRefusedError(f"speed: expected a number up to {FASTEST:g}, got {speed}")


def _too_fast(showing: ClipShowing, seconds: float) -> str:
    """Why an answer that took these seconds does not count; empty if it does."""
    length = max(showing.left.steps, showing.right.steps) / STEPS_PER_SECOND
    least = length / FLOOR_SPEED
    if seconds >= least:
        return ""
    return f"answered after {seconds:.1f} s; clips of {length:.1f} s take at least {least:.1f} s"


def _after_gold(
    session: Session, study: StudyInfo, rater_id: str, settings: JudgingSettings
) -> None:
    """Ban a rater who has failed too many gold questions."""
    if settings.ban_after_failed_checks is None:
        return
    failed = sum(
        one.winner not in (one.gold, "skip")
        for one in counted_answers(session, study.id)
        if one.gold is not None and one.rater == rater_id
    )
    if failed >= settings.ban_after_failed_checks:
        record_ban(session, study.id, rater_id, BY_RULE, f"failed {failed} attention checks")
