"""The Study page, for admins: progress, raters, gold pairs, invites, settings, exports, history."""

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.login.form import sign_out
from eval_ui.session import current_admin
from eval_ui.store_access import the_store
from eval_ui.study_admin.sections import SECTIONS
from eval_ui.study_picker import current_study, pick_study
from eval_ui.style import heading

TITLE = "Study"
ORDER = 50
AUDIENCE = "admins"


def page() -> None:
    """Draw the page."""
    admin = current_admin()
    assert admin is not None  # the page is for admins
    store = the_store()
    try:
        study = current_study(store)
        with heading("Study", study):
            pick_study(store, study)
            sign_out()
        if admin.read_only:
            st.info("This account is read-only: it sees everything and changes nothing.")
        for tab, draw in zip(
            st.tabs(list(SECTIONS), key="section", on_change="rerun"),
            SECTIONS.values(),
            strict=True,
        ):
            if tab.open:
                with tab:
                    draw(store, study, admin)
    except BasaltError as err:
        st.info(str(err))


page()
