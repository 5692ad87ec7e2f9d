"""Studies with many episodes and no videos, made in no time."""

from datetime import UTC, datetime

from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode, Submission, new_id
from leaderboard.studies.rules import StudyInfo, demo_study
from tests.support.three_players import unwatched_study


def fill(
    store: Store,
    agents: int,
    seeds: int,
    *,
    name: str = "small",
    tasks: tuple[str, ...] = ("find_cave",),
) -> StudyInfo:
    """A study in which every agent has an episode of every task and seed."""
    numbers = list(range(100_001, 100_001 + seeds))
    study = unwatched_study(store, name, demo_study(dict.fromkeys(tasks, numbers), "test", "1"))
    now = datetime.now(UTC)
    with store.write() as session:
        for number in range(agents):
            agent = Agent(
                id=new_id(), study_id=study.id, name=f"agent {number:03}",
                name_key=f"agent{number:03}", kind="agent", created=now,
            )  # fmt: skip
            session.add(agent)
            session.flush()
            submission = Submission(
                id=new_id(), study_id=study.id, agent_id=agent.id, created=now, manifest={}
            )
            session.add(submission)
            session.flush()
            session.add_all(
                Episode(
                    id=new_id(), study_id=study.id, submission_id=submission.id, agent_id=agent.id,
                    task=task, seed=seed, steps=100 + number, ended="esc",
                    video_sha256=new_id() * 2, lines_sha256=new_id() * 2, verified=False,
                )
                for task in tasks
                for seed in numbers
            )  # fmt: skip
    return study
