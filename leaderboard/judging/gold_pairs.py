"""Gold pairs: pairs of episodes with an answer known to an admin, to qualify raters and to check them."""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import (
    AttentionCheck,
    CheckAnswer,
    Episode,
    GoldPair,
    new_id,
    pair_key,
)
from leaderboard.studies.access import AdminIdentity, changes
from leaderboard.studies.rules import StudyInfo

MIRRORED = {"left": "right", "right": "left", "draw": "draw"}
"""Right answers of a gold pair, and each with the sides swapped."""


_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class GoldInfo:
    """A gold pair, as an admin sees it.

    Attributes:
        id: Opaque id.
        task: Task of both episodes.
        seed: Seed of both episodes.
        left: Name of the agent on the left.
        right: Name of the agent on the right.
        better: Right answer: `left`, `right` or `draw`.
        explanation: Text shown to raters after an answer of the qualification.
        practice: Whether it is a practice pair (True) or an attention check (False); None for both.
        answered: Number of answers, skips left out.
        right_answers: Number of right answers. If few are right, the pair's answer may be wrong.
        retired: Time when the pair was retired; None while it is in use.
    """

    id: str
    task: str
    seed: int
    left: str
    right: str
    better: str
    explanation: str
    practice: bool | None
    answered: int
    right_answers: int
    retired: datetime | None


@changes
def add_gold_pair(
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    left_episode_id: str,
    right_episode_id: str,
    better: str,
    explanation: str = "",
    *,
    practice: bool | None = None,
) -> str:
    """Add a pair of episodes with a known answer; returns the gold pair's id.

    Args:
        store: Leaderboard.
        study: Study of the episodes.
        admin: Admin who adds it.
        left_episode_id: Id of an episode.
        right_episode_id: Id of another episode of the same task and seed. Sides are drawn each time the
            pair is shown.
        better: Right answer: `left`, `right` or `draw`.
        explanation: Reason, shown to raters after an answer of the qualification. `{better}` and `{worse}` stand for
            the players: raters read them as the side on which they see them.
        practice: Whether it is a practice pair (True) or an attention check (False); None for both.

    Raises:
        StudyError: The episodes are not of this study with a common seed, or are a gold pair already; or the
            explanation names a side.
    """
    if better not in MIRRORED:
        raise StudyError(f"better: expected one of {', '.join(MIRRORED)}, got {better!r}")
    if len(explanation) > 2000:
        raise StudyError("the explanation is longer than 2000 characters; shorten it")
    if side := _SIDE.search(explanation):
        raise StudyError(
            f"explanation: sides are drawn each time, so {side[0]!r} would be wrong half of the time; "
            "write {better} and {worse} for the two players"
        )
    if better == "draw" and any(name in explanation for name in ("{better}", "{worse}")):
        raise StudyError("explanation: of two equally good players neither is {better} or {worse}")
    with store.write() as session:
        left, right = (
            session.get(Episode, episode) for episode in (left_episode_id, right_episode_id)
        )
        if (
            left is None
            or right is None
            or left.id == right.id
            or {left.study_id, right.study_id} != {study.id}
            or (left.task, left.seed) != (right.task, right.seed)
        ):
            raise StudyError(
                "a gold pair needs two episodes of this study with the same task and seed"
            )
        key = pair_key(left.id, right.id)
        for other in pairs_in_use(session, study.id):
            if pair_key(other.left_episode_id, other.right_episode_id) == key:
                raise StudyError("these two episodes are a gold pair already")
        gold = GoldPair(
            id=new_id(),
            study_id=study.id,
            left_episode_id=left.id,
            right_episode_id=right.id,
            better=better,
            explanation=explanation.strip(),
            created=datetime.now(UTC),
            practice=practice,
        )
        session.add(gold)
        return gold.id


@changes
def retire_gold_pair(store: Store, study: StudyInfo, admin: AdminIdentity, gold_id: str) -> None:
    """Retire a gold pair; its answers stay.

    Raises:
        StudyError: The study has no such gold pair.
    """
    with store.write() as session:
        gold = session.get(GoldPair, gold_id)
        if gold is None or gold.study_id != study.id:
            raise StudyError("the study has no such gold pair")
        gold.retired = gold.retired or datetime.now(UTC)


def list_gold_pairs(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[GoldInfo]:
    """All gold pairs of a study in the order they were added."""
    with store.read() as session:
        answers = session.execute(
            sa.select(AttentionCheck.gold_id, CheckAnswer.passed)
            .join(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
            .where(
                AttentionCheck.study_id == study.id,
                AttentionCheck.gold_id.is_not(None),
                CheckAnswer.winner != "skip",
            )
        ).all()
        passed: dict[str | None, list[bool]] = defaultdict(list)
        for gold_id, right in answers:
            passed[gold_id].append(right)
        return [
            GoldInfo(
                id=gold.id,
                task=gold.left.task,
                seed=gold.left.seed,
                left=gold.left.agent.name,
                right=gold.right.agent.name,
                better=gold.better,
                explanation=gold.explanation,
                practice=gold.practice,
                answered=len(passed[gold.id]),
                right_answers=sum(passed[gold.id]),
                retired=gold.retired,
            )
            for gold in session.scalars(
                sa.select(GoldPair).where(GoldPair.study_id == study.id).order_by(GoldPair.created)
            )
        ]


def pairs_in_use(
    session: Session, study_id: str, *, practice: bool | None = None
) -> list[GoldPair]:
    """The gold pairs of a study that are not retired.

    Args:
        session: Transaction.
        study_id: Id of the study.
        practice: True for practice pairs only, False for attention checks only, None for all.
    """
    found = sa.select(GoldPair).where(GoldPair.study_id == study_id, GoldPair.retired.is_(None))
    if practice is not None:
        found = found.where(sa.or_(GoldPair.practice.is_(None), GoldPair.practice.is_(practice)))
    return list(session.scalars(found.order_by(GoldPair.id)))


def explained(explanation: str, expected: str) -> str:
    """An explanation with the players named by the side on which a rater sees them.

    Args:
        explanation: Explanation of a gold pair.
        expected: Right answer as shown: `left`, `right` or `draw`.
    """
    text = explanation.replace("{better}", f"the {expected} player")
    text = text.replace("{worse}", f"the {MIRRORED[expected]} player")
    return text[:1].upper() + text[1:] if explanation.startswith("{") else text
