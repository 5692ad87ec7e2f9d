"""What stands above and below the pair on both pages for raters: their own data, instructions, undo, other studies."""

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from eval_ui.elements import attempt, show_text
from eval_ui.judging.pair_view import undo_time
from eval_ui.study_picker import pick_study
from leaderboard.judging.raters import erase, rename_rater
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo

_NAME = "own_name"
_SURE = "sure_to_be_forgotten"


def undo_button(
    store: Store,
    study: StudyInfo,
    rater: str,
    until: datetime | None,
    undo: Callable[[Store, StudyInfo, str], object],
) -> None:
    """After the last pair, the button to withdraw the last answer while that is possible."""
    if undo_time(until) is not None and st.button("Undo the last answer"):
        attempt(undo, store, study, rater)


def confirm_forgotten() -> None:
    """Say that personal data was deleted, once after it was."""
    if st.session_state.pop("forgotten", False):
        st.success(
            "Your personal data has been deleted. Your votes are kept anonymously. If you continue, you "
            "start as a new rater.",
            icon=":material/check:",
        )


def footer(store: Store, study: StudyInfo, instructions: str, rater: str) -> None:
    """Below the pair: instructions, the rater's own data, other studies."""
    with st.container(horizontal=True, vertical_alignment="center", key="footer"):
        pick_study(store, study, clips=study.rules.clips)
        with st.popover("Instructions"):
            show_text(instructions)
        with st.popover("About you"):
            name = st.text_input(
                "Your name (optional)",
                key=_NAME,
                max_chars=64,
                help="Only the study's organisers see it, next to your answers.",
            )
            if name:
                rename_rater(store, rater, name)
            st.markdown("**Forget me** deletes your name, your ID on the crowd platform and everything "
                        "you wrote, and this browser no longer shows your completion code. Your votes are kept anonymously. If you may not judge in this study any more, "
                        "a code remains that only recognises you if you come back.")  # fmt: skip
            sure = st.checkbox("Delete my personal data", key=_SURE)
            st.button("Forget me", disabled=not sure, on_click=_forget, args=(store, rater))


def _forget(store: Store, rater: str) -> None:
    """Delete the rater's personal data. Runs before the page is redrawn, so that its fields can be cleared."""
    erase(store, rater)
    # A name left in its field would be given to the new rater.
    st.session_state[_NAME] = ""
    st.session_state[_SURE] = False
    st.session_state["forgotten"] = True
