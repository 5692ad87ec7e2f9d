"""The tables as one HTML page that needs nothing else: no script, no server, no other file.

Names were written by strangers: the template (``board.html.jinja``) escapes every text, and the page
forbids scripts and anything fetched.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from basalt.io.errors import ConfigError
from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.tables import (
    NONE_REPLAYED,
    Replayed,
    analysis_records,
    replayed_text,
    source_note,
    task_title,
    world_title,
)

_WIDTH, _MARGIN = 200.0, 6.0
"""Of the drawing of an interval, in the template's units."""


def write_page(
    path: Path, study: str, analyses: Sequence[Analysis], replayed: Replayed = NONE_REPLAYED
) -> None:
    """Write the tables of a study as a page; an earlier page stays until the new one is whole.

    Args:
        path: where to.
        study: the study's name.
        analyses: its tables, one a task and source.
        replayed: which rows a replay confirmed; the others are marked *unverified*.

    Raises:
        ConfigError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(html_page(study, analyses, replayed), encoding="utf-8")
        partial.replace(path)
    except OSError as err:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({err.strerror})") from err


def html_page(study: str, analyses: Sequence[Analysis], replayed: Replayed = NONE_REPLAYED) -> str:
    """The page's text; see :func:`write_page`."""
    environment = Environment(
        loader=PackageLoader("leaderboard.ratings", "."), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("board.html.jinja")
    return template.render(study=study, boards=[_board(one, replayed) for one in analyses])


def _board(analysis: Analysis, replayed: Replayed) -> dict[str, Any]:
    table = analysis.table
    rows = analysis_records([analysis], replayed)
    low = min(row["mu_low"] for row in rows)
    high = max(row["mu_high"] for row in rows)
    scale = (_WIDTH - 2 * _MARGIN) / (high - low)
    for row in rows:
        row["weak"] = row["interval"] != "bootstrap"
        row["checked"] = replayed_text(row["replayed"], row["episodes"])
        for x, value in (("x", "mu"), ("x_low", "mu_low"), ("x_high", "mu_high")):
            row[x] = _MARGIN + (row[value] - low) * scale
    return {
        "title": task_title(table.task),
        "task": table.task,
        "source": table.source,
        "world": world_title(table.world, table.world_version),
        "note": source_note(table.source),
        "axis": f"μ from {low:.1f} to {high:.1f}",
        "rows": rows,
    }
