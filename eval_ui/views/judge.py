"""The Judge page: one pair after another, blind."""

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.judging.acts import rater_ticket
from eval_ui.judging.onboarding import (
    CLOSED,
    closed,
    farewell,
    middle,
    rater_here,
    show_refusal,
    welcome,
)
from eval_ui.judging.pair_judging import judge_pair
from eval_ui.judging.pair_view import pair_view
from eval_ui.judging.rater_footer import confirm_forgotten, footer, undo_button
from eval_ui.session import may_see_results
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, only_clips, pick_study
from eval_ui.texts import Texts
from leaderboard.judging.judgments import undo_last
from leaderboard.judging.rater_view import RaterView, next_view
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo

TITLE = "Judge"
ORDER = 10
AUDIENCE = "raters"


def page() -> None:
    """Draw the page."""
    store = the_store()
    study = None
    try:
        if only_clips(store):
            st.switch_page("views/compare.py")
        study = current_study(store, clips=False)
        confirm_forgotten(store, study)
        rater = rater_here(store, study)
        view, pair = next_view(store, study, rater)
        status = view.status
        if status.state in CLOSED:
            closed(view.settings, status, view.ending)
        elif not status.joined or status.state in ("invite", "consent"):
            welcome(store, study, view.settings, status)
            with middle():
                pick_study(store, study, clips=False)
            return
        elif pair is None:
            _end(store, study, rater, view)
        else:
            judge_pair(pair_view(store, study, view, pair, rater_ticket(store, study, rater)))
        if status.joined:
            footer(store, study, view.settings, rater, below_pair=pair is not None)
    except BasaltError as err:
        show_refusal(store, study, err)


def _end(store: Store, study: StudyInfo, rater: str, view: RaterView) -> None:
    say = Texts(view.settings.language)
    if view.total == 0:
        with middle():
            st.markdown(f"## {say('end.nothing_yet')}")
            st.write(say("end.nothing_yet_why"))
        return
    farewell(view.settings, view.status, view.ending)
    with middle():
        undo_button(store, study, view.settings, rater, view.undoable_until, undo_last)
        if may_see_results(study):
            st.page_link(
                "views/leaderboard.py",
                label=say("end.see_leaderboard"),
                icon=":material/leaderboard:",
            )


page()
