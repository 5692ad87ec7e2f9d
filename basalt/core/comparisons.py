"""Comparisons: the portable form of preferences, exported by the leaderboard as a Parquet file.

A row says which of two episodes, or clips of them, was preferred. Episodes are named by the SHA-256 of their
video, so a row means the same on every machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from basalt.io.atomic import replacing
from basalt.io.errors import BasaltError

FORMAT_VERSION = 1

Winner = Literal["left", "right", "draw", "both_bad", "skip"]
Source = Literal["human", "bedd", "telemetry", "model"]


class ComparisonError(BasaltError):
    """A file of comparisons that cannot be read."""


@dataclass(frozen=True)
class Comparison:
    """Which of two episodes of the same task and seed did better.

    Attributes:
        comparison_id: Opaque, unique id.
        study: Name of the study it was made in.
        task: Name of the task.
        world: World that both were played in.
        world_version: Version of that world.
        seed: Seed that both were played on.
        left_agent: Name of the left player.
        right_agent: Name of the right player.
        left_episode: SHA-256 of the left video, hexadecimal.
        right_episode: SHA-256 of the right video, hexadecimal.
        winner: `left`, `right`, `draw`, `both_bad` (neither is acceptable) or `skip` (no opinion).
        source: Who judged: `human`, `bedd`, `telemetry` (a rule instead of people) or `model`.
        created: Time of the judgment, in UTC.
        left_start: First step of the left clip; None if whole episodes were compared.
        left_stop: Step after the last one of the left clip, or None.
        right_start: First step of the right clip, or None.
        right_stop: Step after the last one of the right clip, or None.
        rater: Opaque id of the rater; None for rules and models.
        justification: Reason in the rater's words.
        seconds: Time that the rater took.
    """

    comparison_id: str
    study: str
    task: str
    world: str
    world_version: str
    seed: int
    left_agent: str
    right_agent: str
    left_episode: str
    right_episode: str
    winner: Winner
    source: Source
    created: datetime
    left_start: int | None = None
    left_stop: int | None = None
    right_start: int | None = None
    right_stop: int | None = None
    rater: str | None = None
    justification: str = ""
    seconds: float | None = None

    @property
    def decisive(self) -> bool:
        """Whether the rater ranked the two: one won, or both did equally well."""
        return self.winner in ("left", "right", "draw")

    @property
    def winner_loser(self) -> tuple[str, str]:
        """Names of the winner and the loser; of a draw, the left agent and the right one."""
        sides = self.left_agent, self.right_agent
        return sides[::-1] if self.winner == "right" else sides


_ARROW: dict[str, pa.DataType] = {
    "seed": pa.int64(),
    "created": pa.timestamp("us", tz="UTC"),
    "left_start": pa.int32(),
    "left_stop": pa.int32(),
    "right_start": pa.int32(),
    "right_stop": pa.int32(),
    "seconds": pa.float64(),
}
_OPTIONAL = {"left_start", "left_stop", "right_start", "right_stop", "rater", "seconds"}

SCHEMA = pa.schema(
    [
        pa.field(item.name, _ARROW.get(item.name, pa.string()), nullable=item.name in _OPTIONAL)
        for item in fields(Comparison)
    ],
    metadata={"basalt-comparisons": str(FORMAT_VERSION)},
)
"""Columns of a file of comparisons, in order."""


def to_table(comparisons: Iterable[Comparison]) -> pa.Table:
    """Convert comparisons to an Arrow table with the columns of `SCHEMA`."""
    rows = [
        {item.name: getattr(comparison, item.name) for item in fields(Comparison)}
        for comparison in comparisons
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_comparisons(path: str | Path, comparisons: Iterable[Comparison]) -> int:
    """Write a Parquet file of comparisons; readers never see a partial one.

    Returns:
        Number of comparisons written.

    Raises:
        WriteError: The file cannot be written.
    """
    path = Path(path)
    table = to_table(comparisons)
    with replacing(path) as partial:
        pq.write_table(table, partial)
    return int(table.num_rows)


def read_comparisons(path: str | Path) -> list[Comparison]:
    """Read a Parquet file of comparisons.

    Raises:
        ComparisonError: The file is missing, not Parquet, of another version, or has a column or value that
            is not valid.
    """
    path = Path(path)
    if not path.is_file():
        raise ComparisonError(f"{path}: no such file; expected a Parquet file of comparisons")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as err:
        raise ComparisonError(f"{path}: expected a Parquet file of comparisons ({err})") from err
    metadata = table.schema.metadata or {}
    version = metadata.get(b"basalt-comparisons", b"").decode()
    if version != str(FORMAT_VERSION):
        raise ComparisonError(
            f"{path}: expected comparisons of version {FORMAT_VERSION}, got "
            f"{f'version {version}' if version else 'a file without a version'}"
        )
    for column in SCHEMA:
        if column.name not in table.schema.names:
            raise ComparisonError(f"{path}: column {column.name!r} is missing")
        if table.schema.field(column.name).type != column.type:
            raise ComparisonError(
                f"{path}: column {column.name!r}: expected {column.type}, got "
                f"{table.schema.field(column.name).type}"
            )
    return [
        _checked(path, number, row)
        for number, row in enumerate(table.select(SCHEMA.names).to_pylist(), start=1)
    ]


def _checked(path: Path, number: int, row: dict[str, Any]) -> Comparison:
    for name, value in row.items():
        if value is None and name not in _OPTIONAL:
            raise ComparisonError(f"{path}, row {number}: {name}: expected a value, got none")
    for name, allowed in (("winner", get_args(Winner)), ("source", get_args(Source))):
        if row[name] not in allowed:
            raise ComparisonError(
                f"{path}, row {number}: {name}: expected one of {', '.join(allowed)}, got {row[name]!r}"
            )
    row["created"] = row["created"].astimezone(UTC)
    return Comparison(**row)
