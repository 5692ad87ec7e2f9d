"""The pairs of a study: two episodes of the same task and seed by different agents."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from basalt.io.errors import StudyError
from leaderboard.store.models import (
    Assignment,
    AttentionCheck,
    CheckAnswer,
    Episode,
    Judgment,
    new_id,
    pair_key,
)
from leaderboard.studies.rules import StudyInfo

KNOWN = ("qualification", "gold")
"""Kinds of checks whose pairs are not served as ordinary ones: the rater has seen, or could find out, the right answer."""


def require_source(study: StudyInfo, source: str) -> None:
    """Refuse judgments from a source that the study does not accept.

    Raises:
        StudyError: The study does not accept the source.
    """
    if source not in study.rules.sources:
        raise StudyError(
            f"study {study.name!r} does not accept judgments from source {source!r}", "not_ready"
        )


def reservation(
    study: StudyInfo, rater_id: str, sides: tuple[str, str], now: datetime
) -> dict[str, Any]:
    """Columns that every reservation of two videos for a rater has.

    Args:
        study: Study of the episodes; its rules say how long they stay reserved.
        rater_id: Rater who sees the videos.
        sides: Ids of the left and the right episode.
        now: Start of the reservation.
    """
    return {
        "id": new_id(),
        "study_id": study.id,
        "rater_id": rater_id,
        "left_episode_id": sides[0],
        "right_episode_id": sides[1],
        "created": now,
        "expires": now + timedelta(minutes=study.rules.reserve_minutes),
    }


def unanswered(study: StudyInfo, now: datetime) -> sa.Select[Assignment]:
    """Ordinary pairs of a study that are reserved and not answered yet."""
    return (
        sa.select(Assignment)
        .outerjoin(Judgment, Judgment.assignment_id == Assignment.id)
        .where(Assignment.study_id == study.id, Assignment.expires > now, Judgment.number.is_(None))
    )


class OpenReservations(NamedTuple):
    """A rater's reservations that are not answered yet: of the pair on screen, and of the one after it, which was not shown."""

    shown: Assignment | AttentionCheck | None
    ahead: Assignment | AttentionCheck | None


def open_reservations(
    session: Session, study: StudyInfo, rater_id: str, now: datetime
) -> OpenReservations:
    """The rater's reservations that are not answered yet, within a transaction; `now` is the current time."""
    found: dict[bool, Assignment | AttentionCheck] = {}
    for one in session.scalars(unanswered(study, now).where(Assignment.rater_id == rater_id)):
        found.setdefault(one.ahead, one)
    # Both are always looked for, so that the time does not reveal which one it is.
    checks = session.scalars(
        sa.select(AttentionCheck)
        .outerjoin(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
        .where(
            AttentionCheck.study_id == study.id,
            AttentionCheck.rater_id == rater_id,
            AttentionCheck.expires > now,
            CheckAnswer.number.is_(None),
        )
    )
    for check in checks:
        found.setdefault(check.ahead, check)
    return OpenReservations(found.get(False), found.get(True))


@dataclass(frozen=True)
class OwnAnswers:
    """What a rater has answered and seen in a study of episodes, without withdrawn answers.

    Attributes:
        judged: Number of pairs judged.
        checks: Number of attention checks answered; practice pairs are not among them.
        skipped: Number of pairs skipped, attention checks and practice pairs included.
        answered: Pairs judged or skipped, as ids of episodes.
        known: Pairs shown as gold or practice pairs, as ids of episodes.
    """

    judged: int
    checks: int
    skipped: int
    answered: Sequence[tuple[str, str]]
    known: Sequence[tuple[str, str]]

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Pairs that are not served to the rater as ordinary ones any more."""
        return [*self.answered, *self.known]

    def has_judged(self, pair: str) -> bool:
        """Whether the rater has judged or skipped a pair with this key."""
        return any(pair_key(*one) == pair for one in self.answered)


def own_answers(
    session: Session, study: StudyInfo, rater_id: str, gone: Collection[str]
) -> OwnAnswers:
    """What a rater has answered and seen, within a transaction.

    Args:
        session: Transaction.
        study: Study of episodes.
        rater_id: Rater.
        gone: Ids of the answers that the rater has withdrawn.
    """
    judgments = session.execute(
        sa.select(
            Judgment.id, Judgment.winner, Judgment.left_episode_id, Judgment.right_episode_id
        ).where(
            Judgment.study_id == study.id,
            Judgment.rater_id == rater_id,
            Judgment.source == "human",
        )
    )
    checks = session.execute(
        sa.select(
            AttentionCheck.kind,
            AttentionCheck.left_episode_id,
            AttentionCheck.right_episode_id,
            CheckAnswer.id,
            CheckAnswer.winner,
        )
        .outerjoin(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
        .where(AttentionCheck.study_id == study.id, AttentionCheck.rater_id == rater_id)
    ).all()
    counted = [(winner, left, right) for one, winner, left, right in judgments if one not in gone]
    checked = [
        (kind, winner) for kind, _, _, one, winner in checks if one is not None and one not in gone
    ]
    skipped = sum(winner == "skip" for winner, _, _ in counted)
    return OwnAnswers(
        judged=len(counted) - skipped,
        checks=sum(kind != "qualification" and winner != "skip" for kind, winner in checked),
        skipped=skipped + sum(winner == "skip" for _, winner in checked),
        answered=[(left, right) for _, left, right in counted],
        known=[(left, right) for kind, left, right, *_ in checks if kind in KNOWN],
    )


def practice_pairs(session: Session, study: StudyInfo, rater_id: str) -> Sequence[tuple[str, str]]:
    """Pairs that a rater was shown for practice, as ids of episodes."""
    rows = session.execute(
        sa.select(AttentionCheck.left_episode_id, AttentionCheck.right_episode_id).where(
            AttentionCheck.study_id == study.id,
            AttentionCheck.rater_id == rater_id,
            AttentionCheck.kind == "qualification",
        )
    )
    return rows.all()


def has_seen_all(
    session: Session, study: StudyInfo, rater_id: str, own: OwnAnswers, now: datetime
) -> bool:
    """Whether no pair of a study is left for a rater, who has judged, skipped or practised all of them.

    Args:
        session: Transaction.
        study: Study of episodes.
        rater_id: Rater.
        own: What the rater has answered and seen.
        now: Current time.
    """
    seen = {pair_key(*pair) for pair in own.seen}
    return len(seen) >= count_pairs(session, study) and not any(
        open_reservations(session, study, rater_id, now)
    )


def all_pairs(session: Session, study: StudyInfo) -> list[tuple[Episode, Episode]]:
    """All pairs of episodes of the same task and seed by different agents, by task, seed and names."""
    episodes = session.scalars(
        sa.select(Episode).where(Episode.study_id == study.id).options(joinedload(Episode.agent))
    )
    groups: dict[tuple[str, int], list[Episode]] = {}
    for episode in episodes:
        groups.setdefault((episode.task, episode.seed), []).append(episode)
    return [
        pair
        for key in sorted(groups)
        for pair in combinations(sorted(groups[key], key=lambda episode: episode.agent.name), 2)
    ]


def count_pairs(session: Session, study: StudyInfo) -> int:
    """Number of pairs that have videos."""
    groups = session.scalars(
        sa.select(sa.func.count())
        .where(Episode.study_id == study.id, Episode.steps > 0)
        .group_by(Episode.task, Episode.seed)
    )
    return sum(count * (count - 1) // 2 for count in groups)
