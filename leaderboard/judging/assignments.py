"""Serving pairs: which one a rater judges next, reserved until it expires.

Some of the pairs are attention checks (`leaderboard.judging.attention_checks`), which look like any other. A check
takes the place of an ordinary pair, so none is served when no ordinary pair is left: the rater would know it. Both are
looked for each time, so that the time of a request does not reveal which one was served.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.attention_checks import find_check, qualification_pair, serve_check
from leaderboard.judging.matchmaking import board_of, prepare_board
from leaderboard.judging.pairs import (
    OwnAnswers,
    open_reservations,
    own_answers,
    require_source,
    reservation,
    unanswered,
)
from leaderboard.judging.participants import ACTIVE
from leaderboard.judging.raters import denied, read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import (
    Assignment,
    AttentionCheck,
    CheckAnswer,
    Episode,
    Judgment,
    Rater,
    count,
    pair_key,
)
from leaderboard.studies.events import RaterLog, rater_log
from leaderboard.studies.rules import StudyInfo, lock_study
from leaderboard.studies.settings import JudgingSettings, read_settings

RENEW_AFTER = timedelta(minutes=1)
"""Time after which a reservation is renewed while its page is open."""


@dataclass(frozen=True)
class ServedPair:
    """A pair as its rater sees it: it does not reveal who played, or whether it is an attention check.

    Attributes:
        assignment_id: Opaque id; the answer names it.
        task: Name of the task.
        seed: Seed that both episodes were played on.
        steps: Lengths of the left and the right episode, in steps of 50 ms.
        expires: Time until which the pair is reserved for this rater, UTC.
        qualification: Whether the pair belongs to the rater's qualification, which the rater may know.
        earlier: Ids under which the pair was served before its answer was withdrawn.
    """

    assignment_id: str
    task: str
    seed: int
    steps: tuple[int, int]
    expires: datetime
    qualification: bool = False
    earlier: tuple[str, ...] = ()


def next_pair(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    now: datetime | None = None,
    rng: random.Random | None = None,
) -> ServedPair | None:
    """Reserve the next pair for a rater; until it is answered, further calls return the same pair.

    A pair that the rater has answered is never served again. Among the others the most informative one
    is served (`leaderboard.judging.matchmaking`).

    Args:
        store: Leaderboard.
        study: Study of the pairs.
        rater_id: Id from `leaderboard.judging.raters.register_rater` or `join`.
        now: Current time; tests set it.
        rng: Source of random numbers; tests set it.

    Returns:
        The pair, or None when the rater is done.

    Raises:
        AccessDeniedError: This rater may not judge; see `leaderboard.judging.raters.rater_status`.
        StudyError: The study does not accept judgments by people, or the rater is unknown.
    """
    now = now or datetime.now(UTC)
    rng = rng or random.SystemRandom()
    require_source(study, "human")
    prepare_board(store, study.id)
    with store.write() as session:
        lock_study(session, study)
        settings = read_settings(session, study.id)
        log = rater_log(session, study.id, rater_id)
        # Answers do not wait for the study's lock. One that comes in between is among those that are read after the
        # reservations, so that its pair is not served again.
        served, ahead = open_reservations(session, study, rater_id, now)
        own = own_answers(session, study, rater_id, log.withdrawn)
        if isinstance(served, Assignment) and own.has_judged(served.pair):
            # The answer to an earlier reservation came late, just when this one was made.
            served.expires = now
            served = None
        rater = read_rater_status(session, study, rater_id, settings, log=log, own=own, now=now)
        if not rater.joined and session.get(Rater, rater_id) is None:
            raise StudyError("unknown rater; open the judging page again", "unknown_rater")
        if rater.state == "done":
            return None
        if rater.state not in ("judge", "qualify"):
            raise denied(rater.state)
        if served is None and rater.state == "qualify":
            served = qualification_pair(session, study, rater_id, now, rng)
        if served is None and ahead is not None:
            served = ahead
            # Its time begins now that it is shown.
            served.ahead = False
            served.created = now
            served.expires = now + timedelta(minutes=study.rules.reserve_minutes)
        if served is None:
            served = _reserve(store, session, study, rater_id, settings, log, own, now, rng)
        return None if served is None else served_pair(session, served)


def reserve_ahead(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    assignment_id: str,
    *,
    now: datetime | None = None,
    rng: random.Random | None = None,
) -> ServedPair | None:
    """Reserve the pair that follows the one on screen, so that its videos can be loaded meanwhile.

    `next_pair` serves it when the present one is answered; until then it cannot be answered. Whether there is one
    depends neither on skips nor on which pairs are attention checks.

    Args:
        store: Leaderboard.
        study: Study of the pairs.
        rater_id: Rater.
        assignment_id: Id of the pair on screen.
        now: Current time; tests set it.
        rng: Source of random numbers; tests set it.

    Returns:
        The pair; None if the one on screen is no longer the rater's, if it is for practice, or if none follows.
    """
    now = now or datetime.now(UTC)
    rng = rng or random.SystemRandom()
    with store.write() as session:
        lock_study(session, study)
        settings = read_settings(session, study.id)
        log = rater_log(session, study.id, rater_id)
        shown, ahead = open_reservations(session, study, rater_id, now)
        own = own_answers(session, study, rater_id, log.withdrawn)  # as in `next_pair`
        rater = read_rater_status(session, study, rater_id, settings, log=log, own=own, now=now)
        if rater.state != "judge" or shown is None or shown.id != assignment_id:
            return None
        if rater.limit is not None and rater.answered + 1 >= rater.limit:
            return None
        if ahead is None:
            ahead = _reserve(
                store, session, study, rater_id, settings, log, own, now, rng, after=shown
            )
        return None if ahead is None else served_pair(session, ahead)


def _reserve(
    store: Store,
    session: Session,
    study: StudyInfo,
    rater_id: str,
    settings: JudgingSettings,
    log: RaterLog,
    own: OwnAnswers,
    now: datetime,
    rng: random.Random,
    after: Assignment | AttentionCheck | None = None,
) -> Assignment | AttentionCheck | None:
    """Reserve a pair or an attention check; `after` is the pair on screen, if this one is reserved ahead."""
    is_checked = rng.random() < settings.check_share
    check = None
    if settings.check_share:
        check = find_check(session, study, rater_id, settings.check_kinds, log.withdrawn, rng)
    reserved = session.scalars(unanswered(study, now))
    # With the rater's own judgments: on PostgreSQL the board may not have seen the last ones yet.
    seen = own.seen
    if after is not None:
        seen.append((after.left_episode_id, after.right_episode_id))
    pair = board_of(store, session, study.id).choose(
        rater_id,
        seen,
        [(one.left_episode_id, one.right_episode_id) for one in reserved],
        rng,
        overlap=rng.random() < settings.overlap_share,
    )
    if pair is None:
        return None
    left, right = rng.sample(pair, 2)
    served: Assignment | AttentionCheck
    if is_checked and check is not None:
        served = serve_check(session, study, rater_id, check, now)
    else:
        served = assign(session, study, rater_id, (left, right), now)
    served.ahead = after is not None
    return served


def renew(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    assignment_id: str,
    *,
    idle: bool = False,
    now: datetime | None = None,
) -> bool:
    """Keep a pair reserved while its rater has it on screen, also after its time if the rater has got no other since.

    Args:
        store: Leaderboard.
        study: Study of the pair.
        rater_id: Rater.
        assignment_id: Id of the pair.
        idle: Whether the page is open and nobody does anything there. The pair stays reserved, but for too short a time to
            count as activity (`leaderboard.judging.participants`).
        now: Current time; tests set it.

    Returns:
        Whether the pair is reserved for the rater.
    """
    now = now or datetime.now(UTC)
    until = now + timedelta(minutes=study.rules.reserve_minutes)
    if idle:
        until -= min(ACTIVE + RENEW_AFTER, (until - now) / 2)
    with store.read() as session:
        present = _own_unanswered(session, rater_id, assignment_id)
        if present is None or present.expires > until - RENEW_AFTER:
            return present is not None
    with store.write() as session:
        lock_study(session, study)
        served = _own_unanswered(session, rater_id, assignment_id)
        other, ahead = open_reservations(session, study, rater_id, now)
        if served is None or (other is not None and other.id != served.id):
            return False
        if rater_log(session, study.id, rater_id).banned:
            return False
        served.expires = until
        if ahead is not None:
            ahead.expires = until
        return True


def _own_unanswered(
    session: Session, rater_id: str, assignment_id: str
) -> Assignment | AttentionCheck | None:
    """A rater's pair that is not answered yet, reserved or not."""
    # Both are always looked for, so that the time does not reveal which one it is.
    assignment = session.get(Assignment, assignment_id)
    check = session.get(AttentionCheck, assignment_id)
    judged = count(session, Judgment.assignment_id == assignment_id)
    answered = count(session, CheckAnswer.check_id == assignment_id)
    served = assignment or check
    if served is None or served.rater_id != rater_id or judged or answered:
        return None
    return served


def assign(
    session: Session, study: StudyInfo, rater_id: str, sides: tuple[str, str], now: datetime
) -> Assignment:
    """Reserve two episodes for a rater, within a transaction."""
    assignment = Assignment(**reservation(study, rater_id, sides, now), pair=pair_key(*sides))
    session.add(assignment)
    session.flush()
    return assignment


def served_pair(session: Session, served: Assignment | AttentionCheck) -> ServedPair:
    """The part of a reservation that its rater may know."""
    sides = (served.left_episode_id, served.right_episode_id)
    episodes = {
        one.id: one for one in session.scalars(sa.select(Episode).where(Episode.id.in_(sides)))
    }
    left, right = (episodes[side] for side in sides)
    # A pair that is served again keeps the time at which it was first served.
    table = type(served)
    earlier = sa.select(table.id).where(
        table.study_id == served.study_id,
        table.rater_id == served.rater_id,
        table.created == served.created,
        table.id != served.id,
    )
    return ServedPair(
        served.id,
        left.task,
        left.seed,
        (left.steps, right.steps),
        served.expires,
        isinstance(served, AttentionCheck) and served.kind == "qualification",
        tuple(session.scalars(earlier)),
    )
