"""The study that is shown, the same on every page."""

import streamlit as st

from eval_ui.judging.onboarding import arrival
from eval_ui.session import current_admin, rater_secret
from leaderboard.judging.invites import study_of_invite
from leaderboard.judging.rater_view import studies_for_rater
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo, find_study, list_studies

_KEY = "study"


def current_study(store: Store) -> StudyInfo:
    """The study to show: the one picked, else the one in the link, else the newest.

    Raises:
        StudyError: the store has no study.
    """
    invite = arrival().invite
    studies = list_studies(store)
    if len(studies) == 1:
        return studies[0]
    if _KEY not in st.session_state:
        invited = study_of_invite(store, invite) if invite else None
        named = st.query_params.get("study")
        known = {study.name for study in visible_studies(store)}
        if invited is not None:
            st.session_state[_KEY] = invited.name
        elif named in known:
            st.session_state[_KEY] = named
    chosen = st.session_state.get(_KEY)
    for study in studies:
        if study.name == chosen:
            return study
    seen = visible_studies(store)
    return seen[0] if seen else find_study(store)


def visible_studies(store: Store) -> list[StudyInfo]:
    """Studies that this browser may know of, newest first.

    Admins see all; others see those that are open, that show their results, or that they take part in.
    """
    if current_admin() is not None:
        return list_studies(store)
    return studies_for_rater(store, rater_secret())


def pick_study(store: Store, shown: StudyInfo) -> None:
    """A box to pick another study, if there are several."""
    if len(list_studies(store)) < 2:
        return
    names = [study.name for study in visible_studies(store)]
    if shown.name not in names:
        names.insert(0, shown.name)
    # Streamlit drops the widget's own key when another page is shown; this key keeps the choice.
    picked = st.selectbox(
        "Study", names, index=names.index(shown.name), label_visibility="collapsed", width=260
    )
    if picked != shown.name:
        st.session_state[_KEY] = picked
        st.rerun()
