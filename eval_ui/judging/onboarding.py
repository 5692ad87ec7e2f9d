"""Joining and leaving a study as a rater: invite links, crowd platforms, consent, and the last page."""

from dataclasses import dataclass

import streamlit as st

from basalt.io.errors import BasaltError
from eval_ui.elements import attempt, facts_html, show_text
from eval_ui.session import join_here, rater_secret
from eval_ui.texts import DEFAULT, Texts
from leaderboard.judging.invites import ENOUGH, StudyFullError, check_invite
from leaderboard.judging.participants import LINK_IDS, Participant
from leaderboard.judging.raters import RaterStatus, enter
from leaderboard.judging.targets import has_enough
from leaderboard.store.database import Store
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import Ending, JudgingSettings, get_settings

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


def welcome(store: Store, study: StudyInfo, settings: JudgingSettings, status: RaterStatus) -> None:
    """The page before the first pair: instructions, consent and the Begin button."""
    came = arrival()
    say = Texts(settings.language)
    if st.session_state.get(_DECLINED) == study.id:
        _declined(settings)
        return
    with middle():
        welcome_title(study, settings)
        if status.state == "invite" and came.invite is None:
            st.info(say("welcome.by_invitation"))
            return
        if not status.joined:
            try:
                if has_enough(store, study):
                    raise StudyFullError(ENOUGH, "enough")
                if status.state == "invite" and came.invite is not None:
                    check_invite(store, study, came.invite)
            except BasaltError as err:
                st.error(say.refusal(err))
                if isinstance(err, StudyFullError):
                    _way_back(settings, settings.ending("closed"))
                return
        introduction(study, settings)
        if came.preview:
            st.info(say("welcome.preview"))
            return
        agreed = True
        if settings.consent:
            consent_text(settings)
            agreed = st.checkbox(say("welcome.agree"))
        if st.button(say("welcome.begin"), type="primary", disabled=not agreed):
            person = came.participant
            ids = {} if person is None else {
                "platform": person.platform, "participant": person.id, "platform_study": person.study,
                "platform_session": person.session, "signature": person.signature,
            }  # fmt: skip
            attempt(join_here, study, words=say.refusal, invite=came.invite, consent=agreed, **ids)
        if settings.consent and st.button(say("welcome.decline"), type="tertiary"):
            st.session_state[_DECLINED] = study.id
            st.rerun()


def welcome_title(study: StudyInfo, settings: JudgingSettings) -> None:
    """The title of the page before the first pair."""
    say = Texts(settings.language)
    st.markdown(f"## {say('welcome.clips_title' if study.rules.clips else 'welcome.pairs_title')}")


def introduction(study: StudyInfo, settings: JudgingSettings) -> None:
    """What a rater reads before the first pair: facts about the study, as far as they are set, and the instructions."""
    say = Texts(settings.language)
    pairs, minutes = settings.pairs_per_rater, settings.minutes
    facts = {
        "study": settings.title,
        "organiser": settings.organiser,
        "pairs_to_judge": "" if pairs is None else str(pairs),
        "time": "" if minutes is None else say("welcome.minutes", count=minutes),
        "pay": settings.pay,
        "contact": settings.contact,
    }
    if shown := {say(f"welcome.{name}"): value for name, value in facts.items() if value}:
        st.html(facts_html(shown, small=True))
    show_text(instructions(study, settings))
    if practice := settings.qualification_pairs:
        st.markdown(say("welcome.practice", count=practice))


def consent_text(settings: JudgingSettings) -> None:
    """The text that a rater is asked to agree to."""
    st.markdown(f"### {Texts(settings.language)('welcome.consent')}")
    with st.container(border=True, height=220 if len(settings.consent) > 700 else "content"):
        show_text(settings.consent)


def instructions(study: StudyInfo, settings: JudgingSettings) -> str:
    """The study's instructions, or those of the texts for a study that has none."""
    say = Texts(settings.language)
    return settings.instructions or say("welcome.clips" if study.rules.clips else "welcome.pairs")


def _declined(settings: JudgingSettings) -> None:
    """The page of somebody who does not agree to the consent text; nothing is stored about it."""
    say = Texts(settings.language)
    with middle():
        st.markdown(f"## {say('welcome.declined')}")
        st.markdown(say("welcome.nothing_stored"))
        _way_back(settings, settings.ending("no_consent"))
        if st.button(say("welcome.back_to_consent")):
            del st.session_state[_DECLINED]
            st.rerun()


def _way_back(
    settings: JudgingSettings, ending: Ending | None, of: str = "end.platform_code"
) -> None:
    """The code of an outcome, and the button that leads back to the crowd platform."""
    if ending is None or not ending.code:
        return
    say = Texts(settings.language)
    if arrival().participant or ending.url:
        st.markdown(say(of))
        st.code(ending.code, language=None)
    if ending.url:
        st.link_button(say("end.return"), ending.address, type="primary")


def farewell(settings: JudgingSettings, status: RaterStatus, ending: Ending | None) -> None:
    """The page after the last pair: thanks, and the completion code for a crowd platform."""
    say = Texts(settings.language)
    done = status.state == "done"
    with middle():
        st.markdown(f"## {say('end.thanks')}")
        st.markdown(say("end.judged_done" if done else "end.judged_all", count=status.answered))
        if status.skipped:
            st.markdown(say("end.skipped", count=status.skipped))
        if status.held:
            st.info(say("end.held"))
        elif not done:
            st.markdown(say("end.incomplete"))
        _way_back(settings, ending, "end.completion_code")


def closed(settings: JudgingSettings, status: RaterStatus, ending: Ending | None) -> None:
    """The page of a rater who failed the qualification or was banned, or of a study that is paused or has ended."""
    say = Texts(settings.language)
    tried = status.qualification
    with middle():
        st.markdown(f"## {say(f'end.{status.state}')}")
        st.markdown(
            say(
                f"end.{status.state}_why", right=tried.right, answered=tried.answered, needed=tried.needed
            )
        )  # fmt: skip
        _way_back(settings, ending)


def show_refusal(store: Store, study: StudyInfo | None, err: BasaltError) -> None:
    """Say on a rater's page why it cannot be shown, in the language of the study if there is one."""
    language = DEFAULT if study is None else get_settings(store, study).language
    st.info(Texts(language).refusal(err))


def middle() -> "st.delta_generator.DeltaGenerator":
    """A column of readable width in the middle of the page."""
    return st.columns([1, 3, 1])[1]
