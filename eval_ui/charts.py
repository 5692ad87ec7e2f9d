"""Plots of a table: ratings with their intervals, ratings over time, who beat whom, and profiles."""

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from eval_ui.elements import percent
from eval_ui.style import WIDE_SCREEN
from leaderboard.ratings.analysis import INTERVAL, Analysis
from leaderboard.ratings.ranking import Table

GREEN = "#2f6f4f"
ORANGE = "#b4571d"
PALETTE = (
    "#2f6f4f", "#b4571d", "#3b6fb6", "#8a4fa3", "#b08900", "#c0396b", "#3a9a9a", "#7a5c3e",
    "#5b8c2a", "#6b6bd6", "#d08770", "#4c5b66",
)  # fmt: skip
"""Colours of agents; reused where there are more agents than colours."""


def scaled(pixels: float) -> alt.ExprRef:
    """A length that is half as large again on screens on which all of the app's text is (`eval_ui.style`)."""
    return alt.ExprRef(f"windowSize()[0] >= {WIDE_SCREEN} ? {1.5 * pixels} : {pixels}")


LABELS = {
    "labelFontSize": scaled(12),
    "labelColor": "#3b4540",
    "titleFontSize": scaled(12),
    "titleColor": "#3b4540",
}
"""Style of axes, dark enough for a projector."""

FIT_WIDTH = alt.AutoSizeParams(type="fit-x", contains="padding")
"""For charts with a height for each row: Streamlit's default fits the axes into that height, too."""

MAX_POINTS = 400
"""Largest number of points of a line; more cannot be distinguished on a screen."""


def rating_plot(analysis: Analysis, group: int = 1) -> alt.LayerChart:
    """Ratings of a group of agents with their bounds, each bar by its kind."""
    table = analysis.table
    rows = table.groups[group - 1]
    bounds = [analysis.bounds(row) for row in rows]
    frame = pd.DataFrame(
        {
            "agent": [row.agent for row in rows],
            "rating": [row.value for row in rows],
            "low": [one.low for one in bounds],
            "high": [one.high for one in bounds],
            "bar": [f"{one.kind} interval" if one.kind == INTERVAL else one.kind for one in bounds],
        }
    )
    title = f"{_value_title(table)}, " + " or ".join(sorted(set(frame["bar"])))
    order = [row.agent for row in rows]
    base = alt.Chart(frame).encode(y=_rows("agent:N", sort=order))
    tooltip = [
        "agent",
        alt.Tooltip("rating:Q", format=".2f"),
        alt.Tooltip("low:Q", format=".2f"),
        alt.Tooltip("high:Q", format=".2f"),
        alt.Tooltip("bar:N", title="interval"),
    ]
    rules = base.mark_rule(strokeWidth=3, opacity=0.45, color=GREEN).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8)),
        x2="high:Q",
        tooltip=tooltip,
    )
    points = base.mark_point(filled=True, size=90, opacity=1, color=GREEN).encode(
        x="rating:Q", tooltip=tooltip
    )
    return (
        (rules + points)
        .properties(height=36 * len(rows), autosize=FIT_WIDTH)
        .configure_axis(**LABELS)
    )


def development_plot(table: Table, group: int = 1) -> alt.LayerChart:
    """Ratings of a group of agents after each comparison; each line ends in the agent's name."""
    order = [row.agent for row in table.groups[group - 1]]
    frame = development(table)
    frame = frame[frame["agent"].isin(order)]
    colour = alt.Color(
        "agent:N", legend=None, sort=order, scale=alt.Scale(domain=order, range=_colours(order))
    )
    base = alt.Chart(frame).encode(
        x=alt.X(
            "comparison:Q", title="comparisons so far", axis=alt.Axis(tickMinStep=1, grid=False)
        ),
        y=alt.Y("rating:Q", title=_value_title(table), scale=alt.Scale(zero=False)),
        color=colour,
    )
    lines = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
        tooltip=["agent", "comparison", alt.Tooltip("rating:Q", format=".2f")]
    )
    height = max(280, 20 * len(order))
    longest = max(map(len, order))
    ends = frame.groupby("agent", as_index=False).last()
    # A line of text is about 15 pixels high.
    span = float(frame["rating"].max() - frame["rating"].min())
    ends["label"] = spread(ends["rating"].to_list(), 16 / height * span)
    names = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, fontSize=scaled(12), limit=scaled(150))
        .encode(x="comparison:Q", y="label:Q", text="agent:N", color=colour)
    )
    return (
        (lines + names)
        .properties(
            height=height,
            padding={"left": 5, "top": 5, "right": 15 + min(225, 10 * longest), "bottom": 5},
        )
        .configure_axis(**LABELS)
    )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Positions of labels near their values, without overlap.

    Args:
        values: Positions that the labels should have.
        gap: Smallest distance between two labels.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    places = list(values)
    for before, after in pairwise(order):
        places[after] = max(places[after], places[before] + gap)
    # The mean stays where it was, so that the labels stay near their values.
    shift = sum(places) / len(places) - sum(values) / len(values)
    return [place - shift for place in places]


def development(table: Table) -> pd.DataFrame:
    """Ratings after each comparison that the table's model uses.

    Returns:
        A row per agent and point, with columns `agent`, `comparison` (0 is the start) and `rating`.
    """
    used = table.used
    every = max(1, -(-len(used) // MAX_POINTS))
    numbers = np.unique([*range(0, len(used), every), len(used)])
    # Each point is a fit to the comparisons so far.
    counts = (np.arange(len(used)) < numbers[:, None]).astype(np.int64)
    ratings = table.model.resample(used, table.agents, counts)
    frame = pd.DataFrame(ratings.value, columns=table.agents, index=numbers)
    return frame.rename_axis("comparison").melt(
        ignore_index=False, var_name="agent", value_name="rating"
    ).reset_index()[["agent", "comparison", "rating"]]  # fmt: skip


def win_matrix(table: Table) -> pd.DataFrame:
    """Who beat whom.

    Returns:
        A row per ordered pair of agents that met, with columns `agent`, `other`, `share` (a draw counts
        half), `wins`, `draws` and `losses`.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for one in table.comparisons:
        if one.decisive:
            winner, loser = one.winner_loser
            drawn = one.winner == "draw"
            counts.setdefault((winner, loser), [0, 0, 0])[1 if drawn else 0] += 1
            counts.setdefault((loser, winner), [0, 0, 0])[1 if drawn else 2] += 1
    rows = [
        (agent, other, (wins + draws / 2) / (wins + draws + losses), wins, draws, losses)
        for (agent, other), (wins, draws, losses) in counts.items()
    ]
    return pd.DataFrame(rows, columns=["agent", "other", "share", "wins", "draws", "losses"])


def win_matrix_plot(table: Table, group: int = 1) -> alt.LayerChart:
    """Share of comparisons that the agent of a row won against that of a column, in a group of agents."""
    order = [row.agent for row in table.groups[group - 1]]
    frame = win_matrix(table)
    return _heat_map(
        frame[frame["agent"].isin(order)],
        x=alt.X("other:N", sort=order, title="against", scale=alt.Scale(domain=order), axis=_top(order)),
        y=_rows("agent:N", sort=order, scale=alt.Scale(domain=order)),
        tooltip=["agent", "other", "wins", "draws", "losses"],
        rows=len(order),
        step=40,
    )  # fmt: skip


def profile_plot(profile: pd.DataFrame, order: Sequence[str]) -> alt.LayerChart:
    """How agents did on each of a task's own questions.

    Args:
        profile: Table with columns `agent`, `question`, `share` (0 to 1) and `answers`.
        order: Names of the agents, best first.
    """
    present = [agent for agent in order if agent in set(profile["agent"])]
    # A question in one line would leave no space for the cells on a phone.
    lines = ["\n".join(wrap(question, 38)) for question in profile["question"]]
    return _heat_map(
        profile.assign(lines=lines),
        x=alt.X("agent:N", sort=present, title=None, axis=_top(present)),
        y=_rows("lines:N", labelLimit=420, labelExpr="split(datum.label, '\\n')"),
        tooltip=["agent", "question", alt.Tooltip("share:Q", format=".0%"), "answers"],
        rows=len(set(lines)),
        step=36,
    )


def _heat_map(
    frame: pd.DataFrame, x: alt.X, y: alt.Y, tooltip: list[Any], rows: int, step: int
) -> alt.LayerChart:
    """Shares of a table as coloured cells with their percentages.

    Args:
        frame: Table with a column `share`, 0 to 1, and those of the axes.
        x: Horizontal axis.
        y: Vertical axis.
        tooltip: Columns shown for the cell under the pointer.
        rows: Number of rows.
        step: Height of a row in pixels.
    """
    frame = frame.assign(text=[percent(share) for share in frame["share"]])
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=tooltip)
    colours = alt.Scale(domain=[0, 0.5, 1], range=[ORANGE, "#f3f1ec", GREEN])
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("share:Q", legend=None, scale=colours)
    )
    texts = base.mark_text(fontSize=scaled(12)).encode(
        text="text:N",
        color=alt.condition("abs(datum.share - 0.5) > 0.33", alt.value("white"), alt.value("#222")),
    )
    return (
        (cells + texts).properties(height=step * rows, autosize=FIT_WIDTH).configure_axis(**LABELS)
    )


def _top(agents: Sequence[str]) -> alt.Axis:
    """Axis with agents' names above a heat map, slanted where there are many."""
    return alt.Axis(
        orient="top",
        labelAngle=-35 if len(agents) > 4 else 0,
        labelLimit=scaled(140),
        labelFlush=False,
    )


def _value_title(table: Table) -> str:
    return f"{table.model.value_name} by {table.model.title}"


def _rows(
    field: str,
    sort: Sequence[str] | None = None,
    scale: Any = alt.Undefined,
    **axis: Any,
) -> alt.Y:
    """Vertical axis with a row per name, each label beside the middle of its row."""
    limit = axis.pop("labelLimit", 160)
    shape = alt.Axis(labelBaseline="middle", labelLimit=scaled(limit), **axis)
    return alt.Y(field, sort=sort, title=None, scale=scale, axis=shape)


def _colours(agents: Sequence[str]) -> list[str]:
    return [PALETTE[place % len(PALETTE)] for place in range(len(agents))]
