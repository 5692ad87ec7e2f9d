"""Tables as HTML, and the page of a study that needs nothing else: no script, no server, no other file.

Names were written by strangers: every text is escaped, and the page forbids scripts and anything fetched.
"""

from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import TypeVar

from basalt.io.atomic import write_text
from leaderboard.ratings.analysis import INTERVAL, RANGE, Analysis, Bounds
from leaderboard.ratings.columns import (
    NONE_REPLAYED,
    Column,
    Replayed,
    columns,
    group_title,
    notes,
    number,
    order_note,
    overall_columns,
    source_note,
    task_title,
    world_title,
)
from leaderboard.ratings.overall import OverallRow
from leaderboard.ratings.ranking import Row

R = TypeVar("R")

_WIDTH, _MARGIN = 200.0, 6.0
"""Size of the drawing of an interval, in the units of its picture."""


def html_table(
    columns: Sequence[Column[R]],
    groups: Sequence[tuple[str, Sequence[R]]],
    caption: str,
    notes: Sequence[str] = (),
    **data: str,
) -> str:
    """A table as an HTML fragment; every text is escaped.

    Args:
        columns: Columns; those without a title are left out.
        groups: Title and rows of each group, best first; places are counted within it. An empty title is not
            shown.
        caption: Caption.
        notes: Texts between the caption and the table.
        data: Values of `data-` attributes.
    """
    shown = [column for column in columns if column.title]
    head = "".join(
        f'<th scope="col" class="{column.style}" title="{escape(column.help)}">{escape(column.title)}</th>'
        for column in shown
    )
    body = "".join(
        f"<tbody>{_group_head(title, len(shown) + 1)}"
        + "".join(
            f'<tr><td class="text">{place}</td>{"".join(_cell(column, row) for column in shown)}</tr>'
            for place, row in enumerate(rows, start=1)
        )
        + "</tbody>"
        for title, rows in groups
    )
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    remarks = "".join(f'<span class="note">{escape(note)}</span>' for note in notes)
    return (
        f'<div class="wide"><table class="board"{attributes}><caption>{escape(caption)}{remarks}</caption>'
        f'<thead><tr><th scope="col" class="text">#</th>{head}</tr></thead>{body}</table></div>'
    )


def _group_head(title: str, width: int) -> str:
    if not title:
        return ""
    return (
        f'<tr><th scope="rowgroup" colspan="{width}" class="text group">{escape(title)}</th></tr>'
    )


def board_html(
    analysis: Analysis,
    replayed: Replayed,
    more: Sequence[Column[Row]] = (),
    *,
    short: bool = False,
) -> str:
    """The table of one task and source as an HTML fragment.

    Args:
        analysis: Table with its intervals.
        replayed: Episodes that a replay confirmed.
        more: Further columns.
        short: Whether to show six columns only: place, agent, rating with its interval drawn beside it, wins, losses and
            draws, comparisons, and replayed episodes.
    """
    table = analysis.table
    world = world_title(table.world, table.world_version)
    caption = f"{world}, {source_note(table.source)}. {order_note(table)}"
    shown = (*columns(analysis, replayed), *more)
    if short:
        agent, *others = (column for column in shown if not column.detail)
        rating = next(column for column in shown if column.style == "main")
        shown = (agent, _with_interval(rating, analysis), *others)
    several = len(table.groups) > 1
    groups = [
        (group_title(rows, number) if several else "", rows)
        for number, rows in enumerate(table.groups, start=1)
    ]
    return html_table(shown, groups, caption, notes(analysis), source=table.source, task=table.task)


def overall_html(rows: Sequence[OverallRow], caption: str) -> str:
    """The table over all tasks as an HTML fragment."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.group)]
    titled = [
        (
            f"Group {number}: compared with one another in every task" if len(groups) > 1 else "",
            group,
        )
        for number, group in enumerate(groups, start=1)
    ]
    return html_table(overall_columns(list(rows[0].tasks)), titled, caption, task="overall")


def html_page(
    study: str,
    analyses: Sequence[Analysis],
    replayed: Replayed = NONE_REPLAYED,
    waiting: Sequence[str] = (),
) -> str:
    """The page of a study; see `write_page`."""
    sections = "\n".join(
        f"<section>\n<h2>{escape(task_title(one.table.task))}</h2>\n"
        f"{board_html(one, replayed, [_picture(one)])}\n</section>"
        for one in analyses
    )
    explained = {
        column.title: column.help
        for one in analyses
        for column in columns(one)
        if column.title and column.help
    }
    if waiting:
        sections += f"\n<p>0 comparisons: {escape(', '.join(waiting))}.</p>"
    template = Template(files("leaderboard.ratings").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        study=escape(study),
        tables=sections or "<p>No judgments yet.</p>",
        help="\n".join(
            f"<p>{escape(title)}: {escape(text)}.</p>" for title, text in explained.items()
        ),
    )


def write_page(
    path: Path,
    study: str,
    analyses: Sequence[Analysis],
    replayed: Replayed = NONE_REPLAYED,
    waiting: Sequence[str] = (),
) -> None:
    """Write the tables of a study as a page; an earlier page is replaced when the new one is complete.

    Args:
        path: File to write.
        study: Name of the study.
        analyses: Its tables, one per task and source.
        replayed: Episodes that a replay confirmed; rows without one are marked *unverified*.
        waiting: Names of agents without a comparison, which are named below the tables.

    Raises:
        WriteError: the file cannot be written.
    """
    write_text(path, html_page(study, analyses, replayed, waiting))


def _cell(column: Column[R], row: R) -> str:
    text, weak = column.cell(row)
    shown = text if isinstance(text, _Markup) else escape(text)
    if weak:
        shown = f'<span class="weak" title="{escape(weak)}">{shown}</span>'
    return f'<td class="{column.style}">{shown}</td>'


class _Markup(str):
    """Text that is HTML already."""


def _with_interval(rating: Column[Row], analysis: Analysis) -> Column[Row]:
    """The column of the ratings, each with its interval drawn beside it; without SVG, which Streamlit leaves out."""
    shares = _on_its_axis(analysis)

    def draw(row: Row, bounds: Bounds) -> _Markup:
        at, left, right = (f"{100 * one:.1f}%" for one in shares(row, bounds))
        width = f"calc({right} - {left})"
        return _Markup(
            f'{number(row.value)}<span class="interval" role="img" '
            f'aria-label="{bounds.kind}: {bounds.low:.1f} to {bounds.high:.1f}">'
            f'<span class="line" style="left: {left}; width: {width}"></span>'
            f'<span class="dot" style="left: {at}"></span></span>'
        )

    return Column(
        (), rating.title, f"{rating.help}, with its interval",
        lambda row: (row, analysis.bounds(row)), draw, weak=_weak_bounds, style="main",
    )  # fmt: skip


def _picture(analysis: Analysis) -> Column[Row]:
    """A column that draws the intervals of each group on one axis."""
    table = analysis.table
    shares = _on_its_axis(analysis)

    def draw(row: Row, bounds: Bounds) -> _Markup:
        x, left, right = (_MARGIN + one * (_WIDTH - 2 * _MARGIN) for one in shares(row, bounds))
        return _Markup(
            f'<svg viewBox="0 0 200 20" role="img" aria-label="{bounds.low:.1f} to {bounds.high:.1f}">'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="10" y2="10"/>'
            f'<circle cx="{x:.1f}" cy="10" r="4"/></svg>'
        )

    title = "drawn, each group on its own axis"
    if len(table.groups) == 1:
        low, high = _ends(analysis, table.groups[0])
        title = f"{table.model.value_name} from {low:.1f} to {high:.1f}"
    return Column(
        (), title, "", lambda row: (row, analysis.bounds(row)), draw, weak=_weak_bounds, style="text",
    )  # fmt: skip


def _weak_bounds(row: Row, bounds: Bounds) -> str:
    return "" if bounds.kind in (INTERVAL, RANGE) else bounds.kind


def _ends(analysis: Analysis, rows: Sequence[Row]) -> tuple[float, float]:
    """Ends of the axis of a group: its lowest and its highest bound."""
    bounds = [analysis.bounds(row) for row in rows]
    return min(one.low for one in bounds), max(one.high for one in bounds)


def _on_its_axis(analysis: Analysis) -> Callable[[Row, Bounds], tuple[float, ...]]:
    """What gives the places of a rating and of its bounds on the axis of its group, from 0 to 1."""
    axes = [_ends(analysis, rows) for rows in analysis.table.groups]

    def shares(row: Row, bounds: Bounds) -> tuple[float, ...]:
        low, high = axes[row.group - 1]
        # Draws alone leave all ratings equal.
        return tuple(
            (one - low) / ((high - low) or 1.0) for one in (row.value, bounds.low, bounds.high)
        )

    return shares
