"""A table of ratings as HTML. Names were written by strangers: every text is escaped."""

from collections.abc import Sequence
from html import escape

from leaderboard.ratings.analysis import Analysis
from leaderboard.ratings.overall import OverallRow
from leaderboard.ratings.tables import Replayed, replayed_text, source_note, task_title, world_title
from leaderboard.ratings.trueskill import Row

_COLUMNS = (
    ("#", "text", "place, by μ − 3σ"),
    ("Agent", "text", ""),
    ("Rating μ", "", "mean of the TrueSkill rating"),
    (
        "95 %",
        "",
        "interval of μ by bootstrap over raters and comparisons; with ± 2σ, too few for it",
    ),
    ("Places", "", "places taken in 95 % of the bootstrap's replicates"),
    ("μ − 3σ", "", "what the agent is at least worth, almost surely"),
    (
        "Next before",
        "",
        "share of the bootstrap's replicates in which the next row stands before this one: "
        "near 0 % their order is sure, near 50 % it is open",
    ),
    ("Bradley–Terry", "", "order-free strength and its standard error; 0 is the average agent"),
    ("Comparisons", "", "wins, losses and draws"),
    ("Won – lost – drawn", "", ""),
    ("Both bad", "", "pairs in which neither episode was acceptable"),
    (
        "Replayed",
        "",
        "episodes whose actions were replayed in the world and led to the same places; "
        "unverified: none was",
    ),
)


def board_html(analysis: Analysis, replayed: Replayed) -> str:
    """The table of one task and source."""
    table = analysis.table
    reversals = analysis.reversals()
    head = "".join(
        f'<th scope="col" class="{kind}" title="{escape(note)}">{escape(name)}</th>'
        for name, kind, note in _COLUMNS
    )
    body = "".join(
        f"<tr>{_cells(analysis, row, place, reversals.get(row.agent))}"
        f"<td>{_replayed(*replayed.get((table.task, row.agent), (0, 0)))}</td></tr>"
        for place, row in enumerate(table.rows, start=1)
    )
    caption = escape(
        f"{world_title(table.world, table.world_version)}, {source_note(table.source)}. "
        "TrueSkill; rows in order of μ − 3σ."
    )
    return (
        f'<div class="wide"><table class="board" data-source="{escape(table.source)}" '
        f'data-task="{escape(table.task)}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def overall_html(rows: Sequence[OverallRow], caption: str) -> str:
    """The table over all tasks."""
    tasks = list(rows[0].tasks)
    head = "".join(
        f'<th scope="col" class="{kind}" title="{escape(note)}">{escape(name)}</th>'
        for name, kind, note in (
            ("#", "text", "place, by the overall score"),
            ("Agent", "text", ""),
            (
                "Overall",
                "",
                "mean over the tasks of the ratings, each normalised to mean 0, variance 1",
            ),
            ("95 %", "", "interval by bootstrap"),
            *((task_title(task), "", "normalised rating in this task") for task in tasks),
            ("Comparisons", "", "of all tasks"),
        )
    )
    body = "".join(
        f'<tr><td class="text">{place}</td><td class="text agent">{escape(row.agent)}</td>'
        f'<td class="main">{_signed(row.score)}</td><td>{_between(row.low, row.high)}</td>'
        + "".join(f"<td>{_signed(row.tasks[task])}</td>" for task in tasks)
        + f"<td>{row.comparisons}</td></tr>"
        for place, row in enumerate(rows, start=1)
    )
    return (
        f'<div class="wide"><table class="board" data-task="overall"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return '<span class="weak" title="too few comparisons in a task">–</span>'
    return f"{_signed(low)} to {_signed(high)}"


def percent(share: float, decimals: int = 0) -> str:
    """A share in per cent, as it is written all over the app."""
    return f"{100 * share:.{decimals}f} %"


def _signed(value: float) -> str:
    """With a minus as long as the plus, so that columns of figures stand straight."""
    return f"{value:+.2f}".replace("-", "−")


def facts_html(facts: dict[str, str], *, small: bool = False) -> str:
    """A few figures in a row, each under its name."""
    items = "".join(
        f'<div><span class="what">{escape(name)}</span><span class="value">{escape(value)}</span></div>'
        for name, value in facts.items()
    )
    return f'<div class="facts{" small" if small else ""}">{items}</div>'


def _cells(analysis: Analysis, row: Row, place: int, next_before: float | None) -> str:
    strength = analysis.strengths[row.agent]
    bar = analysis.error_bar(row)
    interval = f"{bar.low:.1f} – {bar.high:.1f}"
    if not bar.bootstrapped:
        interval = f'<span class="weak" title="too few comparisons: μ ± 2σ">{interval}*</span>'
    cells = (
        ("text", str(place)),
        ("text agent", escape(row.agent)),
        ("main", f"{row.mu:.2f}"),
        ("", interval),
        ("", _places(analysis, row)),
        ("", f"{row.conservative:.2f}"),
        ("", _next_before(next_before)),
        ("", f"{_signed(strength.value)} ± {strength.error:.2f}"),
        ("", str(row.comparisons)),
        ("", f"{row.wins} – {row.losses} – {row.draws}"),
        ("", str(row.both_bad)),
    )
    return "".join(f'<td class="{kind}">{value}</td>' for kind, value in cells)


def _places(analysis: Analysis, row: Row) -> str:
    places = analysis.places(row)
    if places is None:
        return '<span class="weak" title="too few comparisons">–</span>'
    return f"{places[0]} – {places[1]}" if places[0] != places[1] else str(places[0])


def _next_before(share: float | None) -> str:
    if share is None:
        return '<span class="weak" title="the last row, or too few comparisons">–</span>'
    return percent(share, 1)


def _replayed(confirmed: int, episodes: int) -> str:
    text = replayed_text(confirmed, episodes)
    return text if confirmed else f'<span class="weak">{text}</span>'
