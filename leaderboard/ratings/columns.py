"""Columns of the tables. Text, JSON records and HTML loop over them, so a new column is added only here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from basalt.core.tasks import TASKS
from leaderboard.ratings.analysis import INTERVAL, RANGE, Analysis, own_bounds
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.control import UNITS, Control
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
        detail: Whether a short table leaves it out.
    """

    keys: tuple[str, ...]
    title: str
    help: str
    value: Callable[[R], tuple[Any, ...]]
    format: Callable[..., str] = str
    missing: str = ""
    weak: Callable[..., str] = lambda *values: ""
    style: str = ""
    detail: bool = True

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
        *(_order(analysed) if table.model.claims_order else _range(analysed)),
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
    within = " within each group" if len(table.groups) > 1 else ""
    return f"{table.model.title}; rows in order of {table.model.score_name}{within}."


def group_title(rows: Sequence[Row], number: int) -> str:
    """Title of one group of a table with several."""
    if len(rows) == 1 and not rows[0].comparisons:
        return f"Group {number}: compared with no other agent"
    return f"Group {number}: compared with one another, with no agent of another group"


def notes(analysed: Table | Analysis, style: Callable[[str], str] = str) -> list[str]:
    """What a reader must know before reading a table; the same in text, on pages and in exports.

    Args:
        analysed: Table, or table with its intervals.
        style: Function for all texts but agents' names, such as `plain`.
    """
    table = table_of(analysed)
    found: list[str] = []
    if len(table.groups) > 1:
        groups = "; ".join(
            f"({number}) {', '.join(row.agent for row in rows)}"
            for number, rows in enumerate(table.groups, start=1)
        )
        found.append(
            f"{len(table.groups)} groups were never compared with each other, and nothing is ranked "
            f"across them: {groups}. Ratings, ranks and differences hold within a group."
        )
    if isinstance(analysed, Table):
        return found
    more = []
    if not table.model.claims_order:
        more.append(
            f"{table.model.title}'s resampling ranges show how far a rating moves when the judgments are drawn "
            f"again; they do not show which order is certain. {BRADLEY_TERRY.title} has intervals of differences."
        )
        if any(analysed.bounds(row).kind != RANGE for row in table.rows):
            more.append(
                f"* {table.model.bounds_name}: too few comparisons for a resampling range, or none was asked for."
            )
    elif analysed.few_raters:
        more.append(
            f"Only {analysed.few_raters} raters: too few to show how raters differ, so intervals are those of "
            f"independent answers and may be too narrow."
        )
    if analysed.control:
        more.append(_control_note(table, analysed.control))
    scaled = sum(one.strength is not None for one in table.comparisons)
    if scaled and not table.model.uses_strength:
        more.append(
            f"{scaled} answers say how much better one is; {table.model.title} uses the side only."
        )
    return [*found, *map(style, more)]


def table_of(analysed: Table | Analysis) -> Table:
    """The table itself, with or without its intervals."""
    return analysed.table if isinstance(analysed, Analysis) else analysed


def _facts(table: Table) -> tuple[Column[Row], ...]:
    places = {row.agent: place for rows in table.groups for place, row in enumerate(rows, start=1)}

    def fact(key: str) -> Column[Row]:
        return Column((key,), "", "", lambda row: (getattr(table, key),))

    def others(row: Row) -> tuple[list[str]]:
        return (sorted(one.agent for one in table.rows if one.group != row.group),)

    return (
        *map(fact, ("study", "task", "world", "world_version", "source")),
        Column(("group", "place"), "", "", lambda row: (row.group, places[row.agent])),
        Column(("never_compared_with",), "", "", others),
        Column(("agent",), "Agent", "", lambda row: (row.agent,), style="text agent", detail=False),
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


def _bounds(analysis: Analysis, title: str, note: str) -> Column[Row]:
    """Column of the bounds of the ratings by the table's model."""

    def bounds(row: Row) -> tuple[float, float, str]:
        found = analysis.bounds(row)
        return found.low, found.high, found.kind if firm(found.kind) else errors

    def firm(kind: str) -> bool:
        return kind in (INTERVAL, RANGE)

    model = analysis.table.model
    key, own = model.keys[0], model.bounds_name
    errors = f"{model.bound_errors:.3g} {plain(model.error_name).strip()}"
    return Column(
        (f"{key}_low", f"{key}_high", "interval"), title, note, bounds,
        lambda low, high, kind: f"{number(low)} to {number(high)}{'' if firm(kind) else '*'}",
        weak=lambda low, high, kind: "" if firm(kind) else f"too few comparisons, or no bootstrap: {own}",
    )  # fmt: skip


def _range(analysis: Analysis) -> tuple[Column[Row], ...]:
    """Columns of a table whose model claims no order."""
    model = analysis.table.model
    return (
        _bounds(
            analysis, "Resampling range",
            f"range of {model.value_name} in 95% of the bootstrap's replicates over raters and comparisons; "
            f"no claim of order rests on it; with *, too few comparisons for it: {model.bounds_name}",
        ),
        Column(("model",), "", "", lambda row: (model.name,)),
    )  # fmt: skip


def _order(analysis: Analysis) -> tuple[Column[Row], ...]:
    """Columns of a table whose model says how certain its order is."""
    model = analysis.table.model
    empty: tuple[None, ...] = (None,) * 5

    def lead(row: Row) -> tuple[float | int | None, ...]:
        found = analysis.leads.get(row.agent)
        return astuple(found) if found else empty

    last = "the last row of its group"
    return (
        _bounds(
            analysis, "95%",
            f"95% interval of {model.value_name} about the mean of the group; overlap says nothing about order",
        ),
        Column(
            ("rank_low", "rank_high"), "Ranks",
            "best and worst rank in the group that the 95% intervals of the differences allow",
            lambda row: analysis.ranks[row.agent],
            lambda best, worst: f"{best} – {worst}" if best != worst else str(best),
        ),
        Column(
            ("next_difference", "next_difference_low", "next_difference_high"), "Ahead of next by",
            "difference to the next row, with its 95% interval; with 0 inside, their order is open",
            lambda row: lead(row)[:3],
            lambda gap, low, high: f"{number(gap)} ({number(low)} to {number(high)})", last,
        ),
        Column(
            ("next_before",), "P(next is better)",
            "probability that the next row's agent is the better one: "
            "near 0% their order is certain, near 50% it is open",
            lambda row: lead(row)[3:4], "{:.1%}".format, last,
        ),
        Column(
            ("answers_to_flip",), "Flipped by",
            "number of further answers, all for the next row's agent against this one, that would put it first",
            lambda row: lead(row)[4:], str, last,
        ),
        *(_controlled(analysis.control) if analysis.control else ()),
        Column(("model",), "", "", lambda row: (model.name,)),
    )  # fmt: skip


def _controlled(control: Control) -> tuple[Column[Row], ...]:
    """Columns of the strengths with looks taken out."""
    names = ", ".join(effect.look for effect in control.effects)
    effects = {effect.look: [effect.value, effect.low, effect.high] for effect in control.effects}
    return (
        Column(
            ("bt_controlled", "bt_controlled_low", "bt_controlled_high"), f"Alike in {names}",
            f"strength between videos alike in {names}, with its 95% interval",
            lambda row: control.strengths[row.agent],
            lambda value, low, high: f"{number(value)} ({number(low)} to {number(high)})",
        ),
        Column(
            ("place_controlled",), "Place then", "place in the group in the order of that strength",
            lambda row: (control.places[row.agent],),
        ),
        Column(("effects",), "", "", lambda row: (effects,)),
    )  # fmt: skip


def _control_note(table: Table, control: Control) -> str:
    effects = "; ".join(
        f"{effect.look} ({UNITS[effect.look]}) {signed(effect.value)} "
        f"({signed(effect.low)} to {signed(effect.high)})"
        for effect in control.effects
    )
    moved = [
        row.agent
        for rows in table.groups
        for place, row in enumerate(rows, start=1)
        if control.places[row.agent] != place
    ]
    order = "Their control does not change the order."
    if moved:
        order = f"Their control changes the places of {len(moved)} agents."
    return (
        f"Effects on the log-odds of winning, with 95% intervals, from {control.comparisons} of "
        f"{sum(one.decisive for one in table.comparisons)} comparisons: {effects}. {order}"
    )


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
            ("comparisons",), "Comparisons", "wins, losses and draws", lambda row: (row.comparisons,),
            detail=False,
        ),
        Column(
            ("wins", "losses", "draws"), "Won – lost – drawn", "",
            lambda row: (row.wins, row.losses, row.draws), "{} – {} – {}".format, detail=False,
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
            weak=lambda done, of: "" if done else "no replay confirmed an episode", detail=False,
        ),
    )  # fmt: skip


def overall_columns(tasks: Sequence[str]) -> tuple[Column[OverallRow], ...]:
    """Columns of the table over all tasks."""

    def task(name: str, row: OverallRow) -> tuple[float]:
        return (row.tasks[name],)

    return (
        Column(("group",), "", "", lambda row: (row.group,)),
        Column(("agent",), "Agent", "", lambda row: (row.agent,), style="text agent"),
        Column(
            ("score",), "Overall",
            "mean over the tasks of the ratings, each normalised to mean 0, variance 1",
            lambda row: (row.score,), signed, style="main",
        ),
        Column(
            ("low", "high"), "Resampling range",
            "range in 95% of the bootstrap's replicates; no claim of order rests on it",
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
