"""The Compare clips page: one pair of short clips after another, blind, a key an answer."""

import streamlit as st

from basalt.core.tasks import get_task
from basalt.io.errors import BasaltError
from eval_ui.judging.acts import rater_ticket
from eval_ui.judging.clip_comparing import ClipsView, ShownPair, compare_clips
from eval_ui.judging.onboarding import (
    CLOSED,
    closed,
    farewell,
    middle,
    rater_here,
    show_refusal,
    welcome,
)
from eval_ui.judging.pair_view import undo_time
from eval_ui.judging.rater_footer import confirm_forgotten, footer, undo_button
from eval_ui.store_access import the_store
from eval_ui.study_picker import current_study, pick_study
from eval_ui.texts import Texts
from leaderboard.http.video_urls import pair_videos
from leaderboard.judging.clip_answers import undo_clips
from leaderboard.judging.clip_queue import (
    ClipRaterView,
    ServedClips,
    clip_rater_view,
    queue_state,
)
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo

TITLE = "Compare clips"
ORDER = 15
AUDIENCE = "clip raters"


def page() -> None:
    """Draw the page."""
    store = the_store()
    study = None
    try:
        study = current_study(store, clips=True)
        confirm_forgotten(store, study)
        rater = rater_here(store, study)
        view, pairs = clip_rater_view(store, study, rater)
        status = view.status
        if status.state in CLOSED:
            closed(view.settings, status, view.ending)
        elif not status.joined or status.state in ("invite", "consent"):
            welcome(store, study, view.settings, status)
            with middle():
                pick_study(store, study, clips=True)
            return
        elif pairs:
            _show(store, study, rater, view, pairs)
        else:
            _end(store, study, rater, view)
        if status.joined:
            footer(store, study, view.settings, rater, below_pair=bool(pairs))
    except BasaltError as err:
        show_refusal(store, study, err)


def _show(
    store: Store, study: StudyInfo, rater: str, view: ClipRaterView, pairs: list[ServedClips]
) -> None:
    task = get_task(pairs[0].task)

    videos = [pair_videos(store, pair) for pair in pairs]
    say = Texts(view.settings.language)
    answered = view.status.answered
    standing = (
        say("clips.answered_of", answered=answered, asked=view.asked)
        if view.settings.check_share
        else say("clips.answered_open", answered=answered, open=view.missing)
    )
    compare_clips(
        ClipsView(
            pairs=tuple(
                ShownPair(pair.assignment_id, links.left, links.right)
                for pair, links in zip(pairs, videos, strict=True)
            ),
            language=say.language,
            title=say("clips.title", task=task.title),
            instruction=task.instruction,
            standing=standing,
            undo=view.undoable,
            undo_until=undo_time(view.undoable_until),
            ticket=rater_ticket(store, study, rater),
        )
    )


def _end(store: Store, study: StudyInfo, rater: str, view: ClipRaterView) -> None:
    say = Texts(view.settings.language)
    if view.status.state == "done":
        farewell(view.settings, view.status, view.ending)
    else:
        with middle():
            st.markdown(f"## {say('clips.none_open')}")
            st.write(say("clips.looking", answered=view.status.answered))
            _look_again(store, study, view.missing, say("clips.look_now"))
    with middle():
        undo_button(store, study, view.settings, rater, view.undoable_until, undo_clips)


@st.fragment(run_every=5)
def _look_again(store: Store, study: StudyInfo, missing: int, label: str) -> None:
    """Draw the page again when the queue has changed."""
    if st.button(label) or queue_state(store, study).missing != missing:
        st.rerun()


page()
