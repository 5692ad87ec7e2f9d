"""The Raters section: how each rater judges, and actions on raters."""

from collections.abc import Sequence

import streamlit as st

from eval_ui.elements import attempt, percent, show_table
from eval_ui.watch import watch
from leaderboard.http.video_urls import episode_video
from leaderboard.judging.participants import allow_browser, browser_requests
from leaderboard.judging.quality import RaterReport, rater_reports
from leaderboard.judging.rater_answers import RaterAnswer, rater_answers
from leaderboard.judging.raters import erase, rater_of_code
from leaderboard.ratings.columns import task_title
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity, changes
from leaderboard.studies.events import ban, release, requalify, unban
from leaderboard.studies.rules import StudyInfo

_CHOSEN = "chosen rater"
_SELECTED = "selected rater"
"""Keys of the box to choose a rater, and of the table's selection."""

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
        "A click on a row chooses the rater below. Raters with most flags come first: look at their answers before you ban or pay. Agreement: share of other raters' "
        "answers to the same pairs that match. Chose left: share of left among "
        "left and right. A ban removes a rater's answers from every rating at once; nothing is deleted, and "
        "the ban can be lifted."
    )
    one = _actions(store, study, admin, reports)
    if not study.rules.clips:
        _answers(store, study, admin, one)
    _ban_several(store, study, admin, reports)
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

    share_column = st.column_config.NumberColumn(format="%d%%")
    ids = [one.rater_id for one in reports]
    show_table(
        {
            "Rater": [one.rater_id[:8] for one in reports],
            "Name": [one.name or "" for one in reports],
            "State": [_state(one) for one in reports],
            "Flags": ["; ".join(one.flags) for one in reports],
            "Judged": [one.judged for one in reports],
            "Skipped": [one.skipped for one in reports],
            "Median time (s)": [one.median_seconds for one in reports],
            "Gold pairs": [_passed(one.gold) for one in reports],
            "Identical videos": [_passed(one.self_pairs) for one in reports],
            "Repeats": [_passed(one.repeats) for one in reports],
            "Agreement": [share(one.agreement) for one in reports],
            "Chose left": [share(one.left_share) for one in reports],
            "Invite": [one.invite or "" for one in reports],
            "Participant": [one.participant or "" for one in reports],
            "Session": [one.platform_session or "" for one in reports],
            "Browsers": [one.browsers for one in reports],
        },
        placeholder="",
        key=_SELECTED,
        selection_mode="single-cell",
        on_select=lambda: choose_row(ids),
        column_config={
            "Median time (s)": st.column_config.NumberColumn(
                format="%.0f", help="median time from serving a pair to its answer"
            ),
            "Gold pairs": st.column_config.TextColumn(help="gold pairs passed / answered"),
            "Identical videos": st.column_config.TextColumn(
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
            "Agreement": share_column,
            "Chose left": share_column,
        },
    )


def choose_row(ids: Sequence[str]) -> None:
    """Choose the rater of the row that was clicked.

    Args:
        ids: Ids of the raters, in the table's order.
    """
    for row, _ in st.session_state[_SELECTED]["selection"]["cells"]:
        if row < len(ids):
            st.session_state[_CHOSEN] = ids[row]


def _actions(
    store: Store, study: StudyInfo, admin: AdminIdentity, reports: Sequence[RaterReport]
) -> RaterReport:
    """Draw the box to choose a rater and what can be done; returns the rater."""
    who, why, *buttons = st.columns([2, 2.4, 1, 1.3, 1], vertical_alignment="bottom")
    # Ids rather than reports: the box keeps its choice across reruns, reports change.
    known = {one.rater_id: one for one in reports}
    one = known[
        who.selectbox(
            "Rater", list(known), format_func=lambda rater: _label(known[rater]), key=_CHOSEN
        )
    ]
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
            attempt(_erase, store, admin, one.rater_id)
    return one


@changes
def _erase(store: Store, admin: AdminIdentity, rater_id: str) -> None:
    erase(store, rater_id, admin.name)


def _answers(store: Store, study: StudyInfo, admin: AdminIdentity, rater: RaterReport) -> None:
    """What the chosen rater answered, beside the videos."""
    with st.expander(f"Answers of {_label(rater)}"):
        given = {one.id: one for one in rater_answers(store, study, admin, rater.rater_id)}
        if not given:
            st.caption("None yet.")
            return
        one = given[
            st.selectbox("Answer", list(given), format_func=lambda name: _answer_label(given[name]))
        ]
        watch(
            f"answer {one.id}",
            [side.agent.name for side in (one.left, one.right)],
            [episode_video(store, side.id) for side in (one.left, one.right)],
            [],
        )
        shares = " and ".join(
            "unknown" if share is None else percent(share) for share in one.watched
        )
        seconds = "unknown" if one.seconds is None else f"{one.seconds:.0f} s"
        st.caption(f"Time: {seconds}. Watched: {shares}.{' Withdrawn.' * one.withdrawn}")
        if one.reason:
            st.text(one.reason)


def _answer_label(one: RaterAnswer) -> str:
    names = f"{one.left.agent.name} – {one.right.agent.name}"
    return f"{task_title(one.left.task)}, seed {one.left.seed}: {names}: {one.winner.replace('_', ' ')}"


def _ban_several(
    store: Store, study: StudyInfo, admin: AdminIdentity, reports: Sequence[RaterReport]
) -> None:
    """Draw the form to ban several raters for one reason."""
    known = {one.rater_id: one for one in reports if one.state != "banned"}
    with st.popover("Ban several"), st.form("ban several", border=False):
        chosen = st.multiselect("Raters", list(known), format_func=lambda one: _label(known[one]))
        reason = st.text_input("Reason for all", max_chars=500)
        if st.form_submit_button("Ban them", type="primary"):
            attempt(_ban_all, store, study, admin, chosen, reason)


def _ban_all(
    store: Store, study: StudyInfo, admin: AdminIdentity, raters: Sequence[str], reason: str
) -> None:
    for rater in raters:
        ban(store, study, admin, rater, reason)


def _label(one: RaterReport) -> str:
    name = f" {one.name}" if one.name else ""
    return f"{one.rater_id[:8]}{name} · {one.judged} judged"


def _state(one: RaterReport) -> str:
    # A ban stays after the personal data was deleted, and can still be lifted.
    state = "data deleted" if one.forgotten and one.state != "banned" else STATES[one.state]
    return f"{state}, held for review" if one.held else state


def _passed(counts: tuple[int, int]) -> str:
    return f"{counts[0]} / {counts[1]}" if counts[1] else ""
