"""A table of ratings as HTML and as a plot."""

from html import escape

import altair as alt
import pandas as pd

from leaderboard.rating import Table
from leaderboard.report import source_note, world_title


def board_html(table: Table) -> str:
    """The table as HTML; names were written by strangers and are escaped."""
    head = "".join(
        f'<th scope="col" class="{kind}">{name}</th>'
        for name, kind in (
            ("#", "text"), ("Agent", "text"), ("Rating μ", ""), ("σ", ""), ("μ − 3σ", ""),
            ("Comparisons", ""), ("Won – lost – drawn", ""), ("Both bad", ""), ("Judged by", "text"),
        )
    )  # fmt: skip
    body = "".join(
        f'<tr><td class="text">{place}</td><td class="text agent">{escape(row.agent)}</td>'
        f"<td>{row.mu:.2f}</td><td>{row.sigma:.2f}</td><td>{row.conservative:.2f}</td>"
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


def rating_plot(table: Table) -> alt.LayerChart:
    """Ratings with bars of two standard deviations to each side."""
    frame = pd.DataFrame(
        {
            "agent": [row.agent for row in table.rows],
            "rating": [row.mu for row in table.rows],
            "low": [row.mu - 2 * row.sigma for row in table.rows],
            "high": [row.mu + 2 * row.sigma for row in table.rows],
        }
    )
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "agent:N", sort=None, title=None, axis=alt.Axis(labelLimit=140, labelBaseline="middle")
        )
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.45, color="#2f6f4f").encode(
        x=alt.X("low:Q", title="rating μ ± 2σ", scale=alt.Scale(zero=False)), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=90, opacity=1, color="#2f6f4f").encode(
        x="rating:Q",
        tooltip=["agent", alt.Tooltip("rating:Q", format=".2f")],
    )
    return (bars + points).properties(height=46 * max(len(table.rows), 2) + 40)
