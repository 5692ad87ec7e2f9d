"""The Leaderboard page: a table per task and world, each source of judgments on its own."""

import hashlib

import streamlit as st

from basalt.errors import BasaltError
from eval_ui.board import board_html, rating_plot
from eval_ui.choice import choose_study
from eval_ui.store_access import the_store
from leaderboard.analysis import Analysis, analyse
from leaderboard.export import load_comparisons
from leaderboard.rating import Table, rate
from leaderboard.report import task_title

BADGES = {
    "human": ("People", "green", ":material/group:"),
    "bedd": ("BEDD study", "blue", ":material/groups:"),
    "telemetry": ("Telemetry stand-in", "orange", ":material/sensors:"),
    "model": ("Learned model", "violet", ":material/smart_toy:"),
}


def page() -> None:
    """Draw the page."""
    store = the_store()
    heading, choice = st.columns([5, 1.5], vertical_alignment="center")
    heading.markdown("### Leaderboard")
    try:
        with choice:
            study = choose_study(store)
        comparisons = load_comparisons(store, study)
    except BasaltError as err:
        st.info(str(err))
        return
    present = [source for source in BADGES if any(one.source == source for one in comparisons)]
    if not present:
        st.info("No judgments yet. The first answers on the Judge page make the first table.")
        return
    chosen = st.segmented_control(
        "Judged by",
        present,
        selection_mode="multi",
        default=present,
        format_func=lambda source: BADGES[source][0],
        help="Judgments of different sources are never mixed in one table.",
    )
    if not {"human", "bedd"} & set(present):
        st.caption("No person has judged in this study yet.")
    shown = rate(one for one in comparisons if one.source in chosen)
    # People before stand-ins.
    for table in sorted(shown, key=lambda table: (table.task, present.index(table.source))):
        _show(table)


def _show(table: Table) -> None:
    with st.container(border=True):
        label, colour, icon = BADGES[table.source]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"#### {task_title(table.task)}", width="content")
            st.badge(label, color=colour, icon=icon)  # type: ignore[arg-type]
        figures, plot = st.columns([2, 1], vertical_alignment="top")
        # The cache's key: about a second's work that changes only when the judgments do.
        judged = hashlib.sha256(" ".join(one.comparison_id for one in table.comparisons).encode())
        analysis = _analysed(judged.hexdigest(), table)
        figures.html(board_html(analysis))
        plot.altair_chart(rating_plot(analysis), width="stretch")


@st.cache_data(max_entries=64, show_spinner="Drawing the judgments anew, for the intervals …")
def _analysed(judged: str, _table: Table) -> Analysis:
    return analyse(_table)


page()
