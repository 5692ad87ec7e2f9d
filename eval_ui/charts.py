"""Plots of a table: ratings with their intervals, how they developed, who beat whom, and profiles."""

from collections.abc import Sequence
from itertools import pairwise

import altair as alt
import pandas as pd
import trueskill

from eval_ui.tables import percent
from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.trueskill import ENVIRONMENT, Table

GREEN = "#2f6f4f"
ORANGE = "#b4571d"
PALETTE = (
    "#2f6f4f", "#b4571d", "#3b6fb6", "#8a4fa3", "#b08900", "#c0396b", "#3a9a9a", "#7a5c3e",
    "#5b8c2a", "#6b6bd6", "#d08770", "#4c5b66",
)  # fmt: skip
"""Colours of agents; with more agents than colours they come again."""

LABELS = {
    "labelFontSize": 12,
    "labelColor": "#3b4540",
    "titleFontSize": 12,
    "titleColor": "#3b4540",
}
"""Of axes: dark enough to be read in a talk."""

MOST_POINTS = 400
"""Points of a line that are drawn; more cannot be told apart on a screen."""


def rating_plot(analysis: Analysis) -> alt.LayerChart:
    """Ratings with 95 % intervals by bootstrap; mu +- 2 sigma for agents with too few comparisons for it."""
    table = analysis.table
    bars = [analysis.error_bar(row) for row in table.rows]
    frame = pd.DataFrame(
        {
            "agent": [row.agent for row in table.rows],
            "rating": [row.mu for row in table.rows],
            "low": [bar.low for bar in bars],
            "high": [bar.high for bar in bars],
            "bar": ["95 % by bootstrap" if bar.bootstrapped else "μ ± 2σ" for bar in bars],
        }
    )
    title = "rating μ, " + " or ".join(sorted(set(frame["bar"])))
    base = alt.Chart(frame).encode(y=_agents("agent:N"))
    tooltip = [
        "agent",
        alt.Tooltip("rating:Q", format=".2f"),
        alt.Tooltip("low:Q", format=".2f"),
        alt.Tooltip("high:Q", format=".2f"),
        alt.Tooltip("bar:N", title="interval"),
    ]
    rules = base.mark_rule(strokeWidth=3, opacity=0.45, color=GREEN).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)),
        x2="high:Q",
        tooltip=tooltip,
    )
    points = base.mark_point(filled=True, size=90, opacity=1, color=GREEN).encode(
        x="rating:Q", tooltip=tooltip
    )
    return (rules + points).properties(height=alt.Step(36)).configure_axis(**LABELS)


def development_plot(table: Table) -> alt.LayerChart:
    """How the ratings developed, comparison by comparison; at the end of each line the agent's name."""
    frame = development(table)
    order = [row.agent for row in table.rows]
    colour = alt.Color(
        "agent:N", legend=None, sort=order, scale=alt.Scale(domain=order, range=_colours(order))
    )
    base = alt.Chart(frame).encode(
        x=alt.X(
            "comparison:Q", title="comparisons so far", axis=alt.Axis(tickMinStep=1, grid=False)
        ),
        y=alt.Y("rating:Q", title="rating μ", scale=alt.Scale(zero=False)),
        color=colour,
    )
    lines = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
        tooltip=["agent", "comparison", alt.Tooltip("rating:Q", format=".2f")]
    )
    height = max(280, 20 * len(order))
    ends = frame.groupby("agent", as_index=False).last()
    # A line of text is about 15 pixels high.
    span = float(frame["rating"].max() - frame["rating"].min())
    ends["label"] = spread(ends["rating"].to_list(), 16 / height * span)
    names = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, fontSize=12, limit=150)
        .encode(x="comparison:Q", y="label:Q", text="agent:N", color=colour)
    )
    return (
        (lines + names)
        .properties(height=height, padding={"left": 5, "top": 5, "right": 130, "bottom": 5})
        .configure_axis(**LABELS)
    )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Places for labels near their values that do not lie on one another.

    Args:
        values: where they would lie.
        gap: least distance of two.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    places = list(values)
    for before, after in pairwise(order):
        places[after] = max(places[after], places[before] + gap)
    # What was pushed up is shared by all, so that the labels stay about their values.
    shift = sum(places) / len(places) - sum(values) / len(values)
    return [place - shift for place in places]


def development(table: Table) -> pd.DataFrame:
    """Each agent's rating after each comparison: ``agent``, ``comparison`` (0 is the start), ``rating``.

    TrueSkill as in the table; only wins, losses and draws count.
    """
    ratings = {row.agent: ENVIRONMENT.create_rating() for row in table.rows}
    decisive = [one for one in table.comparisons if one.winner in ("left", "right", "draw")]
    every = max(1, -(-len(decisive) // MOST_POINTS))
    points = [(agent, 0, rating.mu) for agent, rating in ratings.items()]
    for number, one in enumerate(decisive, start=1):
        first, second = one.left_agent, one.right_agent
        if one.winner == "right":
            first, second = second, first
        ratings[first], ratings[second] = trueskill.rate_1vs1(
            ratings[first], ratings[second], one.winner == "draw", env=ENVIRONMENT
        )
        if number % every == 0 or number == len(decisive):
            points += [(agent, number, rating.mu) for agent, rating in ratings.items()]
    return pd.DataFrame(points, columns=["agent", "comparison", "rating"])


def win_matrix(table: Table) -> pd.DataFrame:
    """Who beat whom: ``agent``, ``other``, ``share`` (a draw counts half), ``wins``, ``draws``, ``losses``.

    A row for each ordered pair of agents that met.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for one in table.comparisons:
        if one.winner not in ("left", "right", "draw"):
            continue
        for agent, other, won in (
            (one.left_agent, one.right_agent, "left"),
            (one.right_agent, one.left_agent, "right"),
        ):
            tally = counts.setdefault((agent, other), [0, 0, 0])
            tally[1 if one.winner == "draw" else 0 if one.winner == won else 2] += 1
    rows = [
        (agent, other, (wins + draws / 2) / (wins + draws + losses), wins, draws, losses)
        for (agent, other), (wins, draws, losses) in counts.items()
    ]
    return pd.DataFrame(rows, columns=["agent", "other", "share", "wins", "draws", "losses"])


def win_matrix_plot(table: Table) -> alt.LayerChart:
    """The share of comparisons that the agent of a row won against that of a column."""
    frame = win_matrix(table)
    order = [row.agent for row in table.rows]
    frame["text"] = [percent(share) for share in frame["share"]]
    frame["dark"] = (frame["share"] - 0.5).abs() > 0.33
    base = alt.Chart(frame).encode(
        x=alt.X(
            "other:N", sort=order, title="against", scale=alt.Scale(domain=order),
            axis=alt.Axis(orient="top", labelAngle=-35 if len(order) > 4 else 0, labelLimit=140),
        ),
        y=alt.Y("agent:N", sort=order, title=None, scale=alt.Scale(domain=order)),
        tooltip=["agent", "other", "wins", "draws", "losses"],
    )  # fmt: skip
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color(
            "share:Q",
            legend=None,
            scale=alt.Scale(domain=[0, 0.5, 1], range=[ORANGE, "#f3f1ec", GREEN]),
        )
    )
    texts = base.mark_text(fontSize=12).encode(
        text="text:N",
        color=alt.condition("datum.dark", alt.value("white"), alt.value("#222")),
    )
    return (cells + texts).properties(height=alt.Step(40)).configure_axis(**LABELS)


def profile_plot(profile: pd.DataFrame, order: Sequence[str]) -> alt.LayerChart:
    """How agents did on each of a task's own questions.

    Args:
        profile: ``agent``, ``question``, ``share`` (0 to 1), ``answers``.
        order: the agents, best first.
    """
    present = [agent for agent in order if agent in set(profile["agent"])]
    profile = profile.assign(text=[percent(share) for share in profile["share"]])
    base = alt.Chart(profile).encode(
        x=alt.X(
            "agent:N", sort=present, title=None,
            axis=alt.Axis(orient="top", labelAngle=-35 if len(present) > 4 else 0, labelLimit=140),
        ),
        y=alt.Y(
            "question:N", title=None, sort=None,
            axis=alt.Axis(labelLimit=420),
        ),
        tooltip=["agent", "question", alt.Tooltip("share:Q", format=".0%"), "answers"],
    )  # fmt: skip
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color(
            "share:Q",
            legend=None,
            scale=alt.Scale(domain=[0, 0.5, 1], range=[ORANGE, "#f3f1ec", GREEN]),
        )
    )
    texts = base.mark_text(fontSize=12).encode(
        text="text:N",
        color=alt.condition("abs(datum.share - 0.5) > 0.33", alt.value("white"), alt.value("#222")),
    )
    return (cells + texts).properties(height=alt.Step(36)).configure_axis(**LABELS)


def _agents(field: str) -> alt.Y:
    return alt.Y(
        field, sort=None, title=None, axis=alt.Axis(labelLimit=160, labelBaseline="middle")
    )


def _colours(agents: Sequence[str]) -> list[str]:
    return [PALETTE[place % len(PALETTE)] for place in range(len(agents))]
