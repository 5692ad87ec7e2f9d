"""The pairs of a study: two episodes of the same task and seed by different agents."""

from itertools import combinations

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from basalt.io.errors import StudyError
from leaderboard.store.models import Episode, Study, pair_key
from leaderboard.studies.rules import StudyInfo


def require_source(study: StudyInfo, source: str) -> None:
    """Refuse judgments of a source that the study does not take.

    Raises:
        StudyError: it does not.
    """
    if source not in study.rules.sources:
        raise StudyError(f"study {study.name!r} takes no judgments by {source}")


def lock_study(session: Session, study: StudyInfo) -> None:
    """Let no other transaction of this kind into the study until this one ends."""
    # On PostgreSQL the row's lock; SQLite's write transaction already keeps others out.
    session.execute(sa.select(Study.id).where(Study.id == study.id).with_for_update())


def all_pairs(session: Session, study: StudyInfo) -> list[tuple[Episode, Episode]]:
    """All pairs of episodes of the same task and seed by different agents, in a stated order."""
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
    """How many pairs with videos a study has."""
    groups = session.scalars(
        sa.select(sa.func.count())
        .where(Episode.study_id == study.id, Episode.steps > 0)
        .group_by(Episode.task, Episode.seed)
    )
    return sum(count * (count - 1) // 2 for count in groups)


def key_of(pair: tuple[Episode, Episode]) -> str:
    """The pair's key, see :func:`leaderboard.store.models.pair_key`."""
    return pair_key(pair[0].id, pair[1].id)
