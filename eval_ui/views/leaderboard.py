"""The Leaderboard page: a table per task and source of judgments, with its plots."""

import hashlib

import pandas as pd
import streamlit as st

from basalt.core.comparisons import Comparison
from basalt.io.errors import BasaltError
from eval_ui.charts import development_plot, profile_plot, rating_plot, win_matrix_plot
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, pick_study
from eval_ui.style import heading
from leaderboard.ratings.analysis import Analysis, analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.columns import Replayed, group_title, source_note, task_title, world_title
from leaderboard.ratings.control import UNITS
from leaderboard.ratings.html_report import board_html, overall_html
from leaderboard.ratings.looks import read_looks
from leaderboard.ratings.models import RATING_MODELS, default_model
from leaderboard.ratings.overall import OverallRow, overall
from leaderboard.ratings.profiles import profiles
from leaderboard.ratings.ranking import Table, rate
from leaderboard.store.database import Store
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo
from leaderboard.submissions.episodes import replayed, uncompared

TITLE = "Leaderboard"
ORDER = 20
AUDIENCE = "results"

# Name, colour and icon of each source of judgments, people first.
BADGES = {
    "human": ("People", "green", ":material/group:"),
    "bedd": ("BEDD study", "blue", ":material/groups:"),
    "telemetry": ("Telemetry stand-in", "orange", ":material/sensors:"),
    "model": ("Learned model", "violet", ":material/smart_toy:"),
}


OVERALL = "overall"
ALL_COLUMNS = "all_columns"
CONTROL = "control"
"""Key of the chosen looks in the session."""


def page() -> None:
    """Draw the page."""
    store = the_store()
    try:
        study = current_study(store, clips=False)
        with heading("Leaderboard", study):
            pick_study(store, study, clips=False)
        _results(store, study)
    except BasaltError as err:
        st.info(str(err))


def _results(store: Store, study: StudyInfo) -> None:
    comparisons = load_comparisons(store, study)
    confirmed = replayed(store, study)
    if waiting := uncompared(confirmed, comparisons):
        st.info(
            f"0 comparisons: {', '.join(waiting)}. Judge them on the Judge page; "
            "`basalt leaderboard judge-by-telemetry` judges them by a rule until people have.",
            icon=":material/hourglass_empty:",
        )
    present = [source for source in BADGES if any(one.source == source for one in comparisons)]
    if not present:
        st.info(
            "No judgments yet. The first table appears with the first answers on the Judge page."
        )
        return
    tables = _tables(comparisons, present)
    # A study has one world, so there is one table per task.
    tasks = [table.task for table in tables]
    chosen: str | None = None
    if len(tasks) > 1:
        chosen = st.segmented_control(
            "Task",
            [OVERALL, *tasks],
            default=OVERALL,
            required=True,
            format_func=lambda task: "All tasks" if task == OVERALL else task_title(task),
        )
    if chosen == OVERALL:
        _show_overall(tables)
    for table in tables:
        if chosen in (None, table.task):
            _show(store, study, table, confirmed)


def _usable_models() -> list[str]:
    """Rating models, without those of other packages that cannot be imported (`basalt doctor` names them)."""
    broken = RATING_MODELS.broken()
    return [name for name in RATING_MODELS if name not in broken]


def _tables(comparisons: list[Comparison], present: list[str]) -> list[Table]:
    """The tables of the chosen source by the chosen model; of several sources in one table only when asked."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mix = len(present) > 1 and st.session_state.get("mix", False)
        chosen = st.segmented_control(
            "Judged by",
            present,
            selection_mode="multi" if mix else "single",
            default=present if mix else present[0],
            format_func=lambda source: BADGES[source][0],
            key=f"sources-{mix}",
            help="Judgments of different sources are mixed in one table only when you ask for it.",
        )
        if len(present) > 1:
            st.toggle("Mix sources in one table", key="mix")
        models = _usable_models()
        model = st.selectbox(
            "Rated by", models, models.index(default_model(comparisons)), format_func=lambda name: RATING_MODELS.get(name).title,
            width=240, help="Model that turns judgments into ratings; intervals and plots follow it.",
        )  # fmt: skip
        if model == BRADLEY_TERRY.name:
            st.multiselect(
                "Control for", list(UNITS), key=CONTROL, width=340,
                help="Strengths between videos that are alike in these looks, beside the strengths without control.",
            )  # fmt: skip
        st.toggle("All columns", key=ALL_COLUMNS, help="Ranks, differences, other models and more.")
    sources = set(chosen if isinstance(chosen, list) else [chosen or present[0]])
    if not {"human", "bedd"} & set(present):
        st.caption("No person has judged in this study yet.")
    if mix and len(sources) > 1:
        st.warning(
            "This table mixes different kinds of judges; its ratings reflect no single group of judges."
        )
    chosen_ones = [one for one in comparisons if one.source in sources]
    return rate(chosen_ones, mix_sources=mix, model=RATING_MODELS.get(model))


def _show_overall(tables: list[Table]) -> None:
    rows = _overall(_judged(*tables), tables)
    with st.container(border=True):
        st.markdown(f"### All tasks {_badges(tables[0].source)}")
        if rows:
            one = tables[0]
            note = f"{world_title(one.world, one.world_version)}, {source_note(one.source)}"
            scores = f"{one.model.title}; ratings normalised per task, and their mean."
            st.html(overall_html(rows, f"{note}. {scores}"))
        else:
            st.caption("No agent is in the tables of all tasks.")


def _show(store: Store, study: StudyInfo, table: Table, confirmed: Replayed) -> None:
    control = (
        tuple(st.session_state.get(CONTROL, ())) if table.model.name == BRADLEY_TERRY.name else ()
    )
    try:
        analysis = _analysed(_judged(table), control, table, store, study)
    except BasaltError as err:
        st.warning(str(err))
        analysis = _analysed(_judged(table), (), table, store, study)
    with st.container(border=True):
        st.markdown(f"### {task_title(table.task)} {_badges(table.source)}")
        st.html(board_html(analysis, confirmed, short=not st.session_state.get(ALL_COLUMNS, False)))
    ratings, course, matrix, questions = st.tabs(
        ["Ratings", "Ratings over time", "Who beat whom", "Questions"]
    )
    matrix.caption(
        "Share of comparisons that the row's agent won against the column's; a draw counts half."
    )
    # Agents that were never compared share no axis.
    for number, rows in enumerate(table.groups, start=1):
        if len(table.groups) > 1:
            if not rows[0].comparisons:
                continue
            for tab in (ratings, course, matrix):
                tab.caption(group_title(rows, number))
        ratings.altair_chart(rating_plot(analysis, number), width="stretch")
        course.altair_chart(development_plot(table, number), width="stretch")
        matrix.altair_chart(win_matrix_plot(table, number), width="stretch")
    with questions:
        _questions(store, study, table)


def _questions(store: Store, study: StudyInfo, table: Table) -> None:
    found = profiles(store, study, table)
    if not found:
        st.caption("No answers to the task's own questions.")
        return
    order = [row.agent for row in table.rows]
    for kind, note in (
        ("direct", "How often raters said yes."),
        (
            "comparative",
            "How often raters named this agent rather than the other; a draw counts half.",
        ),
    ):
        frame = pd.DataFrame([vars(one) for one in found if one.kind == kind])
        if not frame.empty:
            st.caption(note)
            st.altair_chart(profile_plot(frame, order), width="stretch")


def _badges(source: str) -> str:
    return " ".join(
        f":{colour}-badge[{icon} {label}]"
        for label, colour, icon in (BADGES[one] for one in source.split("+"))
    )


def _judged(*tables: Table) -> str:
    """Cache key of tables: it changes only when their judgments or their model do."""
    ids = (one.comparison_id for table in tables for one in table.comparisons)
    return hashlib.sha256(" ".join([tables[0].model.name, *ids]).encode()).hexdigest()


@st.cache_data(max_entries=64, show_spinner="Computing intervals …")
def _analysed(
    judged: str, control: tuple[str, ...], _table: Table, _store: Store, _study: StudyInfo
) -> Analysis:
    looks = read_looks(_store, _study, _table.comparisons, control)
    return analyse(_table, control=control, looks=looks)


@st.cache_data(max_entries=64, show_spinner="Computing intervals …")
def _overall(judged: str, _tables: list[Table]) -> list[OverallRow]:
    return overall(_tables)


page()
