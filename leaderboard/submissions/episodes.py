"""The episodes of a study, for people who may see the players' names."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa
from sqlalchemy.orm import contains_eager

from basalt.core.comparisons import Comparison
from basalt.core.recording import Recording
from basalt.core.telemetry import Telemetry
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode
from leaderboard.studies.rules import StudyInfo


def list_episodes(store: Store, study: StudyInfo) -> list[Episode]:
    """All episodes of a study that have a video, with their agents, by task, seed and agent."""
    query = (
        sa.select(Episode)
        .join(Episode.agent)
        .options(contains_eager(Episode.agent))
        .where(Episode.study_id == study.id)
        .order_by(Episode.task, Episode.seed, Agent.name)
    )
    with store.read() as session:
        episodes = session.scalars(query).all()
    return [
        one
        for one in episodes
        if store.remote is not None or (store.media / f"{one.media_name}.mp4").is_file()
    ]


def replayed(store: Store, study: StudyInfo) -> dict[tuple[str, str], tuple[int, int]]:
    """By task and agent: number of episodes that a replay confirmed, and number of all episodes."""
    query = (
        sa.select(
            Episode.task,
            Agent.name,
            sa.func.sum(sa.case((Episode.verified, 1), else_=0)),
            sa.func.count(),
        )
        .join(Agent, Episode.agent_id == Agent.id)
        .where(Episode.study_id == study.id)
        .group_by(Episode.task, Agent.name)
    )
    with store.read() as session:
        return {
            (task, agent): (confirmed, count)
            for task, agent, confirmed, count in session.execute(query)
        }


def uncompared(
    entered: Collection[tuple[str, str]], comparisons: Iterable[Comparison]
) -> list[str]:
    """Names of the agents of a study that no table has yet, since nobody has compared them.

    Args:
        entered: Task and agent of what was submitted, e.g. the keys of `replayed`.
        comparisons: The study's comparisons; skips compare nothing.
    """
    compared = {
        name
        for one in comparisons
        if one.winner != "skip"
        for name in (one.left_agent, one.right_agent)
    }
    return sorted({agent for _, agent in entered} - compared)


def episode_telemetry(store: Store, episode_id: str) -> tuple[Telemetry, ...]:
    """Telemetry of each step of an episode; empty if it was recorded without.

    Raises:
        RecordingError: The recording cannot be read.
    """
    with store.read() as session:
        episode = session.get_one(Episode, episode_id)
    video, *_ = (
        store.media_file(f"{episode.media_name}{suffix}") for suffix in (".mp4", ".jsonl", ".json")
    )
    return Recording.open(video).telemetry()
