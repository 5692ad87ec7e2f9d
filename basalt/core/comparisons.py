"""Comparisons: the portable form of preferences, as a leaderboard exports and reward models read them.

One row says which of two episodes (or stretches of them) somebody preferred. Episodes are named by
the SHA-256 of their video, so a row means the same on every machine.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from basalt.io.errors import BasaltError

FORMAT_VERSION = 1

Winner = Literal["left", "right", "draw", "both_bad", "skip"]
Source = Literal["human", "bedd", "telemetry", "model"]


class ComparisonError(BasaltError):
    """A file of comparisons that cannot be read or written."""


@dataclass(frozen=True)
class Comparison:
    """Two episodes of the same task, and which did better.

    Attributes:
        comparison_id: opaque and unique.
        study: name of the study it was made in.
        task: the task's name.
        world, world_version: where both were played.
        seed: the seed both were played on.
        left_agent, right_agent: names of the players.
        left_episode, right_episode: SHA-256 of the videos, hexadecimal.
        left_start, left_stop, right_start, right_stop: first step of a stretch and the step after its
            last; None where whole episodes were compared.
        winner: ``left``, ``right``, ``draw``, ``both_bad`` (neither is acceptable) or ``skip`` (no
            opinion).
        source: who judged: ``human``, ``bedd``, ``telemetry`` (a rule, stand-in for people), ``model``.
        rater: opaque id of the rater, None for rules and models.
        justification: why, in the rater's words.
        seconds: how long the rater took.
        created: when, UTC.
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
    """The comparisons as an Arrow table in :data:`SCHEMA`."""
    rows = [
        {item.name: getattr(comparison, item.name) for item in fields(Comparison)}
        for comparison in comparisons
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_comparisons(path: str | Path, comparisons: Iterable[Comparison]) -> int:
    """Write a Parquet file of comparisons; it stands under its name only when whole.

    Returns:
        How many were written.

    Raises:
        ComparisonError: the file cannot be written.
    """
    path = Path(path)
    table = to_table(comparisons)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, partial)
        partial.replace(path)
    except OSError as err:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ComparisonError(f"{path}: cannot be written ({err})") from err
    return table.num_rows


def read_comparisons(path: str | Path) -> list[Comparison]:
    """The comparisons in a Parquet file.

    Raises:
        ComparisonError: no such file, not Parquet, of another version, or a column or value that is
            not in the format.
    """
    path = Path(path)
    if not path.is_file():
        raise ComparisonError(f"{path}: no such file of comparisons")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as err:
        raise ComparisonError(f"{path}: not a Parquet file that can be read ({err})") from err
    metadata = table.schema.metadata or {}
    version = metadata.get(b"basalt-comparisons", b"").decode()
    if version != str(FORMAT_VERSION):
        found = f"version {version}" if version else "no version"
        raise ComparisonError(
            f"{path}: holds {found} of comparisons; this package reads version {FORMAT_VERSION}"
        )
    for column in SCHEMA:
        if column.name not in table.schema.names:
            raise ComparisonError(f"{path}: has no column {column.name!r}")
        if table.schema.field(column.name).type != column.type:
            raise ComparisonError(
                f"{path}: column {column.name!r} is {table.schema.field(column.name).type}, "
                f"not {column.type}"
            )
    return [
        _checked(path, number, row)
        for number, row in enumerate(table.select(SCHEMA.names).to_pylist(), start=1)
    ]


def _checked(path: Path, number: int, row: dict[str, Any]) -> Comparison:
    for name, value in row.items():
        if value is None and name not in _OPTIONAL:
            raise ComparisonError(f"{path}, row {number}: {name} is empty")
    for name, allowed in (("winner", get_args(Winner)), ("source", get_args(Source))):
        if row[name] not in allowed:
            raise ComparisonError(
                f"{path}, row {number}: {name} is {row[name]!r}, not one of {', '.join(allowed)}"
            )
    row["created"] = row["created"].astimezone(UTC)
    return Comparison(**row)
