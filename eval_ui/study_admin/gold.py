"""The Gold pairs section: pairs with a known answer, used for qualification and attention checks."""

from itertools import combinations, groupby

import streamlit as st

from eval_ui.elements import attempt, show_table
from eval_ui.watch import watch
from leaderboard.http.video_urls import episode_video
from leaderboard.judging.gold_pairs import (
    GoldInfo,
    add_gold_pair,
    list_gold_pairs,
    retire_gold_pair,
)
from leaderboard.ratings.columns import task_title
from leaderboard.store.database import Store
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import get_settings
from leaderboard.submissions.episodes import list_episodes

ANSWERS = {"left": "Left", "draw": "Equally good", "right": "Right"}
USES = {True: "practice", False: "attention checks", None: "both"}


def draw(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Draw the section."""
    if study.rules.clips:
        st.markdown("Pairs of clips with a known answer come from `basalt feedback ask gold=FILE`.")
        return
    settings = get_settings(store, study)
    pairs = list_gold_pairs(store, study, admin)
    in_use = [pair for pair in pairs if pair.retired is None]
    practice = sum(pair.practice is not False for pair in in_use)
    checks = sum(pair.practice is not True for pair in in_use)
    st.markdown(
        f"**{practice}** for practice, of which the qualification needs **{settings.qualification_pairs}**; "
        f"**{checks}** for attention checks. If many raters fail a gold pair, its reference answer may be wrong."
    )
    if practice < settings.qualification_pairs:
        st.warning(
            "There are fewer practice pairs than the qualification needs, so nobody can pass it."
        )
    # Pairs for both that were shown in practice are not shown as checks.
    both = sum(pair.practice is None for pair in in_use)
    spare = checks - min(both, settings.qualification_pairs)
    if settings.check_share and "gold" in settings.check_kinds and spare <= 0:
        st.warning(
            "The settings ask for gold pairs as attention checks, and there are none left for them: add some, or the "
            "checks are of other kinds only."
        )
    if pairs:
        show_table(
            {
                "Task": [task_title(pair.task) for pair in pairs],
                "Seed": [pair.seed for pair in pairs],
                "Left": [pair.left for pair in pairs],
                "Right": [pair.right for pair in pairs],
                "Better": [pair.better for pair in pairs],
                "For": [USES[pair.practice] for pair in pairs],
                "Answered": [pair.answered for pair in pairs],
                "Correct": [pair.right_answers for pair in pairs],
                "In use": [pair.retired is None for pair in pairs],
                "Explanation": [pair.explanation for pair in pairs],
            }
        )
    if in_use:
        with st.popover("Retire a gold pair"):
            known = {pair.id: pair for pair in in_use}
            gold = st.selectbox(
                "Gold pair", list(known), format_func=lambda one: _label(known[one])
            )
            if st.button("Retire"):
                attempt(retire_gold_pair, store, study, admin, gold)
    st.markdown("### Add a gold pair")
    _add(store, study, admin)


def _add(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    # In order of task and seed.
    groups = groupby(list_episodes(store, study), lambda one: (one.task, one.seed))
    choices = {
        (one.id, other.id): (one, other)
        for _, group in groups
        for one, other in combinations(group, 2)
    }
    if not choices:
        st.caption("This needs episodes of two agents on the same seed.")
        return

    def label(ids: tuple[str, str]) -> str:
        one, other = choices[ids]
        return f"{task_title(one.task)}, seed {one.seed}: {one.agent.name} – {other.agent.name}"

    pair = choices[st.selectbox("Pair", list(choices), format_func=label)]
    watch(
        "gold " + " ".join(one.id for one in pair),
        [one.agent.name for one in pair],
        [episode_video(store, one.id) for one in pair],
        [],
    )
    with st.form("gold", clear_on_submit=True, border=False):
        better = st.radio(
            "Which did better?",
            list(ANSWERS),
            index=None,
            format_func=ANSWERS.__getitem__,
            horizontal=True,
        )
        practice = st.radio(
            "Use it for", [True, False], index=None, format_func=USES.__getitem__, horizontal=True
        )
        explanation = st.text_input(
            "Explanation, shown to raters after they answer in the qualification",
            max_chars=2000,
            placeholder="{better} walked into the cave, {worse} stayed outside",
            help="Sides are drawn each time: write {better} and {worse} for the players.",
        )
        if st.form_submit_button("Add gold pair", type="primary"):
            if better is None or practice is None:
                st.error("Choose which did better, and what the pair is used for.")
            else:
                ids = (one.id for one in pair)
                attempt(
                    add_gold_pair, store, study, admin, *ids, better, explanation,
                    practice=practice,
                )  # fmt: skip


def _label(pair: GoldInfo) -> str:
    return f"{task_title(pair.task)}, seed {pair.seed}: {pair.left} – {pair.right}"
