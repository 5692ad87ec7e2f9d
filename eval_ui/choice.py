"""Choosing the study, the same on every page."""

import streamlit as st

from leaderboard.store import Store
from leaderboard.study import StudyInfo, find_study, list_studies


def choose_study(store: Store) -> StudyInfo:
    """The study to show: the newest, or the one chosen where there are several.

    Raises:
        StudyError: the store holds none.
    """
    names = [study.name for study in list_studies(store)]
    if len(names) < 2:
        return find_study(store)
    if st.session_state.get("study") not in names:
        st.session_state["study"] = names[0]
    # The widget's own key is lost when another page is shown; the choice is kept beside it.
    chosen = st.selectbox("Study", names, index=names.index(st.session_state["study"]))
    st.session_state["study"] = chosen
    return find_study(store, chosen)
