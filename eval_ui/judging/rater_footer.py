"""What stands above and below the pair on both pages for raters: their own data, instructions, undo, other studies."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime

import streamlit as st

from eval_ui.elements import attempt, show_text
from eval_ui.judging.onboarding import instructions, middle
from eval_ui.judging.pair_view import undo_time
from eval_ui.study_picker import pick_study
from eval_ui.texts import Texts
from leaderboard.judging.raters import erase, rename_rater
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings, get_settings

_NAME = "own_name"
_SURE = "sure_to_be_forgotten"


def undo_button(
    store: Store,
    study: StudyInfo,
    settings: JudgingSettings,
    rater: str,
    until: datetime | None,
    undo: Callable[[Store, StudyInfo, str], object],
) -> None:
    """After the last pair, the button to withdraw the last answer while that is possible."""
    say = Texts(settings.language)
    if undo_time(until) is not None and st.button(say("end.undo")):
        attempt(undo, store, study, rater, words=say.refusal)


def confirm_forgotten(store: Store, study: StudyInfo) -> None:
    """Say that personal data was deleted, once after it was."""
    if st.session_state.pop("forgotten", False):
        say = Texts(get_settings(store, study).language)
        st.success(say("about_you.forgotten"), icon=":material/check:")


def footer(
    store: Store, study: StudyInfo, settings: JudgingSettings, rater: str, *, below_pair: bool
) -> None:
    """Instructions, the rater's own data, other studies: below a pair, or below the text of a page without one."""
    say = Texts(settings.language)
    with (
        nullcontext() if below_pair else middle(),
        st.container(horizontal=True, vertical_alignment="center", key="footer"),
    ):
        pick_study(store, study, clips=study.rules.clips)
        with st.popover(say("about_you.instructions")):
            show_text(instructions(study, settings))
        with st.popover(say("about_you.title")):
            name = st.text_input(
                say("about_you.name"), key=_NAME, max_chars=64, help=say("about_you.name_hint")
            )
            if name:
                rename_rater(store, rater, name)
            st.markdown(say("about_you.forget_explained"))
            sure = st.checkbox(say("about_you.forget_sure"), key=_SURE)
            st.button(
                say("about_you.forget"), disabled=not sure, on_click=_forget, args=(store, rater)
            )


def _forget(store: Store, rater: str) -> None:
    """Delete the rater's personal data. Runs before the page is redrawn, so that its fields can be cleared."""
    erase(store, rater)
    # A name left in its field would be given to the new rater.
    st.session_state[_NAME] = ""
    st.session_state[_SURE] = False
    st.session_state["forgotten"] = True
