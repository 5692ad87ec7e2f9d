"""The pairs of a study: two episodes of the same task and seed by different agents."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

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


def open_reservation(
    session: Session, study: StudyInfo, rater_id: str, now: datetime, *, ahead: bool = False
) -> Assignment | AttentionCheck | None:
    """The rater's reservation that is not answered yet.

    Args:
        session: Transaction.
        study: Study of the pair.
        rater_id: Rater.
        now: Current time.
        ahead: Whether to find the pair that is reserved ahead, which was not shown yet, in place of the one on screen.
    """
    assignment = session.scalar(
        unanswered(study, now)
        .where(Assignment.rater_id == rater_id, Assignment.ahead == ahead)
        .limit(1)
    )
    if assignment is not None:
        return assignment
    return session.scalar(
        sa.select(AttentionCheck)
        .outerjoin(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
        .where(
            AttentionCheck.study_id == study.id,
            AttentionCheck.rater_id == rater_id,
            AttentionCheck.expires > now,
            AttentionCheck.ahead == ahead,
            CheckAnswer.number.is_(None),
        )
        .limit(1)
    )


def known_pairs(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    kinds: Sequence[str] = ("qualification", "gold"),
) -> Sequence[tuple[str, str]]:
    """Pairs that a rater has seen as gold pairs; they are not served as ordinary pairs."""
    rows = session.execute(
        sa.select(AttentionCheck.left_episode_id, AttentionCheck.right_episode_id).where(
            AttentionCheck.study_id == study.id,
            AttentionCheck.rater_id == rater_id,
            AttentionCheck.kind.in_(kinds),
        )
    )
    return rows.all()


def judged_pairs(
    session: Session, study: StudyInfo, rater_id: str, gone: Collection[str]
) -> Sequence[tuple[str, str]]:
    """Pairs that a rater has judged or skipped, without the withdrawn judgments `gone`."""
    rows = session.execute(
        sa.select(Judgment.left_episode_id, Judgment.right_episode_id).where(
            Judgment.study_id == study.id,
            Judgment.rater_id == rater_id,
            Judgment.source == "human",
            Judgment.id.not_in(gone),
        )
    )
    return rows.all()


def has_seen_all(
    session: Session, study: StudyInfo, rater_id: str, gone: Collection[str], now: datetime
) -> bool:
    """Whether no pair of a study is left for a rater, who has judged, skipped or practised all of them.

    Args:
        session: Transaction.
        study: Study of episodes.
        rater_id: Rater.
        gone: Ids of the judgments that the rater has withdrawn.
        now: Current time.
    """
    own = (*judged_pairs(session, study, rater_id, gone), *known_pairs(session, study, rater_id))
    seen = {pair_key(*pair) for pair in own}
    return len(seen) >= count_pairs(session, study) and not any(
        open_reservation(session, study, rater_id, now, ahead=ahead) for ahead in (False, True)
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
