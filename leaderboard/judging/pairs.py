"""The pairs of a study: two episodes of the same task and seed by different agents."""

from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from basalt.io.errors import StudyError
from leaderboard.store.models import Episode, new_id
from leaderboard.studies.rules import StudyInfo


def require_source(study: StudyInfo, source: str) -> None:
    """Refuse judgments from a source that the study does not accept.

    Raises:
        StudyError: The study does not accept the source.
    """
    if source not in study.rules.sources:
        raise StudyError(f"study {study.name!r} does not accept judgments from source {source!r}")


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
