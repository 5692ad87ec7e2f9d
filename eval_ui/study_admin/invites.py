"""The Invites section: links by which raters join the study."""

from datetime import UTC, datetime, time

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.elements import attempt, show_table
from leaderboard.judging.invites import create_invite, list_invites, revoke_invite
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import get_settings

CROWD = {
    "Prolific": "&PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}",
    "Mechanical Turk": "&workerId=${workerId}&assignmentId=${assignmentId}&hitId=${hitId}",
}
"""Parameters to add to an invite link, so that the platform fills in its participant ID."""


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    settings = get_settings(store, study)
    if settings.open_signup:
        st.info("This study is open: anyone who can reach the app may judge without an invite.")
    missing = settings.missing
    if missing:
        st.warning("Before an invite can be made, give " + "; ".join(missing) + " under Settings.")
    if link := st.session_state.get("new-invite"):
        _show_link(link)
    with st.form("invite", clear_on_submit=True, border=True):
        label_box, limit_box, until_box = st.columns([2, 1, 1])
        label = label_box.text_input(
            "New invite for", placeholder="e.g. Prolific, batch 1", max_chars=64
        )
        limit = limit_box.number_input(
            "Maximum raters", min_value=1, value=None, placeholder="no limit"
        )
        until = until_box.date_input("Expires", value=None)
        if st.form_submit_button("Create link", type="primary", disabled=bool(missing)):
            try:
                expires = datetime.combine(until, time.max, UTC) if until else None
                token = create_invite(store, study, admin, label, max_raters=limit, expires=expires)
            except BasaltError as err:
                st.error(str(err))
            else:
                page = "compare" if study.rules.clips else ""
                st.session_state["new-invite"] = f"{_origin()}/{page}?invite={token}"
                st.rerun()
    invites = list_invites(store, study, admin)
    if not invites:
        return
    show_table(
        {
            "For": [one.label for one in invites],
            "Raters": [one.raters for one in invites],
            "Maximum": [str(one.max_raters or "no limit") for one in invites],
            "Expires (UTC)": [_moment(one.expires) for one in invites],
            "Revoked (UTC)": [_moment(one.revoked) for one in invites],
        }
    )
    open_ones = [one for one in invites if one.revoked is None]
    if open_ones:
        with st.popover("Revoke an invite"):
            labels = {one.id: one.label for one in open_ones}
            invite = st.selectbox("Invite", list(labels), format_func=labels.__getitem__)
            st.caption("Nobody can join with it any more; raters who have joined stay.")
            if st.button("Revoke"):
                attempt(revoke_invite, store, study, admin, invite)


def _show_link(link: str) -> None:
    st.success("Copy this link now. It is not stored and cannot be shown again.")
    st.code(link, language=None)
    with st.expander("For a crowd platform"):
        for name, addition in CROWD.items():
            st.caption(name)
            st.code(link + addition, language=None)
        st.caption(
            "On Mechanical Turk, workers open the link in a tab of its own and paste the code into the task: this app "
            "cannot be shown in Mechanical Turk's frame. Both platforms are set up by their documentation; neither was "
            "tried live."
        )


def _moment(when: datetime | None) -> str:
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M")


def _origin() -> str:
    """Scheme, host and port by which the browser reached this page."""
    address = st.context.url or ""
    return address.split("/study")[0].rstrip("/")
