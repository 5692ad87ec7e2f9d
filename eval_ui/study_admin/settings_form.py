"""The Settings section: rules of judging in tabs, with a preview of the raters' pages; below, accounts and API tokens."""

from functools import partial

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.study_admin import accounts, settings_preview
from eval_ui.study_admin.settings_draft import Draft
from eval_ui.texts import catalogues
from leaderboard.judging.targets import plan_targets
from leaderboard.ratings.planning import text_plan
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import (
    OUTCOME_NAMES,
    OUTCOMES,
    PROLIFIC_RETURN,
    change_settings,
    changed_settings,
    get_settings,
)

CHECKS = {
    "gold": "gold pairs",
    "repeat": "a repeated pair with sides swapped",
    "self": "two identical videos",
}

SCALES = {"side": "left, draw, right", "strength": "much or slightly better, draw"}

PLATFORM_NAMES = {"": "None", "prolific": "Prolific", "mturk": "Mechanical Turk", "other": "Other"}

QUESTIONS = {
    "direct": "Own questions: who did it?",
    "comparative": "Own questions: who did it better?",
}

_PLAN = "plan"


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    draft = Draft(study, get_settings(store, study))
    access, welcome, answers, checks, targets, platform, preview = st.tabs(
        ["Access", "Welcome page", "Answers", "Checks", "Targets", "Crowd platform", "Preview"]
    )
    with access:
        _access(draft)
    with welcome:
        _welcome(draft)
    with answers:
        _answers(draft)
    with checks:
        _checks(draft)
    with targets:
        _targets(draft, store, study)
    with platform:
        _platform(draft)
    with preview:
        try:
            settings_preview.draw(study, changed_settings(draft.present, draft.changes))
        except BasaltError as err:
            st.warning(str(err))
    _save(draft, store, study, admin)
    accounts.draw(store, admin)


def _save(draft: Draft, store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """The bar that stays at the lower edge of the screen: what is not saved yet, and what can be done about it."""
    # Errors go above the buttons.
    trouble = st.container()
    with st.container(key="save", horizontal=True, vertical_alignment="center"):
        saved = st.button("Save", type="primary")
        if draft.labels and st.button("Discard changes"):
            draft.discard()
            st.rerun()
        if draft.labels:
            count = f"{len(draft.labels)} unsaved change{'s' * (len(draft.labels) > 1)}"
            st.markdown(f":orange-badge[:material/edit: {count}] {', '.join(draft.labels)}")
        else:
            st.caption("No unsaved changes.")
    if saved:
        try:
            change_settings(store, study, admin, **draft.changes)
        except BasaltError as err:
            trouble.error(str(err))
        else:
            draft.discard()
            st.toast("Saved", icon=":material/check:")
            st.rerun()


def _access(draft: Draft) -> None:
    check = partial(st.checkbox, wrap=True)
    draft.ask(
        "open_signup", "Open to anyone who can reach the app (otherwise by invitation)", check
    )
    draft.ask(
        "show_results",
        "Raters see the leaderboard and the episodes during the study (not while there are attention checks)",
        check,
    )
    draft.ask(
        "signed_ids",
        "Accept participants' IDs only from personal links of `basalt leaderboard study links` "
        "(otherwise anyone who knows an ID can pose as that participant)",
        check,
    )
    draft.ask("paused", "Paused: nobody can begin or get another pair", check)
    draft.ask(
        "ended", "Ended: nobody can begin or get another pair, and raters see the results", check
    )


def _welcome(draft: Draft) -> None:
    st.caption(
        "What raters read before the first pair; *Preview* shows it. Facts that are left empty are not shown."
    )
    left, right = st.columns(2, gap="large")
    with left:
        draft.ask("title", "Name of the study, for raters", st.text_input, max_chars=100)
        draft.ask("organiser", "Person or institution that runs it", st.text_input, max_chars=100)
        draft.ask("contact", "Contact", st.text_input, max_chars=200)
    with right:
        draft.ask(
            "minutes", "Expected time in minutes", st.number_input,
            min_value=1, max_value=1000, value=None, placeholder="not shown",
        )  # fmt: skip
        draft.ask("pay", "Pay", st.text_input, max_chars=100)
        known = sorted({*catalogues(), draft.present.language})
        draft.ask(
            "language", "Language of the raters' pages", st.selectbox, known,
            help="The task's own questions, the instructions and the consent form are shown as they were written.",
        )  # fmt: skip
    draft.ask(
        "consent",
        "Consent form (Markdown; leave empty for none). After a change, raters are asked again.",
        st.text_area, max_chars=20_000, height=160,
    )  # fmt: skip
    draft.ask(
        "instructions", "Instructions (Markdown; leave empty for the default)", st.text_area,
        max_chars=20_000, height=160,
    )  # fmt: skip


def _answers(draft: Draft) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        _percentage(draft, "watch_share", "Required share of each video (%)", 100, 5)
        draft.ask(
            "reason_characters", "Minimum length of the reason in characters", st.number_input,
            min_value=0, max_value=1000,
        )  # fmt: skip
        draft.ask(
            "undo_seconds", "Time to withdraw an answer, in seconds", st.number_input,
            min_value=0, max_value=3600,
        )  # fmt: skip
        draft.ask(
            "pairs_per_rater", "Pairs per rater", st.number_input,
            min_value=1, value=None, placeholder="all pairs",
        )  # fmt: skip
        draft.ask(
            "skips_allowed", "Skips per rater", st.number_input,
            min_value=0, value=None, placeholder="no limit",
            help="Skipped pairs do not count as judged. Practice pairs and attention checks are included.",
        )  # fmt: skip
        draft.ask("answers_per_minute", "Maximum answers per minute", st.number_input, min_value=1)
    with right:
        draft.ask(
            "scale", "Answers to who did better", st.selectbox, list(SCALES), format_func=SCALES.__getitem__,
        )  # fmt: skip
        own = draft.present.questions
        before = {kind: list(getattr(own, kind)) if own else [] for kind in QUESTIONS}
        asked = {
            kind: draft.field(
                f"questions {kind}", label, "\n".join(before[kind]), st.text_area, max_chars=6_500, height=120,
                help="One question a line; where any is given, they are asked in place of the tasks' own.",
            )
            for kind, label in QUESTIONS.items()
        }  # fmt: skip
        lines = {
            kind: [*filter(None, map(str.strip, text.splitlines()))] for kind, text in asked.items()
        }
        if lines != before:
            draft.changes["questions"] = lines if any(lines.values()) else None


def _checks(draft: Draft) -> None:
    st.caption(
        "The defaults fit a study among colleagues. For a study that pays, set practice pairs, attention checks and the "
        "number of failed checks before a ban: without them, answers at random are paid like others."
    )
    left, right = st.columns(2, gap="large")
    with left:
        draft.ask(
            "qualification_pairs", "Practice pairs before judging", st.number_input,
            min_value=0, max_value=50,
        )  # fmt: skip
        draft.ask(
            "qualification_right", "Correct answers needed", st.number_input,
            min_value=0, max_value=50,
        )  # fmt: skip
        _percentage(
            draft, "overlap_share", "Share of pairs that a second rater judges, too (%)", 100, 5,
            help="Agreement between raters is measured on these pairs.",
        )  # fmt: skip
    with right:
        _percentage(draft, "check_share", "Share of pairs that are attention checks (%)", 50, 1)
        draft.ask(
            "check_kinds", "Kinds of attention checks", st.multiselect, list(CHECKS),
            show=list, format_func=CHECKS.__getitem__,
        )  # fmt: skip
        draft.ask(
            "ban_after_failed_checks", "Failed checks before a rater is banned", st.number_input,
            min_value=1, value=None, placeholder="never",
        )  # fmt: skip


def _targets(draft: Draft, store: Store, study: StudyInfo) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        draft.ask(
            "target_per_pair", "Comparisons of each pair of agents", st.number_input,
            min_value=1, value=None, placeholder="no target",
        )  # fmt: skip
        draft.ask(
            "target_per_agent", "Comparisons of each agent", st.number_input,
            min_value=1, value=None, placeholder="no target",
        )  # fmt: skip
        draft.ask(
            "stop_width", "Let nobody new begin when every 95% interval is narrower than", st.number_input,
            min_value=0.01, value=None, placeholder="never",
        )  # fmt: skip
    with right:
        if not study.rules.clips:
            _plan(draft, store, study)


def _plan(draft: Draft, store: Store, study: StudyInfo) -> None:
    """Say how many comparisons a width needs, as `basalt leaderboard plan` does, and offer the width as the stop rule."""
    st.markdown("**How many comparisons does a width need?**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        width = st.number_input("Width of the 95% intervals", 0.01, value=2.0, key="plan width")
        if st.button("Simulate"):
            with st.spinner("Simulating studies …"):
                try:
                    st.session_state[_PLAN] = study.id, *plan_targets(store, study, width)
                except BasaltError as err:
                    st.error(str(err))
    planned = st.session_state.get(_PLAN)
    if planned is None or planned[0] != study.id:
        st.caption("Studies of this number of agents are simulated, which takes up to a minute.")
        return
    _, made, model = planned
    st.code(text_plan(made, model), language=None, wrap_lines=True)
    if made.needed is not None and st.button(f"Stop at {made.wanted:g}"):
        draft.propose("stop_width", made.wanted)
        st.rerun()


def _platform(draft: Draft) -> None:
    """The crowd platform, and a code and a return address for each outcome."""
    present = draft.present
    draft.ask(
        "platform", "Platform", st.selectbox, list(PLATFORM_NAMES), format_func=PLATFORM_NAMES.__getitem__,
        help="For Prolific, return addresses may be left empty, and each outcome that can happen needs the code "
        "that Prolific shows for it.",
    )  # fmt: skip
    platform = draft.changes.get("platform", present.platform)
    endings = {}
    for outcome in OUTCOMES:
        ending = present.ending(outcome)
        name = OUTCOME_NAMES[outcome]
        code_box, url_box = st.columns([1, 2])
        code = draft.field(
            f"code {outcome}", f"Code: {name}", ending.code, code_box.text_input, max_chars=100,
            placeholder="one for each rater" if outcome == "completed" else "none",
        )  # fmt: skip
        before = "" if ending.url == PROLIFIC_RETURN else ending.url
        url = draft.field(
            f"url {outcome}", f"Return address: {name}", before, url_box.text_input, max_chars=500,
            placeholder=PROLIFIC_RETURN if platform == "prolific" else "none",
        )  # fmt: skip
        changed = (code, url) != (ending.code, before)
        if outcome == "completed":
            draft.changes |= {"completion_code": code, "completion_url": url} if changed else {}
        elif changed:
            endings[outcome] = {"code": code, "url": url}
    if endings:
        kept = {name: one.model_dump() for name, one in present.endings.items()}
        draft.changes["endings"] = kept | endings
    try:
        missing = changed_settings(present, draft.changes).missing
    except BasaltError:  # the preview says what
        return
    if missing:
        st.warning("Before an invite can be made, give " + "; ".join(missing) + ".")


def _percentage(
    draft: Draft, name: str, label: str, most: int, step: int, **options: object
) -> None:
    """A slider for a share; one that was set between the steps stays until the slider is moved."""
    draft.ask(
        name, label, st.slider, 0, most,
        step=step, show=lambda share: round(share * 100), read=lambda value: value / 100, **options,
    )  # fmt: skip
