"""How a rater comes into a study: by a link or openly, with the study's text of consent, and by name of a
crowd platform; and what the rater is told where the way ends."""

from dataclasses import dataclass

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.session import rater_secret
from leaderboard.judging.raters import Standing, check_invite, completion_code, join
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

INSTRUCTIONS = """
You will see **two videos side by side**: two players at the same task in the same place. Who they are is
not told; some are people, some are programs.

1. Watch both to the end. They play in step; any speed counts.
2. Answer the questions. They are about what the players did, not about the picture's quality.
3. Say which player did better over all. *Draw* means equally good; *Both bad* means that neither is
   acceptable; *Skip* means that you have no opinion or that a video does not play.

Everything works by keyboard: press **?** on the judging page to see the keys. Your answers are saved one
by one; you can leave at any time and go on later in this browser.
"""
"""What raters are told where the study's own text is empty."""

_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"


@dataclass(frozen=True)
class Arrival:
    """What the address said with which the rater came; kept for the whole visit.

    Attributes:
        invite: an invite's token.
        platform, participant: the crowd platform and its name for the person.
        preview: MTurk shows the page to a worker who has not accepted the task.
    """

    invite: str | None
    platform: str | None
    participant: str | None
    preview: bool


def arrival() -> Arrival:
    """What the address said on arrival; its secrets are then taken out of the address."""
    if "arrival" not in st.session_state or "invite" in st.query_params:
        query = st.query_params
        platform, participant = None, None
        if pid := query.get("PROLIFIC_PID"):
            platform, participant = "prolific", pid
        elif worker := query.get("workerId"):
            platform, participant = "mturk", worker
        elif person := query.get("participant"):
            platform, participant = "other", person
        st.session_state["arrival"] = Arrival(
            query.get("invite"), platform, participant, query.get("assignmentId") == _PREVIEW
        )
        for name in ("invite", "PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "workerId", "participant",
                     "assignmentId", "hitId", "turkSubmitTo"):  # fmt: skip
            query.pop(name, None)
    return st.session_state["arrival"]


def welcome(store: Store, study: StudyInfo, settings: JudgingSettings, standing: Standing) -> None:
    """The page before the first pair: instructions, consent, and the way in."""
    came = arrival()
    with _column():
        st.markdown("## Which player did better?")
        if standing.state == "invite" and came.invite is None:
            st.info("This study takes raters by invitation. Please open the link you were sent.")
            return
        if standing.state == "invite" and came.invite is not None:
            try:
                check_invite(store, study, came.invite)
            except BasaltError as err:
                st.error(str(err))
                return
        st.markdown(settings.instructions or INSTRUCTIONS)
        if practice := settings.qualification_pairs:
            st.markdown(
                "It begins with **1 practice pair** whose answer is known."
                if practice == 1
                else f"It begins with **{practice} practice pairs** whose answers are known."
            )
        if came.preview:
            st.info("This is a preview. Accept the task first, then begin.")
            return
        agreed = True
        if settings.consent:
            st.markdown("#### Your consent")
            with st.container(
                border=True, height=220 if len(settings.consent) > 700 else "content"
            ):
                st.markdown(settings.consent)
            agreed = st.checkbox("I have read this, and I agree to take part.")
        if st.button("Begin", type="primary", disabled=not agreed):
            try:
                join(
                    store, study, rater_secret(), invite=came.invite, consent=agreed,
                    platform=came.platform, participant=came.participant,
                )  # fmt: skip
            except BasaltError as err:
                st.error(str(err))
            else:
                st.rerun()


def farewell(store: Store, study: StudyInfo, rater: str, standing: Standing) -> None:
    """The page after the last pair: thanks, and the code for the crowd platform."""
    with _column():
        st.markdown("## Thank you")
        pairs = f"{standing.answered} pair{'' if standing.answered == 1 else 's'}"
        st.markdown(
            f"You have judged **{pairs}**: all that this study asks of you. Every answer is saved."
        )
        code, address = completion_code(store, study, rater)
        if arrival().participant or address:
            st.markdown("Your completion code:")
            st.code(code, language=None)
        if address:
            st.link_button("Finish on the platform", address, type="primary")


def closed(standing: Standing) -> None:
    """The page of a rater who may not judge (any more)."""
    with _column():
        if standing.state == "failed":
            st.markdown("## Thank you for trying")
            st.markdown(
                f"{standing.qualification.right} of your {standing.qualification.answered} answers were "
                f"the expected ones; this study asks for {standing.qualification.needed}. "
                "You cannot judge in it, and your answers are in no ranking."
            )
        else:
            st.markdown("## You can no longer judge in this study")
            st.markdown("If you think that this is a mistake, please write to its organisers.")


def _column() -> "st.delta_generator.DeltaGenerator":
    """A column that is read easily, in the middle of the page."""
    return st.columns([1, 3, 1])[1]
