"""Tables of ratings as text and as plain data."""

from collections.abc import Iterable, Sequence
from typing import Any

from basalt.tasks import TASKS
from leaderboard.rating import Table

SOURCE_NOTES = {
    "human": "judged by people",
    "bedd": "judged by people, BEDD data set",
    "telemetry": "judged by telemetry: a stand-in where no person has judged",
    "model": "judged by a learned model",
}
"""What stands beside a table, by the source of its judgments."""


def source_note(source: str) -> str:
    """Who judged, in words; also for tables of several sources."""
    return " + ".join(SOURCE_NOTES[one] for one in source.split("+"))


def task_title(task: str) -> str:
    """The task's name as people read it."""
    return TASKS[task].title if task in TASKS else task


def world_title(world: str, version: str) -> str:
    """A world and its version as people read them; versions may begin with the world's name."""
    return version if version.startswith(world) else f"{world} {version}"


def text_tables(tables: Sequence[Table]) -> str:
    """The tables for a terminal, each under a line that says task, world and who judged."""
    return "\n\n".join(_text(table) for table in tables)


def table_records(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """One flat record per row, for JSON."""
    return [
        {
            "study": table.study,
            "task": table.task,
            "world": table.world,
            "world_version": table.world_version,
            "agent": row.agent,
            "mu": row.mu,
            "sigma": row.sigma,
            "conservative": row.conservative,
            "comparisons": row.comparisons,
            "wins": row.wins,
            "losses": row.losses,
            "draws": row.draws,
            "both_bad": row.both_bad,
            "source": row.source,
        }
        for table in tables
        for row in table.rows
    ]


def _text(table: Table) -> str:
    width = max([len("agent"), *(len(row.agent) for row in table.rows)])
    header = (
        f"{'':>3} {'agent':<{width}} {'mu':>6} {'sigma':>6} {'mu-3sigma':>10} "
        f"{'comparisons':>12} {'won-lost-drawn':>15} {'source':>10}"
    )
    lines = [
        f"{task_title(table.task)}, {world_title(table.world, table.world_version)} "
        f"({source_note(table.source)})",
        header,
    ]
    for place, row in enumerate(table.rows, start=1):
        counts = f"{row.wins}-{row.losses}-{row.draws}"
        lines.append(
            f"{place:>3} {row.agent:<{width}} {row.mu:>6.2f} {row.sigma:>6.2f} "
            f"{row.conservative:>10.2f} {row.comparisons:>12} {counts:>15} {row.source:>10}"
        )
    return "\n".join(lines)
