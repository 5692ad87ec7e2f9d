"""Serving pairs: which one a rater judges next, reserved until it expires.

Now and then the pair is a check (:mod:`leaderboard.judging.attention_checks`), which looks like any other.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.attention_checks import attention_check, qualification_pair
from leaderboard.judging.matchmaking import board_of
from leaderboard.judging.pairs import count_pairs, lock_study, require_source
from leaderboard.judging.raters import read_standing
from leaderboard.store.database import Store
from leaderboard.store.models import (
    Assignment,
    Check,
    CheckAnswer,
    Episode,
    Judgment,
    Rater,
    new_id,
    pair_key,
)
from leaderboard.studies.access import AccessDeniedError
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings, read_settings

REASONS = {
    "invite": "this study takes raters by invitation; open your link",
    "consent": "read and accept the study's terms first",
    "failed": "the qualification was not passed; thank you for trying",
    "banned": "you can no longer judge in this study; ask its organisers",
}
"""Why a rater in that state may not judge."""


@dataclass(frozen=True)
class ServedPair:
    """A pair as its rater sees it: nothing tells who played, or whether it is a check.

    Attributes:
        assignment_id: opaque; the answer names it.
        task: the task's name.
        seed: the seed both were played on.
        steps: lengths of the left and the right episode, in steps of 50 ms.
        expires: until when it is reserved for this rater, UTC.
        qualification: whether it belongs to the rater's qualification, which the rater may know.
    """

    assignment_id: str
    task: str
    seed: int
    steps: tuple[int, int]
    expires: datetime
    qualification: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a rater is.

    Attributes:
        done: pairs this rater has answered and not taken back, skipped ones included.
        total: pairs asked of this rater.
    """

    done: int
    total: int


def next_pair(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    now: datetime | None = None,
    rng: random.Random | None = None,
) -> ServedPair | None:
    """Reserve the next pair for a rater; asked again before the answer, it is the same pair.

    Never a pair the rater has answered; among the others the one from which most is to be learned
    (:mod:`leaderboard.judging.matchmaking`).

    Args:
        store: the leaderboard.
        study: the study.
        rater_id: from :func:`leaderboard.judging.raters.register_rater` or ``join``.
        now: the time, for tests.
        rng: random numbers, for tests.

    Returns:
        The pair, or None when the rater is done.

    Raises:
        AccessDeniedError: this rater may not judge (:func:`leaderboard.judging.raters.standing` tells why).
        StudyError: the study does not take judgments by people, or the rater is unknown.
    """
    now = now or datetime.now(UTC)
    rng = rng or random.SystemRandom()
    require_source(study, "human")
    with store.write() as session:
        lock_study(session, study)
        if session.get(Rater, rater_id) is None:
            raise StudyError("this rater is not known here; open the judging page again")
        settings = read_settings(session, study.id)
        rater = read_standing(session, study, rater_id, settings)
        if rater.state == "done":
            return None
        if rater.state not in ("judge", "qualify"):
            raise AccessDeniedError(REASONS[rater.state])
        served = _open(session, study, rater_id, now)
        if served is None and rater.state == "qualify":
            served = qualification_pair(session, study, rater_id, now, rng)
        if served is None and rng.random() < settings.check_share:
            served = attention_check(session, study, rater_id, settings.check_kinds, now, rng)
        if served is None:
            pair = _choose(store, session, study, rater_id, settings, now, rng)
            if pair is None:
                return None
            left, right = rng.sample(pair, 2)
            served = assign(session, study, rater_id, left, right, now)
        return served_pair(session, served)


def progress(store: Store, study: StudyInfo, rater_id: str) -> Progress:
    """How many pairs the rater has answered, and how many the study asks of this rater."""
    with store.read() as session:
        rater = read_standing(session, study, rater_id)
        known = {pair_key(*pair) for pair in _known_pairs(session, study, rater_id)}
        pairs = count_pairs(session, study) - len(known) + rater.checks
    return Progress(rater.answered, pairs if rater.limit is None else min(rater.limit, pairs))


def assign(
    session: Session, study: StudyInfo, rater_id: str, left: str, right: str, now: datetime
) -> Assignment:
    """Reserve two episodes for a rater, within a transaction."""
    assignment = Assignment(
        id=new_id(),
        study_id=study.id,
        rater_id=rater_id,
        left_episode_id=left,
        right_episode_id=right,
        pair=pair_key(left, right),
        created=now,
        expires=now + timedelta(minutes=study.rules.reserve_minutes),
    )
    session.add(assignment)
    session.flush()
    return assignment


def assign_again(session: Session, study: StudyInfo, check: Check, now: datetime) -> Check:
    """The same check once more, after its answer was taken back."""
    copy = Check(
        id=new_id(),
        study_id=study.id,
        rater_id=check.rater_id,
        kind=check.kind,
        gold_id=check.gold_id,
        judgment_id=check.judgment_id,
        left_episode_id=check.left_episode_id,
        right_episode_id=check.right_episode_id,
        expected=check.expected,
        created=now,
        expires=now + timedelta(minutes=study.rules.reserve_minutes),
    )
    session.add(copy)
    session.flush()
    return copy


def served_pair(session: Session, served: Assignment | Check) -> ServedPair:
    """What a rater may know of a reservation."""
    left = session.get_one(Episode, served.left_episode_id)
    right = session.get_one(Episode, served.right_episode_id)
    return ServedPair(
        served.id,
        left.task,
        left.seed,
        (left.steps, right.steps),
        served.expires,
        isinstance(served, Check) and served.kind == "qualification",
    )


def _open(
    session: Session, study: StudyInfo, rater_id: str, now: datetime
) -> Assignment | Check | None:
    """What is reserved for a rater and not answered."""
    assignment = session.scalar(
        _unanswered(study, now).where(Assignment.rater_id == rater_id).limit(1)
    )
    if assignment is not None:
        return assignment
    return session.scalar(
        sa.select(Check)
        .outerjoin(CheckAnswer, CheckAnswer.check_id == Check.id)
        .where(
            Check.study_id == study.id,
            Check.rater_id == rater_id,
            Check.expires > now,
            CheckAnswer.number.is_(None),
        )
        .limit(1)
    )


def _unanswered(study: StudyInfo, now: datetime) -> sa.Select[Assignment]:
    return (
        sa.select(Assignment)
        .outerjoin(Judgment, Judgment.assignment_id == Assignment.id)
        .where(Assignment.study_id == study.id, Assignment.expires > now, Judgment.number.is_(None))
    )


def _known_pairs(session: Session, study: StudyInfo, rater_id: str) -> list[tuple[str, str]]:
    """Pairs that a rater has seen as gold pairs, and is not asked about again."""
    rows = session.execute(
        sa.select(Check.left_episode_id, Check.right_episode_id).where(
            Check.study_id == study.id,
            Check.rater_id == rater_id,
            Check.kind.in_(("qualification", "gold")),
        )
    )
    return [(left, right) for left, right in rows]


def _choose(
    store: Store,
    session: Session,
    study: StudyInfo,
    rater_id: str,
    settings: JudgingSettings,
    now: datetime,
    rng: random.Random,
) -> tuple[str, str] | None:
    known = _known_pairs(session, study, rater_id)
    reserved = session.scalars(_unanswered(study, now))
    return board_of(store, session, study.id).choose(
        rater_id,
        known,
        [(one.left_episode_id, one.right_episode_id) for one in reserved],
        rng,
        overlap=rng.random() < settings.overlap_share,
    )
