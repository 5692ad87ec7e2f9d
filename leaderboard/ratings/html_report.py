"""Tables as HTML, and the page of a study that needs nothing else: no script, no server, no other file.

Names were written by strangers: every text is escaped, and the page forbids scripts and anything fetched.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TypeVar

from basalt.io.atomic import write_text
from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.columns import (
    NONE_REPLAYED,
    Column,
    Replayed,
    columns,
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


def html_table(columns: Sequence[Column[R]], rows: Sequence[R], caption: str, **data: str) -> str:
    """A table as an HTML fragment; every text is escaped.

    Args:
        columns: Columns; those without a title are left out.
        rows: Rows, best first.
        caption: Caption.
        data: Values of `data-` attributes.
    """
    shown = [column for column in columns if column.title]
    head = "".join(
        f'<th scope="col" class="{column.style}" title="{escape(column.help)}">{escape(column.title)}</th>'
        for column in shown
    )
    body = "".join(
        f'<tr><td class="text">{place}</td>{"".join(_cell(column, row) for column in shown)}</tr>'
        for place, row in enumerate(rows, start=1)
    )
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return (
        f'<div class="wide"><table class="board"{attributes}><caption>{escape(caption)}</caption>'
        f'<thead><tr><th scope="col" class="text">#</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def board_html(analysis: Analysis, replayed: Replayed, more: Sequence[Column[Row]] = ()) -> str:
    """The table of one task and source as an HTML fragment.

    Args:
        analysis: Table with its intervals.
        replayed: Episodes that a replay confirmed.
        more: Further columns.
    """
    table = analysis.table
    world = world_title(table.world, table.world_version)
    caption = f"{world}, {source_note(table.source)}. {order_note(table)}"
    shown = (*columns(analysis, replayed), *more)
    return html_table(shown, table.rows, caption, source=table.source, task=table.task)


def overall_html(rows: Sequence[OverallRow], caption: str) -> str:
    """The table over all tasks as an HTML fragment."""
    return html_table(overall_columns(list(rows[0].tasks)), rows, caption, task="overall")


def html_page(study: str, analyses: Sequence[Analysis], replayed: Replayed = NONE_REPLAYED) -> str:
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
    template = Template(files("leaderboard.ratings").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        study=escape(study),
        tables=sections or "<p>No judgments yet.</p>",
        help="\n".join(
            f"<p>{escape(title)}: {escape(text)}.</p>" for title, text in explained.items()
        ),
    )


def write_page(
    path: Path, study: str, analyses: Sequence[Analysis], replayed: Replayed = NONE_REPLAYED
) -> None:
    """Write the tables of a study as a page; an earlier page is replaced when the new one is complete.

    Args:
        path: File to write.
        study: Name of the study.
        analyses: Its tables, one per task and source.
        replayed: Episodes that a replay confirmed; rows without one are marked *unverified*.

    Raises:
        WriteError: the file cannot be written.
    """
    write_text(path, html_page(study, analyses, replayed))


def _cell(column: Column[R], row: R) -> str:
    text, weak = column.cell(row)
    shown = text if isinstance(text, _Markup) else escape(text)
    if weak:
        shown = f'<span class="weak" title="{escape(weak)}">{shown}</span>'
    return f'<td class="{column.style}">{shown}</td>'


class _Markup(str):
    """Text that is HTML already."""


def _picture(analysis: Analysis) -> Column[Row]:
    """A column that draws the intervals of a table on one axis."""
    table = analysis.table
    bounds = [analysis.bounds(row) for row in table.rows]
    low, high = min(one.low for one in bounds), max(one.high for one in bounds)
    # Draws alone leave all ratings equal.
    scale = (_WIDTH - 2 * _MARGIN) / ((high - low) or 1.0)

    def draw(value: float, start: float, stop: float, bootstrapped: bool) -> _Markup:
        x, left, right = (_MARGIN + (one - low) * scale for one in (value, start, stop))
        return _Markup(
            f'<svg viewBox="0 0 200 20" role="img" aria-label="{start:.1f} to {stop:.1f}">'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="10" y2="10"/>'
            f'<circle cx="{x:.1f}" cy="10" r="4"/></svg>'
        )

    def value(row: Row) -> tuple[float, float, float, bool]:
        found = analysis.bounds(row)
        return row.value, found.low, found.high, found.bootstrapped

    return Column(
        (), f"{table.model.value_name} from {low:.1f} to {high:.1f}", "", value, draw,
        weak=lambda *values: "" if values[-1] else table.model.bounds_name, style="text",
    )  # fmt: skip
