"""The Settings section: rules of judging, and below them accounts and API tokens."""

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.study_admin import accounts
from eval_ui.texts import catalogues
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import (
    OUTCOME_NAMES,
    OUTCOMES,
    PROLIFIC_RETURN,
    JudgingSettings,
    change_settings,
    get_settings,
)

CHECKS = {
    "gold": "gold pairs",
    "repeat": "a repeated pair with sides swapped",
    "self": "two identical videos",
}

SCALES = {"side": "left, draw, right", "strength": "much or slightly better, draw"}

PLATFORM_NAMES = {"": "None", "prolific": "Prolific", "mturk": "Mechanical Turk", "other": "Other"}


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    present = get_settings(store, study)
    with st.form("settings"):
        changes = _fields(present)
        # Errors go above the button, which is often at the lower edge of the screen.
        trouble = st.container()
        with st.container(key="save"):
            saved = st.form_submit_button("Save", type="primary")
        if saved:
            try:
                change_settings(store, study, admin, **changes)
            except BasaltError as err:
                trouble.error(str(err))
            else:
                st.toast("Saved", icon=":material/check:")
    accounts.draw(store, admin)


def _fields(present: JudgingSettings) -> dict[str, object]:
    """Draw the form's fields in four groups; returns their values."""
    out: dict[str, object] = {}
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("### Access")
        out["open_signup"] = st.checkbox(
            "Open to anyone who can reach the app (otherwise by invitation)",
            present.open_signup,
            wrap=True,
        )
        out["show_results"] = st.checkbox(
            "Raters see the leaderboard and the episodes during the study (not while there are attention checks)",
            present.show_results,
            wrap=True,
        )
        out["signed_ids"] = st.checkbox(
            "Accept participants' IDs only from personal links of `basalt leaderboard study links` "
            "(otherwise anyone who knows an ID can pose as that participant)",
            present.signed_ids,
            wrap=True,
        )
        out["paused"] = st.checkbox(
            "Paused: nobody can begin or get another pair", present.paused, wrap=True
        )
        out["ended"] = st.checkbox(
            "Ended: nobody can begin or get another pair, and raters see the results",
            present.ended,
            wrap=True,
        )
        st.markdown("### Answers")
        out["watch_share"] = (
            st.slider(
                "Required share of each video (%)",
                0,
                100,
                round(present.watch_share * 100),
                5,
            )
            / 100
        )
        out["reason_characters"] = st.number_input(
            "Minimum length of the reason in characters", 0, 1000, present.reason_characters
        )
        out["undo_seconds"] = st.number_input(
            "Time to withdraw an answer, in seconds", 0, 3600, present.undo_seconds
        )
        st.markdown("### Raters")
        out["pairs_per_rater"] = st.number_input(
            "Pairs per rater",
            min_value=1,
            value=present.pairs_per_rater,
            placeholder="all pairs",
        )
        out["skips_allowed"] = st.number_input(
            "Skips per rater",
            min_value=0,
            value=present.skips_allowed,
            placeholder="no limit",
            help="Skipped pairs do not count as judged. Practice pairs and attention checks are included.",
        )
        own = present.questions
        lines = {
            kind: st.text_area(
                label, "\n".join(getattr(own, kind)) if own else "", max_chars=6_500, height=80,
                help="One question a line; where any is given, they are asked in place of the tasks' own.",
            )
            for kind, label in (
                ("direct", "Own questions: who did it?"), ("comparative", "Own questions: who did it better?"),
            )
        }  # fmt: skip
        asked = {
            kind: [one.strip() for one in text.splitlines() if one.strip()]
            for kind, text in lines.items()
        }
        out["questions"] = asked if any(asked.values()) else None
        out["scale"] = st.selectbox(
            "Answers to who did better", list(SCALES), list(SCALES).index(present.scale),
            format_func=SCALES.__getitem__,
        )  # fmt: skip
        known = sorted({*catalogues(), present.language})
        out["language"] = st.selectbox(
            "Language of the raters' pages", known, known.index(present.language),
            help="The task's own questions, the instructions and the consent form are shown as they were written.",
        )  # fmt: skip
        out["answers_per_minute"] = st.number_input(
            "Maximum answers per minute", min_value=1, value=present.answers_per_minute
        )
    with right:
        st.markdown("### Qualification and attention checks")
        out["qualification_pairs"] = st.number_input(
            "Practice pairs before judging", 0, 50, present.qualification_pairs
        )
        out["qualification_right"] = st.number_input(
            "Correct answers needed", 0, 50, present.qualification_right
        )
        out["check_share"] = (
            st.slider(
                "Share of pairs that are attention checks (%)",
                0,
                50,
                round(present.check_share * 100),
            )
            / 100
        )
        out["check_kinds"] = st.multiselect(
            "Kinds of attention checks",
            list(CHECKS),
            list(present.check_kinds),
            format_func=CHECKS.__getitem__,
        )
        out["ban_after_failed_checks"] = st.number_input(
            "Failed checks before a rater is banned",
            min_value=1, value=present.ban_after_failed_checks, placeholder="never",
        )  # fmt: skip
        st.markdown("### Targets")
        out["target_per_pair"] = st.number_input(
            "Comparisons of each pair of agents",
            min_value=1,
            value=present.target_per_pair,
            placeholder="no target",
        )
        out["target_per_agent"] = st.number_input(
            "Comparisons of each agent",
            min_value=1,
            value=present.target_per_agent,
            placeholder="no target",
        )
        out["stop_width"] = st.number_input(
            "Let nobody new begin when every 95% interval is narrower than", min_value=0.01, value=present.stop_width,
            placeholder="never", help="`basalt leaderboard plan --model bt` says how many judgments a width needs.",
        )  # fmt: skip
        out |= _endings(present)
    out["consent"] = st.text_area(
        "Consent form (Markdown; leave empty for none). After a change, raters are asked again.",
        present.consent, max_chars=20_000, height=160,
    )  # fmt: skip
    out["instructions"] = st.text_area(
        "Instructions (Markdown; leave empty for the default)", present.instructions,
        max_chars=20_000, height=160,
    )  # fmt: skip
    return out


def _endings(present: JudgingSettings) -> dict[str, object]:
    """Draw the crowd platform's fields, a code and a return address for each outcome; returns their values."""
    st.markdown("### Crowd platform")
    out: dict[str, object] = {
        "platform": st.selectbox(
            "Platform", list(PLATFORM_NAMES), list(PLATFORM_NAMES).index(present.platform),
            format_func=PLATFORM_NAMES.__getitem__,
            help="For Prolific, return addresses may be left empty, and each outcome that can happen needs the code "
            "that Prolific shows for it.",
        )
    }  # fmt: skip
    endings = {}
    for outcome in OUTCOMES:
        ending = present.ending(outcome)
        name = OUTCOME_NAMES[outcome]
        code_box, url_box = st.columns([1, 2])
        code = code_box.text_input(
            f"Code: {name}", ending.code, max_chars=100, key=f"code {outcome}",
            placeholder="one for each rater" if outcome == "completed" else "none",
        )  # fmt: skip
        url = url_box.text_input(
            f"Return address: {name}", "" if ending.url == PROLIFIC_RETURN else ending.url,
            max_chars=500, key=f"url {outcome}",
            placeholder=PROLIFIC_RETURN if present.platform == "prolific" else "none",
        )  # fmt: skip
        if outcome == "completed":
            out |= {"completion_code": code, "completion_url": url}
        else:
            endings[outcome] = {"code": code, "url": url}
    return out | {"endings": endings}
