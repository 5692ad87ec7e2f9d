"""The episodes of a study, to browse and to watch; for who may see players' names."""

from dataclasses import dataclass

import sqlalchemy as sa

from basalt.core.recording import Recording
from basalt.core.telemetry import Telemetry
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode
from leaderboard.studies.rules import StudyInfo


@dataclass(frozen=True)
class EpisodeInfo:
    """An episode of a submission.

    Attributes:
        id: opaque.
        agent: the player's name.
        kind: of player: ``agent``, ``random``, ``scripted``, ``human``.
        task: the task's name.
        seed: the seed it was played on.
        steps: its length in steps of 50 ms.
        ended: how: ``esc``, ``death``, ``limit``, ...
        verified: whether its actions were replayed in the world and led to the same places.
    """

    id: str
    agent: str
    kind: str
    task: str
    seed: int
    steps: int
    ended: str
    verified: bool


def list_episodes(store: Store, study: StudyInfo) -> list[EpisodeInfo]:
    """All episodes of a study whose video is here, by task, seed and agent."""
    query = (
        sa.select(Episode, Agent)
        .join(Agent, Episode.agent_id == Agent.id)
        .where(Episode.study_id == study.id)
        .order_by(Episode.task, Episode.seed, Agent.name)
    )
    with store.read() as session:
        rows = session.execute(query).all()
    return [
        EpisodeInfo(
            episode.id, agent.name, agent.kind, episode.task, episode.seed, episode.steps,
            episode.ended, episode.verified,
        )
        for episode, agent in rows
        if store.remote is not None or (store.media / f"{episode.media_name}.mp4").is_file()
    ]  # fmt: skip


def replayed(store: Store, study: StudyInfo) -> dict[tuple[str, str], tuple[int, int]]:
    """By task and agent: how many episodes a replay confirmed, and how many there are."""
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


def episode_telemetry(store: Store, episode_id: str) -> tuple[Telemetry, ...]:
    """What the referee knew at each step of an episode; empty where it has no telemetry.

    Raises:
        RecordingError: the recording cannot be read.
    """
    with store.read() as session:
        episode = session.get_one(Episode, episode_id)
    video, *_ = (
        store.media_file(f"{episode.media_name}{suffix}") for suffix in (".mp4", ".jsonl", ".json")
    )
    return Recording.open(video).telemetry()
