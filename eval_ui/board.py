"""A table of ratings as HTML and as a plot."""

from html import escape

import altair as alt
import pandas as pd

from leaderboard.analysis import Analysis
from leaderboard.rating import Row
from leaderboard.report import source_note, world_title


def board_html(analysis: Analysis) -> str:
    """The table as HTML; names were written by strangers and are escaped."""
    table = analysis.table
    head = "".join(
        f'<th scope="col" class="{kind}">{name}</th>'
        for name, kind in (
            ("#", "text"), ("Agent", "text"), ("Rating μ", ""), ("σ", ""), ("μ − 3σ", ""),
            ("95 % of places", ""), ("Bradley–Terry", ""), ("Comparisons", ""),
            ("Won – lost – drawn", ""), ("Both bad", ""), ("Judged by", "text"),
        )
    )  # fmt: skip
    body = "".join(
        f'<tr><td class="text">{place}</td><td class="text agent">{escape(row.agent)}</td>'
        f"<td>{row.mu:.2f}</td><td>{row.sigma:.2f}</td><td>{row.conservative:.2f}</td>"
        f"<td>{_places(analysis, row)}</td><td>{analysis.strengths[row.agent].value:+.2f}</td>"
        f"<td>{row.comparisons}</td><td>{row.wins} – {row.losses} – {row.draws}</td>"
        f'<td>{row.both_bad}</td><td class="text">{escape(row.source)}</td></tr>'
        for place, row in enumerate(table.rows, start=1)
    )
    caption = escape(
        f"{world_title(table.world, table.world_version)}, {source_note(table.source)}. "
        "TrueSkill; rows in order of μ − 3σ."
    )
    return (
        f'<table class="board" data-source="{escape(table.source)}" '
        f'data-task="{escape(table.task)}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _places(analysis: Analysis, row: Row) -> str:
    places = analysis.places(row)
    if places is None:
        return '<span title="too few comparisons">–</span>'
    return f"{places[0]} – {places[1]}" if places[0] != places[1] else str(places[0])


def rating_plot(analysis: Analysis) -> alt.LayerChart:
    """Ratings with 95 % intervals by bootstrap; μ ± 2σ for agents with too few comparisons for it."""
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
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "agent:N", sort=None, title=None, axis=alt.Axis(labelLimit=140, labelBaseline="middle")
        )
    )
    tooltip = [
        "agent",
        alt.Tooltip("rating:Q", format=".2f"),
        alt.Tooltip("low:Q", format=".2f"),
        alt.Tooltip("high:Q", format=".2f"),
        alt.Tooltip("bar:N", title="interval"),
    ]
    rules = base.mark_rule(strokeWidth=3, opacity=0.45, color="#2f6f4f").encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)),
        x2="high:Q",
        tooltip=tooltip,
    )
    points = base.mark_point(filled=True, size=90, opacity=1, color="#2f6f4f").encode(
        x="rating:Q", tooltip=tooltip
    )
    return (rules + points).properties(height=46 * max(len(table.rows), 2) + 40)
