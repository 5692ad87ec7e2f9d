"""Attention checks: pairs with a known answer, served like any other, that never enter a rating.

- `qualification`: gold pairs that a rater answers before judging;
- `gold`: a gold pair between ordinary pairs;
- `repeat`: a pair that the rater has answered, sides swapped;
- `self`: a video against itself, so neither side can be better.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.gold_pairs import MIRRORED, pairs_in_use
from leaderboard.judging.pairs import reservation
from leaderboard.store.models import (
    Assignment,
    AttentionCheck,
    CheckAnswer,
    Episode,
    GoldPair,
    Judgment,
    count,
    pair_key,
)
from leaderboard.studies.events import (
    BY_RULE,
    RaterLog,
    rater_log,
    record_ban,
    withdrawn_answers,
)
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

# Number of a rater's latest answers that are not repeated yet.
_REPEAT_AFTER = 3


@dataclass(frozen=True)
class Qualification:
    """Progress of a rater's qualification.

    Attributes:
        answered: Number of gold pairs answered.
        right: Number of right answers among them.
        pairs: Number of gold pairs to answer; 0 if the study has no qualification.
        needed: Number of right answers that passes.
    """

    answered: int
    right: int
    pairs: int
    needed: int

    @property
    def state(self) -> Literal["open", "passed", "failed"]:
        """Whether the rater is still answering, or has passed or failed."""
        if self.answered < self.pairs:
            return "open"
        return "passed" if self.right >= self.needed else "failed"


class Known(NamedTuple):
    """Two videos with a known answer: kind of check, ids of the episodes, the answer, where it is known from."""

    kind: str
    sides: tuple[str, str]
    expected: str
    gold_id: str | None = None
    judgment_id: str | None = None


def qualification(
    session: Session,
    study_id: str,
    rater_id: str,
    settings: JudgingSettings,
    log: RaterLog | None = None,
) -> Qualification:
    """Progress of a rater's qualification, since the last permission to try again; `log` is read if it is not given."""
    pairs, needed = settings.qualification_pairs, settings.qualification_right
    if not pairs:
        return Qualification(0, 0, 0, 0)
    log = log or rater_log(session, study_id, rater_id)
    given = _qualification_answers(session, study_id, rater_id, log)
    passed = [answer.passed for _, answer in given]
    return Qualification(len(passed), sum(passed), pairs, needed)


def qualification_pair(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    now: datetime,
    rng: random.Random,
) -> AttentionCheck:
    """The next gold pair of a rater's qualification, reserved.

    Raises:
        StudyError: The study has fewer gold pairs than it asks for.
    """
    log = rater_log(session, study.id, rater_id)
    done = {check.gold_id for check, _ in _qualification_answers(session, study.id, rater_id, log)}
    free = [
        _known("qualification", gold)
        for gold in pairs_in_use(session, study.id, practice=True)
        if gold.id not in done
    ]
    if not free:
        raise StudyError(
            "this study has too few gold pairs for its qualification; its admin can add some",
            "not_ready",
        )
    return serve_check(session, study, rater_id, _drawn(free, rng), now)


def find_check(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    kinds: Iterable[str],
    gone: Collection[str],
    rng: random.Random,
) -> Known | None:
    """A check of the first kind, in random order, that can be made; None if no kind can.

    Args:
        session: Transaction.
        study: Study of episodes.
        rater_id: Rater.
        kinds: Kinds of checks.
        gone: Ids of the answers that the rater has withdrawn.
        rng: Random numbers.
    """
    shuffled = list(kinds)
    rng.shuffle(shuffled)
    shown = session.scalars(
        sa.select(AttentionCheck).where(
            AttentionCheck.study_id == study.id, AttentionCheck.rater_id == rater_id
        )
    ).all()
    for kind in shuffled:
        if kind == "gold":
            free = _gold(session, study, rater_id, shown)
        elif kind == "repeat":
            free = _repeat(session, study, rater_id, shown, gone)
        else:
            free = _self(session, study, shown)
        if free:
            return _drawn(free, rng)
    return None


def serve_again(
    session: Session, study: StudyInfo, check: AttentionCheck, now: datetime
) -> AttentionCheck:
    """Reserve the same check again, after its answer was withdrawn."""
    sides = (check.left_episode_id, check.right_episode_id)
    known = Known(check.kind, sides, check.expected, check.gold_id, check.judgment_id)
    return serve_check(session, study, check.rater_id, known, now)


def passes(check: AttentionCheck, winner: str) -> bool:
    """Whether an answer to a check is right; of a video against itself, neither side may be better.

    A skip is not right, and does not count as an answer to the check.
    """
    if check.kind == "self":
        return winner in ("draw", "both_bad")
    return winner == check.expected


def after_check_answer(
    session: Session, study_id: str, rater_id: str, settings: JudgingSettings
) -> None:
    """Ban a rater who has failed too many checks of the kinds `gold` and `self`."""
    limit = settings.ban_after_failed_checks
    if limit is None:
        return
    failed = count(
        session,
        CheckAnswer.check_id == AttentionCheck.id,
        CheckAnswer.study_id == study_id,
        CheckAnswer.rater_id == rater_id,
        CheckAnswer.passed.is_(False),
        CheckAnswer.winner != "skip",
        CheckAnswer.id.not_in(withdrawn_answers(session, study_id, rater_id)),
        AttentionCheck.kind.in_(("gold", "self")),
    )
    if failed >= limit:
        record_ban(session, study_id, rater_id, BY_RULE, f"failed {failed} attention checks")


def _qualification_answers(
    session: Session, study_id: str, rater_id: str, log: RaterLog
) -> list[tuple[AttentionCheck, CheckAnswer]]:
    """The answers of a rater's current qualification that were not withdrawn; a skipped pair comes again."""
    query = (
        sa.select(AttentionCheck, CheckAnswer)
        .join(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
        .where(
            AttentionCheck.study_id == study_id,
            AttentionCheck.rater_id == rater_id,
            AttentionCheck.kind == "qualification",
            CheckAnswer.winner != "skip",
        )
    )
    if log.requalified is not None:
        query = query.where(CheckAnswer.created > log.requalified)
    return [
        (check, answer)
        for check, answer in session.execute(query)
        if answer.id not in log.withdrawn
    ]


def _known(kind: str, gold: GoldPair) -> Known:
    return Known(kind, (gold.left_episode_id, gold.right_episode_id), gold.better, gold_id=gold.id)


def _gold(
    session: Session, study: StudyInfo, rater_id: str, shown: Sequence[AttentionCheck]
) -> list[Known]:
    """Gold pairs that the rater was never shown, neither as a check nor as an ordinary pair."""
    seen = {check.gold_id for check in shown}
    served = set(session.scalars(sa.select(Assignment.pair).where(Assignment.rater_id == rater_id)))
    known = [_known("gold", gold) for gold in pairs_in_use(session, study.id, practice=False)]
    return [one for one in known if one.gold_id not in seen and pair_key(*one.sides) not in served]


def _repeat(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    shown: Sequence[AttentionCheck],
    gone: Collection[str],
) -> list[Known]:
    """Pairs that the rater has decided, except the latest, with sides swapped."""
    repeated = {check.judgment_id for check in shown}
    own = session.scalars(
        sa.select(Judgment)
        .where(
            Judgment.study_id == study.id,
            Judgment.rater_id == rater_id,
            Judgment.source == "human",
            Judgment.id.not_in(gone),
        )
        .order_by(Judgment.number)
    ).all()[:-_REPEAT_AFTER]
    return [
        Known(
            "repeat",
            (one.right_episode_id, one.left_episode_id),
            MIRRORED[one.winner],
            judgment_id=one.id,
        )
        for one in own
        if one.id not in repeated and one.winner in ("left", "right")
    ]


def _self(session: Session, study: StudyInfo, shown: Sequence[AttentionCheck]) -> list[Known]:
    """Each video that no check of the rater has shown, against itself."""
    seen = {check.left_episode_id for check in shown}
    unseen = sa.select(Episode.id).where(Episode.study_id == study.id, Episode.id.not_in(seen))
    return [
        Known("self", (one, one), "draw") for one in session.scalars(unseen.order_by(Episode.id))
    ]


def _drawn(free: Sequence[Known], rng: random.Random) -> Known:
    """One of them, a gold pair with its sides in random order."""
    one = rng.choice(free)
    if one.gold_id is not None and rng.random() < 0.5:
        one = one._replace(sides=one.sides[::-1], expected=MIRRORED[one.expected])
    return one


def serve_check(
    session: Session, study: StudyInfo, rater_id: str, known: Known, now: datetime
) -> AttentionCheck:
    """Reserve a check for a rater, within a transaction."""
    check = AttentionCheck(
        **reservation(study, rater_id, known.sides, now),
        kind=known.kind,
        expected=known.expected,
        gold_id=known.gold_id,
        judgment_id=known.judgment_id,
    )
    session.add(check)
    session.flush()
    return check
