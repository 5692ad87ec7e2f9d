"""The Raters section: how each rater judges, and actions on raters."""

from collections.abc import Sequence

import streamlit as st

from eval_ui.elements import attempt, show_table
from leaderboard.judging.participants import allow_browser, browser_requests
from leaderboard.judging.quality import RaterReport, rater_reports
from leaderboard.judging.raters import erase, rater_of_code
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import ban, release, requalify, unban
from leaderboard.studies.rules import StudyInfo

STATES = {
    "invite": "not invited",
    "consent": "consent missing",
    "qualify": "qualifying",
    "failed": "failed qualification",
    "judge": "judging",
    "done": "done",
    "banned": "banned",
    "paused": "study paused",
    "ended": "study ended",
}


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    reports = rater_reports(store, study, admin)
    if not reports:
        st.caption("No raters yet. Create an invite link under Invites.")
        return
    _requests(store, study, admin)
    _table(reports)
    st.caption(
        "Raters with most flags come first: look at their answers before you ban or pay. Agreement: share of other raters' "
        "answers to the same pairs that match. Left: share of left among "
        "left and right. A ban removes a rater's answers from every rating at once; nothing is deleted, and "
        "the ban can be lifted."
    )
    _actions(store, study, admin, reports)
    with st.expander("Whose completion code is this?"):
        if code := st.text_input("Completion code", max_chars=100):
            rater = rater_of_code(store, study, admin, code)
            st.markdown(
                f"Rater `{rater[:8]}`" if rater else "No rater of this study has this code."
            )


def _requests(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Participants who came in another browser while one was active."""
    for one in browser_requests(store, study, admin):
        text, button = st.columns([5, 1], vertical_alignment="center")
        text.warning(
            f"Rater `{one.rater_id[:8]}` came in another browser at {one.asked:%Y-%m-%d %H:%M} UTC, while one was "
            "active. It may be the same person, or somebody who has the link."
        )
        if button.button("Allow", key=f"allow {one.rater_id} {one.browser}", width="stretch"):
            attempt(allow_browser, store, study, admin, one)


def _table(reports: Sequence[RaterReport]) -> None:
    def share(value: float | None) -> float | None:
        return None if value is None else round(100 * value)

    percent = st.column_config.NumberColumn(format="%d%%")
    show_table(
        {
            "Rater": [one.rater_id[:8] for one in reports],
            "Name": [one.name or "" for one in reports],
            "State": [_state(one) for one in reports],
            "Flags": ["; ".join(one.flags) for one in reports],
            "Judged": [one.judged for one in reports],
            "Skipped": [one.skipped for one in reports],
            "Seconds": [one.median_seconds for one in reports],
            "Gold": [_passed(one.gold) for one in reports],
            "Identical": [_passed(one.self_pairs) for one in reports],
            "Repeats": [_passed(one.repeats) for one in reports],
            "Agreement": [share(one.agreement) for one in reports],
            "Left": [share(one.left_share) for one in reports],
            "Invite": [one.invite or "" for one in reports],
            "Participant": [one.participant or "" for one in reports],
            "Session": [one.platform_session or "" for one in reports],
            "Browsers": [one.browsers for one in reports],
        },
        placeholder="",
        column_config={
            "Seconds": st.column_config.NumberColumn(
                format="%.0f", help="median time from serving a pair to its answer"
            ),
            "Gold": st.column_config.TextColumn(help="gold pairs passed / answered"),
            "Identical": st.column_config.TextColumn(
                help="pairs of identical videos passed / answered"
            ),
            "Session": st.column_config.TextColumn(
                help="the platform's id of this participation: SESSION_ID, assignmentId"
            ),
            "Browsers": st.column_config.NumberColumn(
                help="browsers in which the participant took part; see History"
            ),
            "Repeats": st.column_config.TextColumn(
                help="repeated pairs with the same answer / answered"
            ),
            "Agreement": percent,
            "Left": percent,
        },
    )


def _actions(
    store: Store, study: StudyInfo, admin: AdminIdentity, reports: Sequence[RaterReport]
) -> None:
    who, why, *buttons = st.columns([2, 2.4, 1, 1.3, 1], vertical_alignment="bottom")
    # Ids rather than reports: the box keeps its choice across reruns, reports change.
    known = {one.rater_id: one for one in reports}
    one = known[who.selectbox("Rater", list(known), format_func=lambda rater: _label(known[rater]))]
    reason = why.text_input("Reason", max_chars=500, placeholder="stored with the ban")
    if one.state == "banned":
        if buttons[0].button("Lift ban", width="stretch"):
            attempt(unban, store, study, admin, one.rater_id, reason)
    elif buttons[0].button("Ban", type="primary", width="stretch"):
        attempt(ban, store, study, admin, one.rater_id, reason)
    if one.held and buttons[1].button("Release", width="stretch"):
        attempt(release, store, study, admin, one.rater_id)
    elif not one.held and buttons[1].button("Reset qualification", width="stretch"):
        attempt(requalify, store, study, admin, one.rater_id)
    with buttons[2].popover("Forget", width="stretch"):
        st.caption(
            "Deletes the name, the platform ID and all written text; votes are kept. This cannot be undone."
        )
        if st.button("Delete personal data"):
            attempt(erase, store, one.rater_id, admin.name)


def _label(one: RaterReport) -> str:
    name = f" {one.name}" if one.name else ""
    return f"{one.rater_id[:8]}{name} · {one.judged} judged"


def _state(one: RaterReport) -> str:
    # A ban stays after the personal data was deleted, and can still be lifted.
    state = "data deleted" if one.forgotten and one.state != "banned" else STATES[one.state]
    return f"{state}, held for review" if one.held else state


def _passed(counts: tuple[int, int]) -> str:
    return f"{counts[0]} / {counts[1]}" if counts[1] else ""
