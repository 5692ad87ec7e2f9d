"""The Judge page: one pair after another, blind."""

import streamlit as st

from basalt.errors import BasaltError
from basalt.tasks import get_task
from eval_ui.choice import choose_study
from eval_ui.player import pair_player, player_events
from eval_ui.questions import ask_questions, responses
from eval_ui.rater import rater_secret
from eval_ui.store_access import the_store
from leaderboard.judgments import answer_pair
from leaderboard.raters import register_rater
from leaderboard.serving import ServedPair, next_pair, progress
from leaderboard.study import StudyInfo

MAIN_ANSWERS = (
    ("left", "Left did better", "1"),
    ("draw", "Draw", "2"),
    ("right", "Right did better", "3"),
)
OTHER_ANSWERS = (
    ("both_bad", "Both bad", "Neither is acceptable. Not the same as a draw."),
    ("skip", "Skip", "No opinion, or a video does not play. You will not see this pair again."),
)


def page() -> None:
    """Draw the page."""
    store = the_store()
    if notice := st.session_state.pop("notice", None):
        st.toast(notice[0], icon=notice[1])
    about, how_far, settings = st.columns([6, 1.5, 1], vertical_alignment="center", gap="medium")
    try:
        with settings.popover("Settings", width="stretch"):
            study = choose_study(store)
            name = st.text_input("Your name (optional; kept with your answers, never shown)")
        rater = register_rater(store, rater_secret(), name or None)
        pair = next_pair(store, study, rater)
    except BasaltError as err:
        st.info(str(err))
        return
    done = progress(store, study, rater)
    if pair is None:
        _thanks(done.total)
        return
    task = get_task(pair.task)
    about.markdown(f"### {task.title}: which player did better?")
    about.caption(task.instruction)
    how_far.progress(done.done / max(done.total, 1), f"{done.done} of {done.total} pairs judged")
    pair_player(
        pair.assignment_id,
        f"/video/{pair.assignment_id}/left",
        f"/video/{pair.assignment_id}/right",
    )
    _answers(study, rater, pair, played=bool(player_events(pair.assignment_id)))


def _answers(study: StudyInfo, rater: str, pair: ServedPair, *, played: bool) -> None:
    """The reason and the buttons; closed until the pair was played, so that none is pressed unseen."""
    reason, *others = st.columns([6, 1, 1], vertical_alignment="bottom")
    reason.text_input(
        "Why? (optional)",
        key=f"reason-{pair.assignment_id}",
        max_chars=2000,
        placeholder="What decided it? Optional: write it first, then answer below.",
        label_visibility="collapsed",
    )
    for column, (winner, label, explanation) in zip(others, OTHER_ANSWERS, strict=True):
        column.button(
            label,
            key=f"{winner}-{pair.assignment_id}",
            help=explanation,
            on_click=_store_answer,
            args=(rater, pair, study, winner),
            disabled=not played and winner != "skip",
            width="stretch",
        )
    for column, (winner, label, shortcut) in zip(st.columns(3), MAIN_ANSWERS, strict=True):
        column.button(
            label,
            key=f"{winner}-{pair.assignment_id}",
            type="primary",
            help=None if played else "Play the pair first",
            shortcut=shortcut,
            on_click=_store_answer,
            args=(rater, pair, study, winner),
            disabled=not played,
            width="stretch",
        )
    if study.rules.ask_questions:
        ask_questions(get_task(pair.task), pair.assignment_id)


def _store_answer(rater: str, pair: ServedPair, study: StudyInfo, winner: str) -> None:
    asked = get_task(pair.task) if study.rules.ask_questions else None
    try:
        answer_pair(
            the_store(),
            pair.assignment_id,
            rater,
            winner,
            justification=st.session_state.get(f"reason-{pair.assignment_id}") or "",
            responses=responses(asked, pair.assignment_id) if asked else {},
            video_events=player_events(pair.assignment_id),
        )
    except BasaltError as err:
        st.session_state["notice"] = (str(err), ":material/error:")
    else:
        st.session_state["notice"] = ("Saved", ":material/check:")


def _thanks(total: int) -> None:
    st.markdown("### Thank you")
    if total:
        st.write(f"You have judged all {total} pairs of this study.")
    else:
        st.write("This study has no pairs yet: it needs submissions of at least two agents.")
    st.page_link("views/leaderboard.py", label="See the leaderboard", icon=":material/leaderboard:")


page()
