"""The settings under which the study is judged, and who may change them."""

import streamlit as st

from basalt.io.errors import BasaltError
from leaderboard.store.database import Store
from leaderboard.studies.access import MIN_PASSWORD, AdminIdentity, add_admin, admin_names
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings, change_settings, get_settings

CHECKS = {
    "gold": "gold pairs",
    "repeat": "a pair once more, sides swapped",
    "self": "a video against itself",
}


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    present = get_settings(store, study)
    with st.form("settings"):
        changes = _fields(present)
        # Above the button, which is often at the lower edge of the screen.
        trouble = st.container()
        if st.form_submit_button("Save", type="primary"):
            try:
                change_settings(store, study, admin, **changes)
            except BasaltError as err:
                trouble.error(str(err))
            else:
                st.toast("Saved", icon=":material/check:")
    st.markdown("#### Admins")
    st.markdown(", ".join(f"`{name.replace('`', '')}`" for name in admin_names(store)) or "None.")
    with st.popover("Add an admin, or give one another password"), st.form("admin", border=False):
        name = st.text_input("Name", max_chars=64)
        password = st.text_input(
            f"Password, at least {MIN_PASSWORD} characters", type="password", max_chars=500
        )
        email = st.text_input("E-mail address, for a login by OIDC", max_chars=200)
        if st.form_submit_button("Save"):
            try:
                add_admin(store, name, password=password or None, email=email or None)
            except BasaltError as err:
                st.error(str(err))
            else:
                st.rerun()


def _fields(present: JudgingSettings) -> dict[str, object]:
    """The form's fields in four groups; returns the settings as they stand in it."""
    out: dict[str, object] = {}
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("##### Who may judge, and who sees what")
        out["open_signup"] = st.checkbox(
            "Open to whoever reaches the app; else by invitation", present.open_signup
        )
        out["show_results"] = st.checkbox(
            "Raters see the table and the episodes while the study runs", present.show_results
        )
        st.markdown("##### One answer")
        out["watch_share"] = (
            st.slider(
                "Share of each video that must be seen (%)",
                0,
                100,
                round(present.watch_share * 100),
                5,
            )
            / 100
        )
        out["reason_characters"] = st.number_input(
            "Characters of the reason, at least", 0, 1000, present.reason_characters
        )
        out["undo_seconds"] = st.number_input(
            "Seconds in which an answer can be taken back", 0, 3600, present.undo_seconds
        )
        st.markdown("##### One rater")
        out["pairs_per_rater"] = st.number_input(
            "Pairs a rater is asked for",
            min_value=1,
            value=present.pairs_per_rater,
            placeholder="all there are",
        )
        out["answers_per_minute"] = st.number_input(
            "Answers a minute, at most", min_value=1, value=present.answers_per_minute
        )
    with right:
        st.markdown("##### Qualification and checks")
        out["qualification_pairs"] = st.number_input(
            "Practice pairs before judging", 0, 50, present.qualification_pairs
        )
        out["qualification_right"] = st.number_input(
            "Of these must be right", 0, 50, present.qualification_right
        )
        out["check_share"] = (
            st.slider(
                "Share of pairs that are checks of attention (%)",
                0,
                50,
                round(present.check_share * 100),
            )
            / 100
        )
        out["check_kinds"] = st.multiselect(
            "Kinds of checks",
            list(CHECKS),
            list(present.check_kinds),
            format_func=CHECKS.__getitem__,
        )
        out["ban_after_failed_checks"] = st.number_input(
            "Failed checks after which a rater is banned",
            min_value=1, value=present.ban_after_failed_checks, placeholder="never",
        )  # fmt: skip
        st.markdown("##### Crowd platform")
        out["completion_code"] = st.text_input(
            "Completion code", present.completion_code, max_chars=100,
            help="Empty: each rater gets a code of their own, which the section Raters recognises.",
        )  # fmt: skip
        out["completion_url"] = st.text_input(
            "Address to end at", present.completion_url, max_chars=500,
            placeholder="https://app.prolific.com/submissions/complete?cc={code}",
        )  # fmt: skip
    out["consent"] = st.text_area(
        "Text of consent (Markdown; empty asks for none). Changed, it is asked for again.",
        present.consent, max_chars=20_000, height=160,
    )  # fmt: skip
    out["instructions"] = st.text_area(
        "Instructions (Markdown; empty for the app's own)", present.instructions,
        max_chars=20_000, height=160,
    )  # fmt: skip
    return out
