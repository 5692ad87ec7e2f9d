"""The store's judgments in their portable form, for ratings, files and reward models."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from basalt.core.comparisons import Comparison, to_table, write_comparisons
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

    Those of banned raters and those taken back stay in the store and are left out here, so that every
    rating follows at once.

    Args:
        store: the leaderboard.
        study: the study.
        sources: only these; None for all.

    Raises:
        ConfigError: an unknown source.
    """
    for source in sources or ():
        if source not in SOURCES:
            raise ConfigError(f"source: {source!r} is not one of {', '.join(SOURCES)}")
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
    """Write comparisons to a .parquet, .csv or .json file; returns how many.

    Raises:
        ConfigError: another suffix.
        WriteError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: name a file that ends in {', '.join(FORMATS)} or .html")
    if path.suffix == ".parquet":
        return write_comparisons(path, comparisons)
    frame = to_table(comparisons).to_pandas(integer_object_nulls=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            frame.to_csv(partial, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
        else:
            frame.to_json(partial, orient="records", date_format="iso", date_unit="us", indent=1)
        partial.replace(path)
    except OSError as err:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({err.strerror})") from err
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
