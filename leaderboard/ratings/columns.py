"""Columns of the tables. Text, JSON records and HTML are loops over them, so a column is added here alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from basalt.core.tasks import TASKS
from leaderboard.ratings.analysis import Analysis, own_bounds
from leaderboard.ratings.models import RatingModel
from leaderboard.ratings.overall import OverallRow
from leaderboard.ratings.ranking import Row, Table

SOURCE_NOTES = {
    "human": "judged by people",
    "bedd": "judged by people, BEDD data set",
    "telemetry": "judged by telemetry: a stand-in where no person has judged",
    "model": "judged by a learned model",
}
"""Description of a table by the source of its judgments."""

Replayed = Mapping[tuple[str, str], tuple[int, int]]
"""Number of episodes that a replay confirmed and number of episodes, by task and agent
(`leaderboard.submissions.episodes.replayed`). Agents that are not in it count as never replayed."""

NONE_REPLAYED: Replayed = MappingProxyType({})

R = TypeVar("R")


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column of a table.

    Attributes:
        keys: Names of its values in a JSON record.
        title: Title in the head; a column without one is in records only.
        help: Explanation for readers.
        value: Values of a row, one per key. A first value of None leaves the cell empty.
        format: Text of the values.
        missing: Reason why a cell is empty.
        weak: Reason why the values are to be read with care, given the values; empty otherwise.
        style: CSS classes of its cells.
    """

    keys: tuple[str, ...]
    title: str
    help: str
    value: Callable[[R], tuple[Any, ...]]
    format: Callable[..., str] = str
    missing: str = ""
    weak: Callable[..., str] = lambda *values: ""
    style: str = ""

    def cell(self, row: R) -> tuple[str, str]:
        """Text of a row's cell, and the reason to read it with care, or an empty string."""
        values = self.value(row)
        if values[0] is None:
            return "–", self.missing
        return self.format(*values), self.weak(*values)


def columns(
    analysed: Table | Analysis, replayed: Replayed = NONE_REPLAYED
) -> tuple[Column[Row], ...]:
    """Columns of a table: with intervals and other models' ratings where it was analysed.

    Args:
        analysed: Table, or table with its intervals.
        replayed: Episodes that a replay confirmed.
    """
    if isinstance(analysed, Table):
        return (*_facts(analysed), *_rating(analysed.model), *_counts(analysed, replayed))
    table = analysed.table
    return (
        *_facts(table),
        *_rating(table.model),
        *_interval(analysed),
        *map(_other, analysed.others),
        *_counts(table, replayed),
    )


def record(columns: Sequence[Column[R]], row: R) -> dict[str, Any]:
    """A row as a flat JSON record."""
    found: dict[str, Any] = {}
    for column in columns:
        found |= zip(column.keys, column.value(row), strict=True)
    return found


def number(value: float) -> str:
    """A number with two decimals and a true minus sign."""
    return f"{value:.2f}".replace("-", "−")


def signed(value: float) -> str:
    """A number about zero, always with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def plain(text: str) -> str:
    """Text in ASCII, for terminals and JSON; agents' names are left as they are."""
    return text.translate(_ASCII)


_ASCII = {
    ord(sign): word
    for sign, word in {"−": "-", "–": "-", "±": "+-", "μ": "mu", "σ": " sigma"}.items()
}


def source_note(source: str) -> str:
    """Who judged, in words; also for tables of several sources."""
    return " + ".join(SOURCE_NOTES[one] for one in source.split("+"))


def task_title(task: str) -> str:
    """Title of a task for readers."""
    return TASKS[task].title if task in TASKS else task


def world_title(world: str, version: str) -> str:
    """A world and its version for readers; versions may begin with the world's name."""
    return version if version.startswith(world) else f"{world} {version}"


def order_note(table: Table) -> str:
    """Model of a table, and what its rows are ordered by."""
    return f"{table.model.title}; rows in order of {table.model.score_name}."


def _facts(table: Table) -> tuple[Column[Row], ...]:
    def fact(key: str) -> Column[Row]:
        return Column((key,), "", "", lambda row: (getattr(table, key),))

    return (
        *map(fact, ("study", "task", "world", "world_version", "source")),
        Column(("agent",), "Agent", "", lambda row: (row.agent,), style="text agent"),
    )


def _rating(model: RatingModel) -> tuple[Column[Row], ...]:
    """Columns of the ratings by a table's model; the score only where it is not the rating."""
    value, error, score = model.keys
    name = model.value_name
    title = f"Rating {name}" if len(name) == 1 else name.capitalize()
    found: tuple[Column[Row], ...] = (
        Column(
            (value,), title, f"rating by {model.title}", lambda row: (row.value,), number, style="main",
        ),
        Column(
            (error,), model.error_name, "standard deviation of the rating",
            lambda row: (row.error,), number,
        ),
    )  # fmt: skip
    if model.score_name == model.value_name:
        return found
    ordered = "lower bound of the rating, by which rows are ordered"
    return (*found, Column((score,), model.score_name, ordered, lambda row: (row.score,), number))


def _interval(analysis: Analysis) -> tuple[Column[Row], ...]:
    """Columns of a table's bootstrap."""
    model = analysis.table.model
    reversals = analysis.reversals()
    own = f"{model.bound_errors:.3g} {plain(model.error_name).strip()}"

    def bounds(row: Row) -> tuple[float, float, str]:
        found = analysis.bounds(row)
        return found.low, found.high, "bootstrap" if found.bootstrapped else own

    def bounds_text(low: float, high: float, kind: str) -> str:
        return f"{number(low)} to {number(high)}{'' if kind == 'bootstrap' else '*'}"

    def ranks(row: Row) -> tuple[int | None, int | None]:
        interval = analysis.interval(row.agent)
        return (interval.rank_low, interval.rank_high) if interval else (None, None)

    key = model.keys[0]
    few = "too few comparisons, or no bootstrap"
    return (
        Column(
            (f"{key}_low", f"{key}_high", "interval"), "95%",
            f"interval of {model.value_name} by bootstrap over raters and comparisons; "
            f"with *, too few comparisons for it: {model.bounds_name}",
            bounds, bounds_text,
            weak=lambda low, high, kind: "" if kind == "bootstrap" else f"{few}: {model.bounds_name}",
        ),
        Column(
            ("rank_low", "rank_high"), "Ranks", "best and worst rank in 95% of the bootstrap's replicates",
            ranks, lambda best, worst: f"{best} – {worst}" if best != worst else str(best), few,
        ),
        Column(
            ("next_before",), "Next before",
            "share of the bootstrap's replicates in which the next row ranks before this one: "
            "near 0% their order is certain, near 50% it is open",
            lambda row: (reversals.get(row.agent),), "{:.1%}".format, f"the last row, or {few}",
        ),
        Column(("model",), "", "", lambda row: (model.name,)),
    )  # fmt: skip


def _other(table: Table) -> Column[Row]:
    """Column of the ratings by another model, with bounds by its own error."""
    model = table.model
    rated = {row.agent: row for row in table.rows}

    def values(row: Row) -> tuple[float, ...]:
        other = rated[row.agent]
        bounds = own_bounds(table, other)
        return other.value, other.error, other.score, bounds.low, bounds.high

    key = model.keys[0]
    return Column(
        (*model.keys, f"{key}_low", f"{key}_high"), model.title,
        f"{model.value_name} by {model.title}, with its {model.error_name}",
        values, lambda value, error, *_: f"{number(value)} ± {number(error)}",
    )  # fmt: skip


def _counts(table: Table, replayed: Replayed) -> tuple[Column[Row], ...]:
    def confirmed(row: Row) -> tuple[int, int]:
        return replayed.get((table.task, row.agent), (0, 0))

    return (
        Column(
            ("comparisons",), "Comparisons", "wins, losses and draws", lambda row: (row.comparisons,)
        ),
        Column(
            ("wins", "losses", "draws"), "Won – lost – drawn", "",
            lambda row: (row.wins, row.losses, row.draws), "{} – {} – {}".format,
        ),
        Column(
            ("both_bad",), "Both bad", "pairs in which neither episode was acceptable",
            lambda row: (row.both_bad,),
        ),
        Column(
            ("replayed", "episodes"), "Replayed",
            "episodes whose actions were replayed in the world with the same outcome; "
            "unverified: none was",
            confirmed, lambda done, of: f"{done} of {of}" if done else "unverified",
            weak=lambda done, of: "" if done else "no replay confirmed an episode",
        ),
    )  # fmt: skip


def overall_columns(tasks: Sequence[str]) -> tuple[Column[OverallRow], ...]:
    """Columns of the table over all tasks."""

    def task(name: str, row: OverallRow) -> tuple[float]:
        return (row.tasks[name],)

    return (
        Column(("agent",), "Agent", "", lambda row: (row.agent,), style="text agent"),
        Column(
            ("score",), "Overall",
            "mean over the tasks of the ratings, each normalised to mean 0, variance 1",
            lambda row: (row.score,), signed, style="main",
        ),
        Column(
            ("low", "high"), "95%", "interval by bootstrap",
            lambda row: (row.low, row.high),
            lambda low, high: f"{signed(low)} to {signed(high)}",
            "too few comparisons in a task, or no bootstrap",
        ),
        *(
            Column(
                (name,), task_title(name), "normalised rating in this task", partial(task, name), signed
            )
            for name in tasks
        ),
        Column(("comparisons",), "Comparisons", "in all tasks", lambda row: (row.comparisons,)),
    )  # fmt: skip
