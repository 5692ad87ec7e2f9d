"""The study that is shown, the same on every page."""

import streamlit as st

from basalt.io.errors import StudyError
from eval_ui.judging.onboarding import arrival
from eval_ui.session import current_admin, rater_secret
from leaderboard.judging.invites import study_of_invite
from leaderboard.judging.rater_view import invited_studies, studies_for_rater
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo, find_study, list_studies

_KEY = "study"


def current_study(store: Store, *, clips: bool | None = None) -> StudyInfo:
    """The study to show: the one picked, else the one in the address, else the newest.

    Where there are several, its name is put into the address: after a reload, or with a server that was started again,
    a rater is in the same study.

    Args:
        store: Leaderboard.
        clips: True for studies of clips only, False for studies of episodes only, None for all.

    Raises:
        StudyError: The store has no such study, or the link has an invite that no study has.
    """
    invite = arrival().invite
    if invite is not None and study_of_invite(store, invite) is None:
        raise StudyError(
            "unknown invitation; open the link you were sent, as it is", "unknown_invite"
        )
    studies = _of_kind(list_studies(store), clips)
    if not studies:
        find_study(store)  # without any study, its message says how to make one
        raise StudyError(
            "there are no clips to compare; `basalt feedback ask` takes some from recordings"
            if clips
            else "there is no study of episodes; `basalt submit` enters some"
        )
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
    shown = next((study for study in studies if study.name == chosen), None)
    if shown is None:
        shown = next(iter(_of_kind(visible_studies(store), clips)), None)
    if shown is None:
        return studies[0]  # whose name this browser may not know
    if st.query_params.get("study") != shown.name:
        st.query_params["study"] = shown.name
    return shown


def choose_study(study: StudyInfo) -> None:
    """Show this study from now on, on every page."""
    st.session_state[_KEY] = study.name


def _of_kind(studies: list[StudyInfo], clips: bool | None) -> list[StudyInfo]:
    return [one for one in studies if clips is None or one.rules.clips == clips]


def visible_studies(store: Store) -> list[StudyInfo]:
    """Studies that this browser may know of, newest first: all for admins, else as `studies_for_rater` says."""
    if current_admin() is not None:
        return list_studies(store)
    return studies_for_rater(store, rater_secret(), arrival().invite)


def is_guest(store: Store) -> bool:
    """Whether this browser came by an invite, or takes part in a study by invitation, and no admin is logged in there.

    A guest sees what is the guest's own: neither other studies nor the pages about agents.
    """
    if current_admin() is not None:
        return False
    return bool(invited_studies(store, rater_secret(), arrival().invite))


def pick_study(store: Store, shown: StudyInfo, *, clips: bool | None = None) -> None:
    """A box to pick another study, if there are several.

    Args:
        store: Leaderboard.
        shown: The study that is shown.
        clips: The kind of studies, as in `current_study`.
    """
    names = [study.name for study in _of_kind(visible_studies(store), clips)]
    if shown.name not in names:
        names.insert(0, shown.name)
    if len(names) < 2:
        return
    # Streamlit drops the widget's own key when another page is shown; this key keeps the choice.
    picked = st.selectbox(
        "Study", names, index=names.index(shown.name), label_visibility="collapsed", width=260
    )
    if picked != shown.name:
        st.session_state[_KEY] = picked
        st.rerun()


def only_clips(store: Store) -> bool:
    """Whether this browser may know of studies, all of them of clips."""
    return {study.rules.clips for study in visible_studies(store)} == {True}
