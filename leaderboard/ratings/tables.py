"""Tables of ratings as text and as JSON records: loops over `leaderboard.ratings.columns`."""

from collections.abc import Iterable, Sequence
from typing import Any

from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.columns import (
    NONE_REPLAYED,
    Column,
    Replayed,
    columns,
    group_title,
    notes,
    order_note,
    plain,
    record,
    source_note,
    table_of,
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

    `replayed` of `episodes` were confirmed by a replay. `place` is the place within `group`, and
    `never_compared_with` names the agents of other groups, with which no chain of comparisons connects this
    one. Of an analysed table, `interval` says what the bounds of the table's own `model` are: `95%`,
    `resampling range`, or a number of the model's errors. Ranks, the difference to the next row,
    `next_before` and `answers_to_flip` are in records of models that claim an order.

    Args:
        tables: Tables, or tables with their intervals.
        replayed: Episodes that a replay confirmed.
    """
    return [
        record(shown, row)
        for one in tables
        for shown in (columns(one, replayed),)
        for row in table_of(one).rows
    ]


def _text(one: Table | Analysis, replayed: Replayed) -> str:
    table = table_of(one)
    shown = [column for column in columns(one, replayed) if column.title]
    places = [place for rows in table.groups for place, _ in enumerate(rows, start=1)]
    head, *body = zip(
        ("", *map(str, places)),
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
    before, all_notes = notes(table), notes(one, plain)
    text += before
    lines = [
        "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(cells, aligned, widths, strict=True)
        ).rstrip()
        for cells in (head, *body)
    ]
    text.append(lines.pop(0))
    for number, rows in enumerate(table.groups, start=1):
        if len(table.groups) > 1:
            text.append(group_title(rows, number))
        text += [lines.pop(0) for _ in rows]
    text += all_notes[len(before) :]
    return "\n".join(text)


def _cell(column: Column[Row], row: Row) -> str:
    text, _ = column.cell(row)
    # Agents' names stay as they are.
    return text if column.keys == ("agent",) else plain(text)
