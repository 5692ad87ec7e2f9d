"""The Judge page: one pair after another, blind."""

from datetime import UTC, datetime

import streamlit as st

from basalt.core.tasks import Questions, get_task
from basalt.io.errors import BasaltError
from eval_ui.elements import attempt
from eval_ui.judging.onboarding import INSTRUCTIONS, closed, farewell, middle, welcome
from eval_ui.judging.pair_judging import Act, Answer, PairView, Reply, judge_pair
from eval_ui.session import may_see_results, rater_secret
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, pick_study
from leaderboard.http.video_urls import pair_videos
from leaderboard.judging.assignments import ServedPair
from leaderboard.judging.judgments import answer_pair, undo_last
from leaderboard.judging.rater_view import RaterView, next_view
from leaderboard.judging.raters import erase, register_rater
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

TITLE = "Judge"
ICON = ":material/compare:"
ORDER = 10

_NAME = "own_name"
_SURE = "sure_to_be_forgotten"


def page() -> None:
    """Draw the page."""
    store = the_store()
    if st.session_state.pop("forgotten", False):
        st.success(
            "Your personal data has been deleted. Your votes are kept anonymously. If you continue, you "
            "start as a new rater.",
            icon=":material/check:",
        )
    try:
        study = current_study(store)
        rater = register_rater(store, rater_secret())
        view, pair = next_view(store, study, rater)
        status = view.status
        if status.state in ("invite", "consent"):
            welcome(store, study, view.settings, status)
            pick_study(store, study)
            return
        if status.state in ("failed", "banned"):
            closed(status)
        elif pair is None:
            _end(store, study, rater, view)
        else:
            _show(store, study, rater, view, pair)
        _footer(store, study, view.settings, rater)
    except BasaltError as err:
        st.info(str(err))


def _show(
    store: Store,
    study: StudyInfo,
    rater: str,
    view: RaterView,
    pair: ServedPair,
) -> None:
    task = get_task(pair.task)
    asked = task.questions if study.rules.ask_questions else Questions((), ())
    settings, undo = view.settings, view.undoable_until
    videos = pair_videos(store, pair)
    done, total = view.status.answered, view.total
    if pair.qualification:
        done, total = view.status.qualification.answered, view.status.qualification.pairs

    def handle(act: Act) -> Reply:
        try:
            if not isinstance(act, Answer):
                undo_last(store, study, rater)
                return Reply(act.nonce, "Answer withdrawn. You can answer this pair again.")
            return _answer(
                store, rater, act, act.responses(asked) if study.rules.ask_questions else {}
            )
        except BasaltError as err:
            return Reply(act.nonce, str(err), ok=False)

    judge_pair(
        PairView(
            pair=pair.assignment_id,
            left=videos.left,
            right=videos.right,
            title=task.title,
            instruction=task.instruction,
            badge="practice" if pair.qualification else None,
            standing=f"{done} of {total} {'practice pairs' if pair.qualification else 'pairs judged'}",
            share=done / max(total, 1),
            questions=asked,
            required=settings.watch_share,
            least=settings.reason_characters,
            undo_until=int(undo.timestamp() * 1000)
            if undo is not None and undo > datetime.now(UTC)
            else None,
        ),
        handle,
    )


def _answer(store: Store, rater: str, answer: Answer, responses: dict[str, object]) -> Reply:
    feedback = answer_pair(
        store,
        answer.pair,
        rater,
        answer.winner,
        justification=answer.justification,
        responses=responses,
        video_events=answer.events,
        watched=answer.seen,
    ).feedback
    if feedback is None:
        return Reply(answer.nonce, "Saved.")
    expected = {"left": "left did better", "right": "right did better", "draw": "a draw"}
    text = (
        "Correct." if feedback.right else f"The expected answer was: {expected[feedback.expected]}."
    )
    return Reply(answer.nonce, f"{text} {feedback.explanation}".strip(), ok=feedback.right)


def _end(store: Store, study: StudyInfo, rater: str, view: RaterView) -> None:
    if view.total == 0:
        with middle():
            st.markdown("## Nothing to judge yet")
            st.write("This study has no pairs yet. It needs submissions from at least two agents.")
        return
    farewell(view)
    with middle():
        _undo_button(store, study, rater, view.undoable_until)
        if may_see_results(study):
            st.page_link(
                "views/leaderboard.py", label="See the leaderboard", icon=":material/leaderboard:"
            )


def _undo_button(store: Store, study: StudyInfo, rater: str, until: datetime | None) -> None:
    """After the last pair, the button to withdraw the last answer while that is possible."""
    if until is None or until <= datetime.now(UTC):
        return
    if st.button("Undo the last answer"):
        attempt(undo_last, store, study, rater)


def _footer(store: Store, study: StudyInfo, settings: JudgingSettings, rater: str) -> None:
    """Below the pair: instructions, the rater's own data, other studies."""
    with st.container(horizontal=True, vertical_alignment="center", key="footer"):
        pick_study(store, study)
        with st.popover("Instructions"):
            st.markdown(settings.instructions or INSTRUCTIONS)
        with st.popover("About you"):
            name = st.text_input(
                "Your name (optional)",
                key=_NAME,
                max_chars=64,
                help="Only the study's organisers see it, next to your answers.",
            )
            if name:
                register_rater(store, rater_secret(), name)
            st.markdown("**Forget me** deletes your name, your ID on the crowd platform and everything "
                        "you wrote. Your votes are kept anonymously.")  # fmt: skip
            sure = st.checkbox("Delete my personal data", key=_SURE)
            st.button("Forget me", disabled=not sure, on_click=_forget, args=(store, rater))


def _forget(store: Store, rater: str) -> None:
    """Delete the rater's personal data. Runs before the page is redrawn, so that its fields can be cleared."""
    erase(store, rater)
    # A name left in its field would be given to the new rater.
    st.session_state[_NAME] = ""
    st.session_state[_SURE] = False
    st.session_state["forgotten"] = True


page()
