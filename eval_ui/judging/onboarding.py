"""Joining and leaving a study as a rater: invite links, crowd platforms, consent, and the last page."""

from dataclasses import dataclass

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.elements import attempt, show_text
from eval_ui.session import join_here, rater_secret
from leaderboard.judging.invites import ENOUGH, StudyFullError, check_invite
from leaderboard.judging.participants import LINK_IDS, Participant
from leaderboard.judging.raters import RaterStatus, enter
from leaderboard.judging.targets import has_enough
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import Ending, JudgingSettings

INSTRUCTIONS = """
You will see **two videos side by side**: two players doing the same task in the same place. You will not
see who they are; some are people, some are programs.

1. Watch both to the end. They play in sync, at any speed you like.
2. Answer the questions. They are about what the players did, not about the picture quality.
3. Say which player did better overall. *Draw* means equally good; *Both bad* means that neither is
   acceptable. *No opinion* and *Video broken* skip the pair, which then does not count as judged.

Everything works from the keyboard: press **?** on the judging page to see the keys. Each answer is saved
as you submit it; you can leave at any time and continue later in this browser.
"""
"""Instructions for raters of a study that has no text of its own."""

CLIP_INSTRUCTIONS = """
You will see **two short clips side by side**, again and again: two players doing the same task. You will not see who
they are; some are people, some are programs.

1. Look at both clips, as often as you like. They play in step and begin again together.
2. Press a key: **1** if the left clip is better, **3** if the right one is, **2** if both are equally good, **4** if
   neither is acceptable, **5** for no opinion, **6** if a clip does not play. *Better* means: closer to what the task
   asks for, not nicer to look at.
3. The next pair follows at once. **U** takes the last answer back.

An answer in less than half of the clips' length is not counted. Some pairs come twice, some have a known answer. Each
answer is saved as you give it; you can leave at any time and continue later in this browser.
"""
"""Instructions for raters of clips in a study that has no text of its own."""

_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"


CLOSED = ("failed", "banned", "paused", "ended")
"""States of raters who get no pair."""

_DECLINED = "declined"


@dataclass(frozen=True)
class Arrival:
    """Parameters of the link by which the rater arrived, kept for the whole visit.

    Attributes:
        invite: Token of an invite, if the link has one.
        participant: The person on a crowd platform, if the link says.
        preview: True if MTurk shows the page to a worker who has not accepted the task yet.
    """

    invite: str | None
    participant: Participant | None
    preview: bool


_PARAMETERS = (
    "invite", *(name for names in LINK_IDS.values() for name in names), "sig", "turkSubmitTo",
)  # fmt: skip


def arrival() -> Arrival:
    """The link's parameters; they are then removed from the address bar, since some are secret."""
    query = st.query_params
    if "arrival" not in st.session_state or any(name in query for name in _PARAMETERS):
        named = (
            (platform, [query.get(name) for name in names]) for platform, names in LINK_IDS.items()
        )
        participant = next(
            (
                Participant(platform, person, study, session, query.get("sig"))
                for platform, (person, study, session) in named
                if person
            ),
            None,
        )
        preview = query.get("assignmentId") == _PREVIEW
        st.session_state["arrival"] = Arrival(query.get("invite"), participant, preview)
        for name in _PARAMETERS:
            query.pop(name, None)
    return st.session_state["arrival"]


def rater_here(store: Store, study: StudyInfo) -> str:
    """Id of the rater at this browser, who came by the link; "" for somebody who has not joined yet."""
    came = arrival()
    rater = enter(store, study, rater_secret(), participant=came.participant, invite=came.invite)
    return rater or ""


def welcome(
    store: Store,
    study: StudyInfo,
    settings: JudgingSettings,
    status: RaterStatus,
    title: str,
    instructions: str,
) -> None:
    """The page before the first pair: instructions, consent and the Begin button."""
    came = arrival()
    if st.session_state.get(_DECLINED) == study.id:
        _declined(settings)
        return
    with middle():
        st.markdown(f"## {title}")
        if status.state == "invite" and came.invite is None:
            st.info("This study is by invitation only. Please open the link you were sent.")
            return
        if not status.joined:
            try:
                if has_enough(store, study):
                    raise StudyFullError(ENOUGH)
                if status.state == "invite" and came.invite is not None:
                    check_invite(store, study, came.invite)
            except BasaltError as err:
                st.error(str(err))
                if isinstance(err, StudyFullError):
                    _way_back(settings.ending("closed"))
                return
        show_text(instructions)
        if practice := settings.qualification_pairs:
            st.markdown(
                "You start with **1 practice pair** that has a known answer."
                if practice == 1
                else f"You start with **{practice} practice pairs** that have known answers."
            )
        if came.preview:
            st.info("This is a preview. Accept the task on the platform first.")
            return
        agreed = True
        if settings.consent:
            st.markdown("### Consent")
            with st.container(
                border=True, height=220 if len(settings.consent) > 700 else "content"
            ):
                show_text(settings.consent)
            agreed = st.checkbox("I have read this and agree to take part.")
        if st.button("Begin", type="primary", disabled=not agreed):
            person = came.participant
            ids = {} if person is None else {
                "platform": person.platform, "participant": person.id, "platform_study": person.study,
                "platform_session": person.session, "signature": person.signature,
            }  # fmt: skip
            attempt(join_here, study, invite=came.invite, consent=agreed, **ids)
        if settings.consent and st.button("I do not agree", type="tertiary"):
            st.session_state[_DECLINED] = study.id
            st.rerun()


def _declined(settings: JudgingSettings) -> None:
    """The page of somebody who does not agree to the consent text; nothing is stored about it."""
    with middle():
        st.markdown("## You did not agree to take part")
        st.markdown("Nothing was stored. You can close this page.")
        _way_back(settings.ending("no_consent"))
        if st.button("Back to the consent form"):
            del st.session_state[_DECLINED]
            st.rerun()


def _way_back(ending: Ending | None, of: str = "code for the platform") -> None:
    """The code of an outcome, and the button that leads back to the crowd platform."""
    if ending is None or not ending.code:
        return
    if arrival().participant or ending.url:
        st.markdown(f"Your {of}:")
        st.code(ending.code, language=None)
    if ending.url:
        st.link_button("Return to the platform", ending.address, type="primary")


def farewell(status: RaterStatus, ending: Ending | None) -> None:
    """The page after the last pair: thanks, and the completion code for a crowd platform."""
    with middle():
        st.markdown("## Thank you")
        pairs = f"{status.answered} pair{'' if status.answered == 1 else 's'}"
        skipped = f" and skipped {status.skipped}" if status.skipped else ""
        done = status.state == "done"
        enough = "all that this study needs from you" if done else "and there are no more"
        st.markdown(f"You have judged **{pairs}**{skipped}, {enough}. Every answer is saved.")
        if status.held:
            st.info(
                "The organisers look at your answers before you get a completion code. Come back to this page "
                "later, or contact them."
            )
        elif not done:
            st.markdown(
                "Skipped pairs do not count, so the study is not complete and there is no completion code."
            )
        _way_back(ending, "completion code")


def closed(status: RaterStatus, ending: Ending | None) -> None:
    """The page of a rater who failed the qualification or was banned, or of a study that is paused or has ended."""
    with middle():
        if status.state == "failed":
            st.markdown("## Thank you for trying")
            st.markdown(
                f"{status.qualification.right} of your {status.qualification.answered} practice answers "
                f"were correct; this study requires {status.qualification.needed}. "
                "You cannot judge in this study, and your answers do not count in any ranking."
            )
        elif status.state == "paused":
            st.markdown("## This study is paused")
            st.markdown("Nothing is lost: come back later to continue where you stopped.")
        elif status.state == "ended":
            st.markdown("## This study has ended")
            st.markdown("Thank you. Every answer that you gave is saved.")
        else:
            st.markdown("## You can no longer judge in this study")
            st.markdown("If you think this is a mistake, please contact the organisers.")
        _way_back(ending)


def middle() -> "st.delta_generator.DeltaGenerator":
    """A column of readable width in the middle of the page."""
    return st.columns([1, 3, 1])[1]
