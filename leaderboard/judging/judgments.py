"""Answers to served pairs: added once and never changed, taken back by an event.

What is refused changes nothing and is kept aside with the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import StudyError
from leaderboard.judging.assignments import REASONS, ServedPair, assign, assign_again, served_pair
from leaderboard.judging.attention_checks import after_check_answer, passes
from leaderboard.judging.pairs import lock_study
from leaderboard.store.database import Store
from leaderboard.store.models import (
    WINNERS,
    Assignment,
    Check,
    CheckAnswer,
    Episode,
    GoldPair,
    Judgment,
    RefusedAnswer,
    new_id,
)
from leaderboard.studies.access import AccessDeniedError, TooManyRequestsError
from leaderboard.studies.events import BY_RATER, banned_raters, give_back, record, withdrawn_answers
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings, read_settings

MAX_TEXT = 10_000
"""Characters of a justification; longer ones are refused."""

MAX_EVENTS = 1_000
"""Video events of one answer; more are refused."""

MAX_JSON = 64 * 1024
"""Characters of the responses, and of the video events, as JSON."""

FASTEST = 5.0
"""The player's highest speed: nobody has watched a video in less than its length by this."""

REFUSED_PER_DAY = 1000
"""Refused answers of one rater that are kept aside; further ones are refused and forgotten."""


class AnswerRefusedError(StudyError):
    """An answer that was not stored, and why."""


@dataclass(frozen=True)
class Feedback:
    """What a rater is told after an answer of the qualification.

    Attributes:
        right: whether the answer was right.
        expected: the right one, as shown: ``left``, ``right`` or ``draw``.
        explanation: why.
    """

    right: bool
    expected: str
    explanation: str


def answer_pair(
    store: Store,
    assignment_id: str,
    rater_id: str,
    winner: str,
    *,
    justification: str = "",
    responses: Mapping[str, Any] | None = None,
    video_events: Sequence[Any] = (),
    watched: tuple[float, float] | None = None,
    now: datetime | None = None,
) -> str:
    """Store a rater's answer; it is durable when this returns. The same answer again counts once.

    A refused answer changes nothing and is kept aside with the reason.

    Args:
        store: the leaderboard.
        assignment_id: of the served pair.
        rater_id: who answers; must be whom the pair was served to.
        winner: one of :data:`leaderboard.store.models.WINNERS`.
        justification: why, in the rater's words.
        responses: answers to the task's questions.
        video_events: what the player reported (first play, quarters).
        watched: shares of the left and the right video that were played, 0 to 1; None if not known.
        now: the time, for tests.

    Returns:
        The answer's id.

    Raises:
        AnswerRefusedError: unknown, foreign or expired, answered differently before, not watched, or
            malformed.
        AccessDeniedError: the rater is banned.
        TooManyRequestsError: more answers in a minute than the study allows; the pair stays reserved.
    """
    now = now or datetime.now(UTC)
    try:
        _check_form(winner, justification, responses, video_events, watched)
        with store.write() as session:
            served, earlier = _served_row(session, assignment_id)
            if served.rater_id != rater_id:
                raise AnswerRefusedError(
                    "this pair was served to someone else; the answer was not stored"
                )
            if earlier is not None:
                if earlier.id in withdrawn_answers(session, served.study_id, rater_id):
                    raise AnswerRefusedError("this answer was taken back; answer the pair anew")
                if earlier.winner != winner:
                    raise AnswerRefusedError(
                        "this pair was answered before; the first answer stands"
                    )
                return earlier.id
            if rater_id in banned_raters(session, served.study_id):
                raise AccessDeniedError(REASONS["banned"])
            if now >= served.expires:
                raise AnswerRefusedError(
                    f"the pair was reserved until {served.expires:%H:%M} UTC; "
                    "the answer came later and was not stored"
                )
            settings = read_settings(session, served.study_id)
            _check_pace(session, served, settings, now)
            if winner != "skip":
                _check_care(session, served, settings, justification, watched, now)
            return _store(
                session,
                served,
                winner,
                justification.strip(),
                responses,
                video_events,
                watched,
                now,
            )
    except (AnswerRefusedError, AccessDeniedError) as err:
        _keep_aside(store, assignment_id, rater_id, winner, str(err), now)
        raise


def undo_last(
    store: Store, study: StudyInfo, rater_id: str, *, now: datetime | None = None
) -> ServedPair:
    """Take a rater's last answer back and serve its pair again, sides as before.

    The judgment stays, withdrawn: an event takes it out of the ratings.

    Raises:
        AnswerRefusedError: there is none, it is older than the study allows, or it belongs to the
            qualification, whose right answers are told.
        AccessDeniedError: the rater is banned.
    """
    now = now or datetime.now(UTC)
    with store.write() as session:
        lock_study(session, study)
        if rater_id in banned_raters(session, study.id):
            raise AccessDeniedError(REASONS["banned"])
        settings = read_settings(session, study.id)
        last = _last_answer(session, study, rater_id)
        if last is None:
            raise AnswerRefusedError("there is no answer to take back")
        if now - last.created > timedelta(seconds=settings.undo_seconds):
            raise AnswerRefusedError(
                f"only within {settings.undo_seconds} s can an answer be taken back"
            )
        record(
            session, study.id, "withdraw", BY_RATER, rater_id=rater_id, answer_id=last.id, now=now
        )
        give_back(session, study.id, rater_id, now)
        served: Assignment | Check
        if isinstance(last, Judgment):
            served = assign(
                session, study, rater_id, last.left_episode_id, last.right_episode_id, now
            )
        else:
            served = assign_again(session, study, session.get_one(Check, last.check_id), now)
        return served_pair(session, served)


def undoable_until(store: Store, study: StudyInfo, rater_id: str) -> datetime | None:
    """Until when the rater's last answer can be taken back, UTC; None where there is none."""
    with store.read() as session:
        last = _last_answer(session, study, rater_id)
        settings = read_settings(session, study.id)
    return None if last is None else last.created + timedelta(seconds=settings.undo_seconds)


def qualification_feedback(store: Store, answer_id: str, rater_id: str) -> Feedback | None:
    """What to tell a rater after an answer of the qualification; None for any other answer."""
    with store.read() as session:
        answer = session.scalar(
            sa.select(CheckAnswer).where(
                CheckAnswer.id == answer_id, CheckAnswer.rater_id == rater_id
            )
        )
        check = session.get(Check, answer.check_id) if answer is not None else None
        if answer is None or check is None or check.kind != "qualification":
            return None
        explanation = session.scalar(
            sa.select(GoldPair.explanation).where(GoldPair.id == check.gold_id)
        )
        return Feedback(answer.passed, check.expected, explanation or "")


def _check_form(
    winner: str,
    justification: str,
    responses: Mapping[str, Any] | None,
    video_events: Sequence[Any],
    watched: tuple[float, float] | None,
) -> None:
    if winner not in WINNERS:
        raise AnswerRefusedError(f"answer {winner[:20]!r}: not one of {', '.join(WINNERS)}")
    if len(justification) > MAX_TEXT:
        raise AnswerRefusedError(f"the reason is longer than {MAX_TEXT} characters; shorten it")
    if "\0" in justification:
        raise AnswerRefusedError("the reason has characters that cannot be stored")
    if len(video_events) > MAX_EVENTS:
        raise AnswerRefusedError(f"more than {MAX_EVENTS} video events")
    for what, value in (("responses", responses or {}), ("video events", video_events)):
        try:
            text = json.dumps(value if isinstance(value, Mapping) else list(value), allow_nan=False)
        except (TypeError, ValueError) as err:
            raise AnswerRefusedError(f"the {what} are not plain data") from err
        if len(text) > MAX_JSON or "\\u0000" in text:
            raise AnswerRefusedError(f"the {what} are too long or cannot be stored")
    if watched is not None and not all(0 <= share <= 1 for share in watched):
        raise AnswerRefusedError("shares of videos watched are from 0 to 1")


def _check_pace(
    session: Session, served: Assignment | Check, settings: JudgingSettings, now: datetime
) -> None:
    count = 0
    for table in (Judgment, CheckAnswer):
        count += session.scalar(
            sa.select(sa.func.count())
            .select_from(table)
            .where(
                table.rater_id == served.rater_id,
                table.created > now - timedelta(minutes=1),
            )
        ) or 0  # fmt: skip
    if count >= settings.answers_per_minute:
        raise TooManyRequestsError("too many answers within a minute; wait a little, then send it")


def _check_care(
    session: Session,
    served: Assignment | Check,
    settings: JudgingSettings,
    justification: str,
    watched: tuple[float, float] | None,
    now: datetime,
) -> None:
    if len(justification.strip()) < settings.reason_characters:
        raise AnswerRefusedError(
            f"say why in at least {settings.reason_characters} characters; the answer was not stored"
        )
    if not settings.watch_share:
        return
    # What a browser reports can be forged; the time since the pair was served can't.
    longest = max(
        session.get_one(Episode, episode).steps
        for episode in (served.left_episode_id, served.right_episode_id)
    )
    least = settings.watch_share * longest / STEPS_PER_SECOND / FASTEST
    if (
        min(watched or (0.0, 0.0)) < settings.watch_share
        or (now - served.created).total_seconds() < least
    ):
        raise AnswerRefusedError(
            f"both videos must be seen to {settings.watch_share:.0%} first; the answer was not stored"
        )


def _store(
    session: Session,
    served: Assignment | Check,
    winner: str,
    justification: str,
    responses: Mapping[str, Any] | None,
    video_events: Sequence[Any],
    watched: tuple[float, float] | None,
    now: datetime,
) -> str:
    seconds = (now - served.created).total_seconds()
    if isinstance(served, Check):
        answer = CheckAnswer(
            id=new_id(),
            check_id=served.id,
            study_id=served.study_id,
            rater_id=served.rater_id,
            winner=winner,
            passed=passes(served, winner),
            responses=dict(responses or {}),
            justification=justification,
            video_events=list(video_events),
            seconds=seconds,
            created=now,
        )
        session.add(answer)
        session.flush()
        settings = read_settings(session, served.study_id)
        if not answer.passed:
            after_check_answer(session, served.study_id, served.rater_id, settings)
        return answer.id
    earlier = session.scalar(
        sa.select(sa.func.count())
        .select_from(Judgment)
        .where(
            Judgment.rater_id == served.rater_id,
            Judgment.pair == served.pair,
            Judgment.source == "human",
        )
    )
    watched_left, watched_right = watched or (None, None)
    judgment = Judgment(
        id=new_id(),
        study_id=served.study_id,
        assignment_id=served.id,
        rater_id=served.rater_id,
        left_episode_id=served.left_episode_id,
        right_episode_id=served.right_episode_id,
        pair=served.pair,
        winner=winner,
        source="human",
        responses=dict(responses or {}),
        justification=justification,
        video_events=list(video_events),
        seconds=seconds,
        created=now,
        # All earlier answers to this pair were taken back: such a pair is served to a rater again.
        attempt=earlier or 0,
        watched_left=watched_left,
        watched_right=watched_right,
    )
    session.add(judgment)
    session.flush()
    return judgment.id


def _keep_aside(
    store: Store, served_id: str, rater_id: str, winner: str, reason: str, now: datetime
) -> None:
    with store.write() as session:
        recent = session.scalar(
            sa.select(sa.func.count())
            .select_from(RefusedAnswer)
            .where(
                RefusedAnswer.rater_id == rater_id[:32],
                RefusedAnswer.created > now - timedelta(days=1),
            )
        )
        if (recent or 0) < REFUSED_PER_DAY:
            session.add(
                RefusedAnswer(
                    served_id=served_id[:64].replace("\0", ""),
                    rater_id=rater_id[:32].replace("\0", ""),
                    winner=winner[:20].replace("\0", ""),
                    reason=reason,
                    created=now,
                )
            )


def _served_row(
    session: Session, served_id: str
) -> tuple[Assignment | Check, Judgment | CheckAnswer | None]:
    """What was served under an id, locked, and the answer to it."""
    assignment = session.get(Assignment, served_id, with_for_update=True)
    if assignment is not None:
        return assignment, session.scalar(
            sa.select(Judgment).where(Judgment.assignment_id == served_id)
        )
    check = session.get(Check, served_id, with_for_update=True)
    if check is not None:
        return check, session.scalar(
            sa.select(CheckAnswer).where(CheckAnswer.check_id == served_id)
        )
    raise AnswerRefusedError("this pair was never served; the answer was not stored")


def _last_answer(
    session: Session, study: StudyInfo, rater_id: str
) -> Judgment | CheckAnswer | None:
    gone = withdrawn_answers(session, study.id, rater_id)
    judgment = session.scalar(
        sa.select(Judgment)
        .where(
            Judgment.study_id == study.id,
            Judgment.rater_id == rater_id,
            Judgment.id.not_in(gone),
        )
        .order_by(Judgment.number.desc())
        .limit(1)
    )
    check = session.scalar(
        sa.select(CheckAnswer)
        .where(
            CheckAnswer.study_id == study.id,
            CheckAnswer.rater_id == rater_id,
            CheckAnswer.id.not_in(gone),
        )
        .order_by(CheckAnswer.number.desc())
        .limit(1)
    )
    found = [one for one in (judgment, check) if one is not None]
    last = max(found, key=lambda one: one.created, default=None)
    if isinstance(last, CheckAnswer):
        kind = session.get_one(Check, last.check_id).kind
        # Its right answer has been told.
        return None if kind == "qualification" else last
    return last
