"""Tables of ratings as text and as JSON records: loops over `leaderboard.ratings.columns`."""

from collections.abc import Iterable, Sequence
from typing import Any

from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.columns import (
    NONE_REPLAYED,
    Column,
    Replayed,
    columns,
    order_note,
    plain,
    record,
    source_note,
    task_title,
    world_title,
)
from leaderboard.ratings.ranking import Row, Table


def text_tables(
    tables: Sequence[Table] | Sequence[Analysis], replayed: Replayed = NONE_REPLAYED
) -> str:
    """Tables for a terminal, each under a caption with task, world, judges and model.

    Args:
        tables: Tables, or tables with their intervals.
        replayed: Episodes that a replay confirmed.
    """
    return "\n\n".join(_text(one, replayed) for one in tables)


def table_records(
    tables: Iterable[Table] | Iterable[Analysis], replayed: Replayed = NONE_REPLAYED
) -> list[dict[str, Any]]:
    """Rows as flat JSON records.

    `replayed` of `episodes` were confirmed by a replay. Of an analysed table, `interval` says what the bounds
    of the table's own `model` are: `bootstrap` (95%), or a number of the model's errors; ranks are null with
    too few comparisons. `next_before` is the share of the bootstrap's replicates in which the next row's
    agent ranks before this one, or null.

    Args:
        tables: Tables, or tables with their intervals.
        replayed: Episodes that a replay confirmed.
    """
    return [
        record(shown, row)
        for one in tables
        for shown in (columns(one, replayed),)
        for row in _table(one).rows
    ]


def _text(one: Table | Analysis, replayed: Replayed) -> str:
    table = _table(one)
    shown = [column for column in columns(one, replayed) if column.title]
    head, *body = zip(
        ("", *map(str, range(1, len(table.rows) + 1))),
        *(
            (plain(column.title).strip(), *(_cell(column, row) for row in table.rows))
            for column in shown
        ),
        strict=True,
    )
    widths = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
    aligned = [">", "<", *">" * (len(widths) - 2)]
    world = world_title(table.world, table.world_version)
    order = plain(order_note(table))
    text = [f"{task_title(table.task)}, {world} ({source_note(table.source)}). {order}"]
    for cells in (head, *body):
        padded = (
            f"{cell:{side}{width}}"
            for cell, side, width in zip(cells, aligned, widths, strict=True)
        )  # fmt: skip
        text.append("  ".join(padded).rstrip())
    if isinstance(one, Analysis) and any(not one.bounds(row).bootstrapped for row in table.rows):
        text.append(
            f"* {plain(table.model.bounds_name)}: too few comparisons for the bootstrap, or --replicates 0"
        )
    return "\n".join(text)


def _table(one: Table | Analysis) -> Table:
    return one.table if isinstance(one, Analysis) else one


def _cell(column: Column[Row], row: Row) -> str:
    text, _ = column.cell(row)
    # Agents' names stay as they are.
    return text if column.keys == ("agent",) else plain(text)
