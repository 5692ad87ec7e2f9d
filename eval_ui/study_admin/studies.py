"""The Studies section: pause, resume, end, duplicate and delete this study, and make another."""

import streamlit as st
from pydantic import ValidationError

from basalt.core.records import first_fault
from basalt.core.tasks import TASKS
from basalt.io.errors import StudyError
from eval_ui.elements import attempt
from eval_ui.study_picker import choose_study
from leaderboard.ratings.columns import task_title
from leaderboard.store.database import Store
from leaderboard.studies import lifecycle
from leaderboard.studies.access import AdminIdentity, changes
from leaderboard.studies.rules import (
    DEMO_STEP_LIMIT,
    RESERVE_MINUTES,
    StudyInfo,
    StudyRules,
    TaskRules,
    create_study,
)
from leaderboard.studies.settings import get_settings


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    settings = get_settings(store, study)
    state = "has ended" if settings.ended else "is paused" if settings.paused else "is running"
    st.markdown(f"### {study.name} {state}")
    with st.container(horizontal=True):
        stopped = settings.paused or settings.ended
        if stopped and st.button("Resume", type="primary"):
            attempt(lifecycle.resume, store, study, admin)
        if not stopped and st.button("Pause"):
            attempt(lifecycle.pause, store, study, admin)
        if not settings.ended and st.button("End"):
            attempt(lifecycle.end, store, study, admin)
        with st.popover("Delete"):
            st.caption(
                "No page, command or link shows the study any more. Its judgments stay in the database."
            )
            if st.checkbox("I want to delete this study") and st.button("Delete study"):
                attempt(lifecycle.delete_study, store, study, admin)
    st.caption(
        "In a paused or ended study nobody can begin or get another pair, and answers to open pairs are still taken. "
        "Raters see the results of an ended study."
    )
    copies, makes = st.columns(2, gap="large")
    with copies:
        st.markdown("### Duplicate this study")
        with st.form("duplicate", clear_on_submit=True):
            name = st.text_input("Name of the copy", max_chars=64)
            st.caption("It has the same rules and settings; agents have to be submitted to it.")
            if st.form_submit_button("Duplicate"):
                attempt(_duplicate, store, study, admin, name)
    with makes:
        st.markdown("### New study")
        _create(store, study, admin)


def _duplicate(store: Store, study: StudyInfo, admin: AdminIdentity, name: str) -> None:
    choose_study(lifecycle.duplicate_study(store, study, admin, name))


def _create(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """The form of a new study; world and version are those of the study that is shown."""
    with st.form("create", clear_on_submit=False):
        name = st.text_input("Name", max_chars=64)
        tasks = st.multiselect("Tasks", list(TASKS), format_func=task_title)
        seeds = st.text_input("Seeds of each task", placeholder="100001 100002 100003")
        world = st.text_input("World", study.rules.world, max_chars=64)
        limit = st.number_input("Step limit of an episode", min_value=1, value=DEMO_STEP_LIMIT)
        minutes = st.number_input(
            "Minutes that a pair stays reserved", min_value=1, value=RESERVE_MINUTES
        )
        questions = st.checkbox("Ask the tasks' questions, too")
        if st.form_submit_button("Make study"):
            attempt(
                _make, store, admin, name, tasks, seeds, world, int(limit), int(minutes), questions
            )


@changes
def _make(
    store: Store,
    admin: AdminIdentity,
    name: str,
    tasks: list[str],
    seeds: str,
    world: str,
    limit: int,
    minutes: int,
    questions: bool,
) -> None:
    """Make a study, and show it.

    Raises:
        StudyError: A field is missing or not valid.
    """
    numbers = seeds.replace(",", " ").split()
    if not tasks or not numbers or not all(one.isdecimal() for one in numbers):
        raise StudyError("choose at least one task, and give seeds as numbers, e.g. 100001 100002")
    try:
        each = TaskRules(seeds=tuple(int(one) for one in numbers), step_limit=limit)
        rules = StudyRules(
            world=world,
            world_version={},
            tasks=dict.fromkeys(tasks, each),
            reserve_minutes=minutes,
            ask_questions=questions,
        )
    except ValidationError as err:
        raise StudyError(first_fault(err, "study")) from err
    choose_study(create_study(store, name, rules))
