"""Answers to served pairs: added once and never changed; an event withdraws them.

A refused answer changes nothing; it is stored apart, with the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import StudyError
from leaderboard.judging.assignments import ServedPair, assign, served_pair
from leaderboard.judging.attention_checks import after_check_answer, passes, serve_again
from leaderboard.judging.gold_pairs import explained
from leaderboard.judging.pairs import open_reservations
from leaderboard.judging.raters import denied, read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import (
    SKIP_REASONS,
    STRENGTHS,
    WINNERS,
    Assignment,
    AttentionCheck,
    CheckAnswer,
    ClipAnswer,
    ClipShowing,
    Episode,
    GoldPair,
    Judgment,
    RefusedAnswer,
    count,
    new_id,
    pair_key,
)
from leaderboard.studies.access import AccessDeniedError, TooManyRequestsError
from leaderboard.studies.events import (
    BY_RATER,
    RaterLog,
    add_event,
    give_back,
    rater_log,
    withdrawn_answers,
)
from leaderboard.studies.rules import StudyInfo, lock_study, read_study
from leaderboard.studies.settings import JudgingSettings, read_settings

MAX_TEXT = 10_000
"""Maximum length of a justification in characters."""

MAX_EVENTS = 1_000
"""Maximum number of player events of one answer."""

MAX_JSON = 64 * 1024
"""Maximum length in characters of the responses, and of the player events, as JSON."""

FASTEST = 5.0
"""Highest speed of the player: watching a video takes at least its length divided by this."""

REFUSED_PER_DAY = 1000
"""Maximum number of refused answers of one rater that are stored per day."""


class AnswerRefusedError(StudyError):
    """An answer that was not stored; the message says why."""

    code = "malformed"


@dataclass(frozen=True)
class Feedback:
    """Feedback to a rater after an answer of the qualification.

    Attributes:
        right: Whether the answer was right.
        expected: Right answer, as shown: `left`, `right` or `draw`.
        explanation: Reason for it.
    """

    right: bool
    expected: str
    explanation: str


@dataclass(frozen=True)
class StoredAnswer:
    """A stored answer: its id, and the feedback if it belongs to the qualification."""

    id: str
    feedback: Feedback | None = None


class _Answer(NamedTuple):
    winner: str
    justification: str
    responses: dict[str, Any]
    video_events: list[Any]
    watched: tuple[float, float] | None
    skip_reason: str | None
    strength: str | None


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
    skip_reason: str | None = None,
    strength: str | None = None,
    now: datetime | None = None,
) -> StoredAnswer:
    """Store a rater's answer; it is durable when this returns. The same answer sent twice counts once.

    An answer after the pair's time is taken, unless another answer has replaced it. A refused answer changes nothing;
    it is stored apart, with the reason.

    Args:
        store: Leaderboard.
        assignment_id: Id of the served pair.
        rater_id: Rater who answers; the pair must have been served to this rater.
        winner: Answer, one of `leaderboard.store.models.WINNERS`.
        justification: Reason in the rater's words.
        responses: Answers to the task's questions.
        video_events: Events reported by the player (first play, quarters).
        watched: Shares of the left and the right video that were played, 0 to 1; None if unknown.
        skip_reason: Why the pair is skipped, one of `leaderboard.store.models.SKIP_REASONS`; None for other answers.
        strength: How much better the winner is, one of `leaderboard.store.models.STRENGTHS`, where the study asks for it
            (`JudgingSettings.scale`); None for answers without a winner.
        now: Current time; tests set it.

    Raises:
        AnswerRefusedError: The pair is unknown, served to another rater, answered differently before, or answered by
            somebody else since its time was over; the videos were not watched; the rater has used up the study's skips; or the answer is
            malformed.
        AccessDeniedError: The rater is banned.
        TooManyRequestsError: More answers in a minute than the study allows; the pair stays reserved.
    """
    now = now or datetime.now(UTC)
    given = _Answer(winner, justification.strip(), dict(responses or {}), [*video_events], watched,
                    skip_reason, strength)  # fmt: skip
    try:
        _check_form(given)
        with store.write() as session:
            served, earlier = _served_row(session, assignment_id)
            if served.rater_id != rater_id:
                raise AnswerRefusedError(
                    "this pair was served to another rater; the answer was not stored",
                    "unknown_pair",
                )
            if earlier is not None:
                check_repeated(session, served.study_id, earlier, winner, strength)
                return StoredAnswer(earlier.id, _feedback(session, served, earlier))
            if served.ahead:
                raise AnswerRefusedError(
                    "this pair was not shown yet; answer the one before it", "not_shown"
                )
            settings = read_settings(session, served.study_id)
            log = rater_log(session, served.study_id, rater_id)
            check_answerable(session, log, rater_id, settings, now)
            if now >= served.expires:
                _check_late(session, served)
            _check_strength(settings, given)
            if winner == "skip":
                check_skips(session, served, settings)
            else:
                _check_care(session, served, settings, given, now)
            answer = _store(session, served, settings, log, given, now)
            _end_others(session, served, now)
            return StoredAnswer(answer.id, _feedback(session, served, answer))
    except (AnswerRefusedError, AccessDeniedError) as err:
        store_refused(store, assignment_id, rater_id, winner, str(err), now)
        raise


def study_of_pair(store: Store, assignment_id: str) -> str | None:
    """Id of the study in which a pair was served; None for an unknown pair."""
    with store.read() as session:
        served = _reservation(session, assignment_id)
        return None if served is None else served.study_id


def task_of_pair(store: Store, assignment_id: str) -> str | None:
    """Name of the task of a served pair; None for an unknown pair."""
    with store.read() as session:
        served = _reservation(session, assignment_id)
        return None if served is None else session.get_one(Episode, served.left_episode_id).task


def _reservation(session: Session, served_id: str) -> Assignment | AttentionCheck | None:
    # Both are always looked for, so that the time does not reveal which one it is.
    assignment = session.get(Assignment, served_id)
    check = session.get(AttentionCheck, served_id)
    return assignment or check


def undo_last(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    answer: str | None = None,
    now: datetime | None = None,
) -> ServedPair:
    """Withdraw a rater's last answer and serve its pair again, with the same sides.

    The judgment stays in the store; an event takes it out of the ratings.

    Args:
        store: Leaderboard.
        study: Study of the answer.
        rater_id: Rater who gave it.
        answer: Id of the answer, which makes it safe to ask twice; None for whichever is the last.
        now: Current time; tests set it.

    Raises:
        AnswerRefusedError: There is no answer, it is older than the study allows, or it belongs to the
            qualification, whose right answers have been shown.
        AccessDeniedError: The rater is banned.
    """
    now = now or datetime.now(UTC)
    with store.write() as session:
        lock_study(session, study)
        if answer in withdrawn_answers(session, study.id, rater_id):
            served = open_reservations(session, study, rater_id, now).shown
            if served is not None:
                return served_pair(session, served)
        last = last_answer(session, study, rater_id)
        check_undo(session, study.id, rater_id, last, now, answer)
        assert last is not None
        add_event(
            session, study.id, "withdraw", BY_RATER, rater_id=rater_id, answer_id=last.id, now=now
        )
        give_back(session, study.id, rater_id, now)
        before: Assignment | AttentionCheck
        again: Assignment | AttentionCheck
        if isinstance(last, Judgment):
            sides = (last.left_episode_id, last.right_episode_id)
            before = session.get_one(Assignment, last.assignment_id)
            again = assign(session, study, rater_id, sides, now)
        else:
            before = check = session.get_one(AttentionCheck, last.check_id)
            again = serve_again(session, study, check, now)
        # What was watched was watched: the time since the pair was first served counts.
        again.created = before.created
        return served_pair(session, again)


def check_winner(winner: str) -> None:
    """Refuse an answer that is not one of `leaderboard.store.models.WINNERS`.

    Raises:
        AnswerRefusedError: It is another text.
    """
    if winner not in WINNERS:
        raise AnswerRefusedError(
            f"winner: expected one of {', '.join(WINNERS)}, got {winner[:20]!r}"
        )


def check_skip_reason(winner: str, reason: str | None) -> None:
    """Refuse a skip without a reason, and a reason without a skip.

    Raises:
        AnswerRefusedError: The reason is missing, unknown or out of place.
    """
    if winner == "skip" and reason not in SKIP_REASONS:
        raise AnswerRefusedError(
            f"skip_reason: expected one of {', '.join(SKIP_REASONS)}, got {str(reason)[:20]!r}"
        )
    if winner != "skip" and reason is not None:
        raise AnswerRefusedError(f"skip_reason: belongs to a skip, got one with {winner!r}")


def check_skips(
    session: Session,
    served: Assignment | AttentionCheck | ClipShowing,
    settings: JudgingSettings,
) -> None:
    """Refuse a skip if the rater has skipped as many pairs as the study allows.

    Raises:
        AnswerRefusedError: The skips are used up.
    """
    study = read_study(session, served.study_id)
    status = read_rater_status(session, study, served.rater_id, settings)
    if status.skips_left == 0:
        raise AnswerRefusedError(
            f"this study allows {settings.skips_allowed} skipped pairs, and you have used them; answer this pair, "
            "or contact the organisers if a video does not play",
            "no_skips",
            allowed=settings.skips_allowed,
        )


def check_undo(
    session: Session,
    study_id: str,
    rater_id: str,
    last: Judgment | CheckAnswer | ClipAnswer | None,
    now: datetime,
    answer: str | None = None,
) -> None:
    """Refuse to withdraw an answer that does not exist, is too old, or is not the rater's last.

    Raises:
        AnswerRefusedError: There is no answer, it is older than the study allows, or it is not the one with the id `answer`.
        AccessDeniedError: The rater is banned.
    """
    if rater_log(session, study_id, rater_id).banned:
        raise denied("banned")
    seconds = read_settings(session, study_id).undo_seconds
    if last is None:
        raise AnswerRefusedError("there is no answer to withdraw", "no_answer")
    if answer not in (None, last.id):
        raise AnswerRefusedError(
            "this answer is no longer the last one, and cannot be withdrawn", "not_last"
        )
    if now - last.created > timedelta(seconds=seconds):
        raise AnswerRefusedError(
            f"an answer can be withdrawn only within {seconds} s", "undo_late", seconds=seconds
        )


def _check_form(given: _Answer) -> None:
    winner, justification, responses, video_events, watched, skip_reason, _ = given
    check_winner(winner)
    check_skip_reason(winner, skip_reason)
    if len(justification) > MAX_TEXT:
        raise AnswerRefusedError(
            f"the reason is longer than {MAX_TEXT} characters; shorten it",
            "reason_long",
            most=MAX_TEXT,
        )
    if "\0" in justification:
        raise AnswerRefusedError(
            "the reason contains characters that cannot be stored; remove them", "reason_characters"
        )
    if len(video_events) > MAX_EVENTS:
        raise AnswerRefusedError(
            f"expected at most {MAX_EVENTS} video events, got {len(video_events)}"
        )
    for what, value in (("responses", responses), ("video events", video_events)):
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as err:
            raise AnswerRefusedError(f"the {what} are not valid JSON") from err
        if len(text) > MAX_JSON or "\\u0000" in text:
            raise AnswerRefusedError(
                f"the {what} are too long, or contain characters that cannot be stored"
            )
    if watched is not None and not all(0 <= share <= 1 for share in watched):
        raise AnswerRefusedError(f"watched: expected shares from 0 to 1, got {watched}")


def _check_strength(settings: JudgingSettings, given: _Answer) -> None:
    """Refuse an answer that does not say how much better the winner is where the study asks, or says it elsewhere.

    Raises:
        AnswerRefusedError: It is missing, unknown or out of place.
    """
    asked = settings.scale == "strength" and given.winner in ("left", "right")
    if asked and given.strength not in STRENGTHS:
        raise AnswerRefusedError(
            f"strength: expected one of {', '.join(STRENGTHS)}, got {str(given.strength)[:20]!r}; reload the page"
        )
    if not asked and given.strength is not None:
        raise AnswerRefusedError(
            f"strength: this study does not ask how much better one is, or the answer {given.winner!r} names no side; "
            "reload the page"
        )


def check_repeated(
    session: Session,
    study_id: str,
    earlier: Judgment | CheckAnswer | ClipAnswer,
    winner: str,
    strength: str | None = None,
) -> None:
    """Refuse an answer to a pair that was answered before, unless it is the same answer sent again.

    Raises:
        AnswerRefusedError: The earlier answer was withdrawn, or is another one.
    """
    if earlier.id in withdrawn_answers(session, study_id, earlier.rater_id):
        raise AnswerRefusedError("this answer was withdrawn; answer the pair again", "withdrawn")
    before = None if isinstance(earlier, ClipAnswer) else earlier.strength
    if (earlier.winner, before) != (winner, strength):
        raise AnswerRefusedError(
            "this pair was answered before; the first answer stands", "answered_before"
        )


def check_answerable(
    session: Session, log: RaterLog, rater_id: str, settings: JudgingSettings, now: datetime
) -> None:
    """Refuse the answer of a banned rater, or in too quick succession.

    Raises:
        AccessDeniedError: The rater is banned.
        TooManyRequestsError: There were too many answers within a minute.
    """
    if log.banned:
        raise denied("banned")
    _check_pace(session, rater_id, settings, now)


def _check_late(session: Session, served: Assignment | AttentionCheck) -> None:
    """Refuse an answer that comes after the pair's time if another answer has replaced it.

    That is an answer by the rater in another reservation of the same pair, or one by somebody else who got the pair
    when its time was over.

    Raises:
        AnswerRefusedError: Another answer stands.
    """
    pair = pair_key(served.left_episode_id, served.right_episode_id)
    gone = withdrawn_answers(session, served.study_id)
    given = (
        Judgment.study_id == served.study_id,
        Judgment.pair == pair,
        Judgment.source == "human",
        Judgment.id.not_in(gone),
    )
    own = count(session, *given, Judgment.rater_id == served.rater_id)
    others = count(
        session, *given, Judgment.rater_id != served.rater_id, Judgment.created >= served.expires
    )
    again = count(
        session,
        CheckAnswer.check_id == AttentionCheck.id,
        CheckAnswer.rater_id == served.rater_id,
        CheckAnswer.study_id == served.study_id,
        CheckAnswer.id.not_in(gone),
        _shows_the_same(AttentionCheck, served),
        AttentionCheck.created >= served.created,
    )
    # A repeat is about a pair that the rater has answered before.
    if isinstance(served, AttentionCheck) and served.kind == "repeat":
        own = 0
    if own or again or others:
        raise replaced()


def replaced() -> AnswerRefusedError:
    """The refusal of an answer that came after the pair's time, when another one stood."""
    return AnswerRefusedError(
        "the pair was no longer reserved for you and has been answered since; your answer came too late and does not count",
        "replaced",
    )


def _shows_the_same(
    table: type[Assignment | AttentionCheck], served: Assignment | AttentionCheck
) -> sa.ColumnElement[bool]:
    """Whether a reservation is of the same two videos, on whatever sides."""
    left, right = served.left_episode_id, served.right_episode_id
    return sa.or_(
        sa.and_(table.left_episode_id == left, table.right_episode_id == right),
        sa.and_(table.left_episode_id == right, table.right_episode_id == left),
    )


def _end_others(session: Session, served: Assignment | AttentionCheck, now: datetime) -> None:
    """After an answer, end the rater's other reservations of the same pair: it would be asked again."""
    for table in (Assignment, AttentionCheck):
        session.execute(
            sa.update(table)
            .where(
                table.study_id == served.study_id,
                table.rater_id == served.rater_id,
                table.id != served.id,
                _shows_the_same(table, served),
                table.expires > now,
            )
            .values(expires=now)
        )


def _check_pace(session: Session, rater_id: str, settings: JudgingSettings, now: datetime) -> None:
    """Refuse a rater's answer if there were too many within a minute.

    Raises:
        TooManyRequestsError: There were as many as the study allows.
    """
    tables: tuple[tuple[Any, tuple[Any, ...]], ...] = (
        (Judgment, (Judgment.source == "human",)),  # its index
        (CheckAnswer, ()),
        (ClipAnswer, ()),
    )
    found = sa.union_all(
        *(
            sa.select(table.id).where(
                table.rater_id == rater_id, table.created > now - timedelta(minutes=1), *more
            )
            for table, more in tables
        )
    )
    answers = session.scalar(sa.select(sa.func.count()).select_from(found.subquery())) or 0
    if answers >= settings.answers_per_minute:
        raise TooManyRequestsError(
            "too many answers within a minute; wait a little, then send it again", "too_fast"
        )


def _check_care(
    session: Session,
    served: Assignment | AttentionCheck,
    settings: JudgingSettings,
    given: _Answer,
    now: datetime,
) -> None:
    if len(given.justification) < settings.reason_characters:
        raise AnswerRefusedError(
            f"give a reason of at least {settings.reason_characters} characters; the answer was not stored",
            "reason_short",
            least=settings.reason_characters,
        )
    if not settings.watch_share:
        return
    # What a browser reports can be forged; the time since the pair was served cannot.
    longest = session.scalars(
        sa.select(sa.func.max(Episode.steps)).where(
            Episode.id.in_((served.left_episode_id, served.right_episode_id))
        )
    ).one()
    least = settings.watch_share * longest / STEPS_PER_SECOND / FASTEST
    if (
        min(given.watched or (0.0, 0.0)) < settings.watch_share
        or (now - served.created).total_seconds() < least
    ):
        raise AnswerRefusedError(
            f"watch at least {settings.watch_share:.0%} of both videos first; the answer was not stored",
            "unwatched",
            percent=round(settings.watch_share * 100),
        )


def _store(
    session: Session,
    served: Assignment | AttentionCheck,
    settings: JudgingSettings,
    log: RaterLog,
    given: _Answer,
    now: datetime,
) -> Judgment | CheckAnswer:
    watched_left, watched_right = given.watched or (None, None)
    facts = {
        "id": new_id(),
        "study_id": served.study_id,
        "rater_id": served.rater_id,
        "winner": given.winner,
        "responses": given.responses,
        "justification": given.justification,
        "video_events": given.video_events,
        "seconds": (now - served.created).total_seconds(),
        "created": now,
        "skip_reason": given.skip_reason,
        "strength": given.strength,
        "watched_left": watched_left,
        "watched_right": watched_right,
    }
    if isinstance(served, AttentionCheck):
        answer = CheckAnswer(**facts, check_id=served.id, passed=passes(served, given.winner))
        session.add(answer)
        session.flush()
        if not answer.passed:
            after_check_answer(session, served.study_id, served.rater_id, settings)
        return answer
    earlier = session.scalars(
        sa.select(Judgment.id).where(
            Judgment.rater_id == served.rater_id,
            Judgment.pair == served.pair,
            Judgment.source == "human",
        )
    ).all()
    # A pair is served to a rater again once all earlier answers were withdrawn; or when one that came late was not known
    # yet, which stands.
    if not log.withdrawn.issuperset(earlier):
        raise replaced()
    judgment = Judgment(
        **facts,
        assignment_id=served.id,
        left_episode_id=served.left_episode_id,
        right_episode_id=served.right_episode_id,
        pair=served.pair,
        source="human",
        attempt=len(earlier),
    )
    session.add(judgment)
    session.flush()
    return judgment


def _feedback(
    session: Session, served: Assignment | AttentionCheck, answer: Judgment | CheckAnswer
) -> Feedback | None:
    if not (isinstance(served, AttentionCheck) and isinstance(answer, CheckAnswer)) or (
        served.kind != "qualification" or answer.winner == "skip"  # the pair comes again
    ):
        return None
    gold = session.get(GoldPair, served.gold_id)
    explanation = explained(gold.explanation, served.expected) if gold else ""
    return Feedback(answer.passed, served.expected, explanation)


def store_refused(
    store: Store, served_id: str, rater_id: str, winner: str, reason: str, now: datetime
) -> None:
    """Store an answer that was refused, with the reason, up to `REFUSED_PER_DAY` of a rater."""
    with store.write() as session:
        recent = count(
            session,
            RefusedAnswer.rater_id == rater_id[:32],
            RefusedAnswer.created > now - timedelta(days=1),
        )
        if recent < REFUSED_PER_DAY:
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
) -> tuple[Assignment | AttentionCheck, Judgment | CheckAnswer | None]:
    """The reservation with an id, its row locked, and the answer to it."""
    # Both are always looked for, so that the time does not reveal which one it is. The answers are not joined: while it
    # waits for a lock, PostgreSQL would keep what it read of them before.
    assignment = session.get(Assignment, served_id, with_for_update=True)
    check = session.get(AttentionCheck, served_id, with_for_update=True)
    judgment = session.scalar(sa.select(Judgment).where(Judgment.assignment_id == served_id))
    answer = session.scalar(sa.select(CheckAnswer).where(CheckAnswer.check_id == served_id))
    if assignment is not None:
        return assignment, judgment
    if check is not None:
        return check, answer
    raise AnswerRefusedError("unknown pair; the answer was not stored", "unknown_pair")


def last_answer(session: Session, study: StudyInfo, rater_id: str) -> Judgment | CheckAnswer | None:
    """The rater's last answer that can be withdrawn."""
    gone = withdrawn_answers(session, study.id, rater_id)

    def latest(table: Any, *source: Any) -> Judgment | CheckAnswer | None:
        own = (table.study_id == study.id, table.rater_id == rater_id, table.id.not_in(gone))
        found = sa.select(table).where(*own, *source).order_by(table.number.desc()).limit(1)
        return session.scalar(found)

    found = [
        one
        for one in (latest(Judgment, Judgment.source == "human"), latest(CheckAnswer))
        if one is not None
    ]
    last = max(found, key=lambda one: one.created, default=None)
    if isinstance(last, CheckAnswer):
        kind = session.get_one(AttentionCheck, last.check_id).kind
        # Its right answer has been shown.
        return None if kind == "qualification" else last
    return last
