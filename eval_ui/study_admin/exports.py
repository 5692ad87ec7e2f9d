"""The Export section: files of the study's judgments."""

import streamlit as st

from eval_ui.downloads import FILES, download_address
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    st.markdown(
        "These files hold the judgments that count, without withdrawn ones and those of banned raters; `study.zip` has all. "
        "Raters appear under pseudonyms only, except in the list of payments."
    )
    for file, what in FILES.items():
        # Clips rank nobody.
        if study.rules.clips and not file.startswith(("judgments", "payments", "study")):
            continue
        name, about = st.columns([1, 3], vertical_alignment="center")
        name.link_button(file, download_address(store, study, admin, file), width="stretch")
        about.markdown(what)
    st.caption("Links expire after 15 minutes. `basalt leaderboard export` writes the same files.")
