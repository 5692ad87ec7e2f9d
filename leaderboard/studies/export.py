"""The store's judgments as comparisons, for ratings, files and reward models."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from basalt.core.comparisons import Comparison, to_table, write_comparisons
from basalt.io.atomic import replacing
from basalt.io.errors import ConfigError
from leaderboard.store.database import Store
from leaderboard.store.models import SOURCES, Agent, Episode, Judgment
from leaderboard.studies.events import banned_raters, withdrawn_answers
from leaderboard.studies.rules import StudyInfo

FORMATS = (".parquet", ".csv", ".json")


def load_comparisons(
    store: Store, study: StudyInfo, sources: Collection[str] | None = None
) -> list[Comparison]:
    """The judgments of a study that count, as comparisons, in the order they were made.

    Judgments of banned raters and withdrawn judgments stay in the store; they are left out here, so that
    every rating changes at once.

    Args:
        store: Leaderboard.
        study: Study of the judgments.
        sources: Sources to include; None for all.

    Raises:
        ConfigError: A source is unknown.
    """
    for source in sources or ():
        if source not in SOURCES:
            raise ConfigError(f"source: expected one of {', '.join(SOURCES)}, got {source!r}")
    left, right = aliased(Episode), aliased(Episode)
    left_agent, right_agent = aliased(Agent), aliased(Agent)
    query = (
        sa.select(Judgment, left, right, left_agent.name, right_agent.name)
        .join(left, Judgment.left_episode_id == left.id)
        .join(right, Judgment.right_episode_id == right.id)
        .join(left_agent, left.agent_id == left_agent.id)
        .join(right_agent, right.agent_id == right_agent.id)
        .where(Judgment.study_id == study.id)
        .order_by(Judgment.created, Judgment.number)
    )
    if sources is not None:
        query = query.where(Judgment.source.in_(sources))
    with store.read() as session:
        banned = banned_raters(session, study.id)
        gone = withdrawn_answers(session, study.id)
        return [
            _comparison(study, *row)
            for row in session.execute(query)
            if row[0].rater_id not in banned and row[0].id not in gone
        ]


def export_comparisons(path: str | Path, comparisons: list[Comparison]) -> int:
    """Write comparisons to a .parquet, .csv or .json file; returns their number.

    Raises:
        ConfigError: The file has another suffix.
        WriteError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"{path}: expected a file name that ends in {', '.join(FORMATS)} or .html"
        )
    if path.suffix == ".parquet":
        return write_comparisons(path, comparisons)
    frame = to_table(comparisons).to_pandas(integer_object_nulls=True)
    with replacing(path) as partial:
        if path.suffix == ".csv":
            frame.to_csv(partial, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
        else:
            frame.to_json(partial, orient="records", date_format="iso", date_unit="us", indent=1)
    return len(comparisons)


def _comparison(
    study: StudyInfo, judgment: Judgment, left: Episode, right: Episode, *agents: Any
) -> Comparison:
    return Comparison(
        comparison_id=judgment.id,
        study=study.name,
        task=left.task,
        world=study.rules.world,
        world_version=study.rules.version_of(left.task) or study.rules.version_text,
        seed=left.seed,
        left_agent=agents[0],
        right_agent=agents[1],
        left_episode=left.video_sha256,
        right_episode=right.video_sha256,
        winner=judgment.winner,  # type: ignore[arg-type]  # the database allows no other
        source=judgment.source,  # type: ignore[arg-type]
        rater=judgment.rater_id,
        justification=judgment.justification,
        seconds=judgment.seconds,
        created=judgment.created,
    )
