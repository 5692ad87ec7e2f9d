"""Tables of ratings as text and as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from basalt.core.tasks import TASKS
from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.trueskill import Row, Table

SOURCE_NOTES = {
    "human": "judged by people",
    "bedd": "judged by people, BEDD data set",
    "telemetry": "judged by telemetry: a stand-in where no person has judged",
    "model": "judged by a learned model",
}
"""What stands beside a table, by the source of its judgments."""


Replayed = Mapping[tuple[str, str], tuple[int, int]]
"""By task and agent: how many episodes a replay confirmed, of how many
(:func:`leaderboard.submissions.episodes.replayed`). Who is not in it counts as never replayed."""

NONE_REPLAYED: Replayed = MappingProxyType({})


def replayed_text(confirmed: int, episodes: int) -> str:
    """What stands in a row: a claim about the world that nobody checked is marked."""
    return f"{confirmed} of {episodes}" if confirmed else "unverified"


def source_note(source: str) -> str:
    """Who judged, in words; also for tables of several sources."""
    return " + ".join(SOURCE_NOTES[one] for one in source.split("+"))


def task_title(task: str) -> str:
    """The task's name as people read it."""
    return TASKS[task].title if task in TASKS else task


def world_title(world: str, version: str) -> str:
    """A world and its version as people read them; versions may begin with the world's name."""
    return version if version.startswith(world) else f"{world} {version}"


def text_tables(tables: Sequence[Table], replayed: Replayed = NONE_REPLAYED) -> str:
    """The tables for a terminal, each under a line that says task, world and who judged."""
    return "\n\n".join(_text(table, replayed) for table in tables)


def text_analyses(analyses: Sequence[Analysis], replayed: Replayed = NONE_REPLAYED) -> str:
    """The tables for a terminal with intervals, places and Bradley-Terry strengths."""
    parts = []
    for analysis in analyses:
        bars = [analysis.error_bar(row) for row in analysis.table.rows]
        reversals = analysis.reversals()
        extra = [
            _analysis_cells(analysis, row, reversals.get(row.agent)) for row in analysis.table.rows
        ]
        header = f" {'mu, 95 %':>15} {'places':>7} {'BT +- error':>13} {'next before':>12}"
        parts.append(_text(analysis.table, replayed, header, extra))
        if any(not bar.bootstrapped for bar in bars):
            parts[-1] += (
                "\n* mu +- 2 sigma: too few comparisons for the bootstrap, or --replicates 0"
            )
    return "\n\n".join(parts)


def table_records(
    tables: Iterable[Table], replayed: Replayed = NONE_REPLAYED
) -> list[dict[str, Any]]:
    """One flat record per row, for JSON; ``replayed`` of ``episodes`` were confirmed by a replay."""
    return [_record(table, row, replayed) for table in tables for row in table.rows]


def analysis_records(
    analyses: Iterable[Analysis], replayed: Replayed = NONE_REPLAYED
) -> list[dict[str, Any]]:
    """One flat record per row with intervals and Bradley-Terry strengths, for JSON.

    ``interval`` says what ``mu_low`` and ``mu_high`` are: ``bootstrap`` (95 %) or ``2 sigma``; places
    are null with too few comparisons. ``next_before`` is the share of the bootstrap's replicates in which
    the next row's agent stands before this one (:meth:`leaderboard.ratings.analysis.Analysis.reversals`), or null.
    """
    return [
        _record(analysis.table, row, replayed)
        | _analysis_record(analysis, row)
        | {"next_before": reversals.get(row.agent)}
        for analysis in analyses
        for reversals in (analysis.reversals(),)
        for row in analysis.table.rows
    ]


def _record(table: Table, row: Row, replayed: Replayed) -> dict[str, Any]:
    confirmed, episodes = replayed.get((table.task, row.agent), (0, 0))
    return {
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
        "replayed": confirmed,
        "episodes": episodes,
    }


def _analysis_record(analysis: Analysis, row: Row) -> dict[str, Any]:
    bar, strength = analysis.error_bar(row), analysis.strengths[row.agent]
    best, worst = analysis.places(row) or (None, None)
    return {
        "mu_low": bar.low,
        "mu_high": bar.high,
        "interval": "bootstrap" if bar.bootstrapped else "2 sigma",
        "rank_low": best,
        "rank_high": worst,
        "bt": strength.value,
        "bt_low": strength.low,
        "bt_high": strength.high,
    }


def _analysis_cells(analysis: Analysis, row: Row, reversed_share: float | None) -> str:
    bar, strength = analysis.error_bar(row), analysis.strengths[row.agent]
    places = analysis.places(row)
    bounds = f"{bar.low:.2f}..{bar.high:.2f}{' ' if bar.bootstrapped else '*'}"
    between = f"{places[0]}-{places[1]}" if places else "?"
    order = "" if reversed_share is None else f"{reversed_share:.1%}"
    return (
        f" {bounds:>15} {between:>7} {f'{strength.value:+.2f} +- {strength.error:.2f}':>13}"
        f" {order:>12}".rstrip()
    )


def _text(table: Table, replayed: Replayed, header: str = "", cells: Sequence[str] = ()) -> str:
    """A table, optionally with further columns: their header, and their cells by row."""
    width = max([len("agent"), *(len(row.agent) for row in table.rows)])
    lines = [
        f"{task_title(table.task)}, {world_title(table.world, table.world_version)} "
        f"({source_note(table.source)})",
        f"{'':>3} {'agent':<{width}} {'mu':>6} {'sigma':>6} {'mu-3sigma':>10} "
        f"{'comparisons':>12} {'won-lost-drawn':>15} {'source':>10} {'replayed':>11}{header}",
    ]
    for place, row in enumerate(table.rows, start=1):
        counts = f"{row.wins}-{row.losses}-{row.draws}"
        checked = replayed_text(*replayed.get((table.task, row.agent), (0, 0)))
        lines.append(
            f"{place:>3} {row.agent:<{width}} {row.mu:>6.2f} {row.sigma:>6.2f} "
            f"{row.conservative:>10.2f} {row.comparisons:>12} {counts:>15} {row.source:>10} "
            f"{checked:>11}{cells[place - 1] if cells else ''}"
        )
    return "\n".join(lines)
