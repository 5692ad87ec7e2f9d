"""All that a front end shows to a rater, read once per request: the app and the HTTP API use it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.invites import study_of_invite
from leaderboard.judging.judgments import last_answer
from leaderboard.judging.pairs import count_pairs, practice_pairs
from leaderboard.judging.participants import rater_in_browser
from leaderboard.judging.raters import RaterStatus, ending_of, read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import Membership, pair_key
from leaderboard.studies.rules import StudyInfo, list_studies
from leaderboard.studies.settings import Ending, JudgingSettings, read_settings


@dataclass(frozen=True)
class RaterView:
    """A rater's place in a study, with everything to show beside the pair.

    Attributes:
        settings: Settings that the study is judged under.
        status: State of the rater.
        total: Number of pairs that the study asks of this rater, at least `status.answered`, which are done. It
            depends neither on skips nor on which pairs were attention checks, so it does not reveal them: where the
            study asks for all pairs, some come on top.
        undoable: Id of the last answer that can be withdrawn; None without such an answer.
        undoable_until: Time until which it can, UTC.
        ending: Code of the rater's outcome, and the address to return to; None while there is no outcome, and while the
            rater is held for review.
    """

    settings: JudgingSettings
    status: RaterStatus
    total: int
    undoable: str | None
    undoable_until: datetime | None
    ending: Ending | None


def rater_view(store: Store, study: StudyInfo, rater_id: str) -> RaterView:
    """The rater's place in a study."""
    with store.read() as session:
        settings = read_settings(session, study.id)
        status = read_rater_status(session, study, rater_id, settings)
        return _view(store, session, study, rater_id, settings, status)


def next_view(store: Store, study: StudyInfo, rater_id: str) -> tuple[RaterView, ServedPair | None]:
    """The rater's place in a study, and the next pair; None if the rater is done, may not judge or has not joined.

    Raises:
        StudyError: The study does not accept judgments by people, or the rater is unknown.
    """
    with store.read() as session:
        settings = read_settings(session, study.id)
        status = read_rater_status(session, study, rater_id, settings)
    pair = None
    if status.joined and status.state in ("judge", "qualify"):
        pair = next_pair(store, study, rater_id)
    # After serving, which may take a practice pair out of the pairs that are left.
    with store.read() as session:
        return _view(store, session, study, rater_id, settings, status), pair


def studies_for_rater(store: Store, token: str, invite: str | None = None) -> list[StudyInfo]:
    """Studies that a rater may know of, newest first.

    These are the studies that are open, that show their results, or that the rater takes part in. Who is invited to a
    study knows of no others than those that they take part in.

    Args:
        store: Leaderboard.
        token: The rater's secret.
        invite: Token of the invite by which the rater came.
    """
    invited = {study.id for study in invited_studies(store, token, invite)}
    studies = list_studies(store)
    with store.read() as session:

        def is_visible(study: StudyInfo) -> bool:
            if study.id in invited or _takes_part(session, study, token):
                return True
            settings = read_settings(session, study.id)
            return not invited and (settings.open_signup or settings.show_results)

        return [study for study in studies if is_visible(study)]


def invited_studies(store: Store, token: str, invite: str | None = None) -> list[StudyInfo]:
    """Studies by invitation that a rater takes part in or has an invite to, newest first; the arguments are as above."""
    came_to = None if invite is None else study_of_invite(store, invite)
    studies = list_studies(store)
    with store.read() as session:
        return [
            study
            for study in studies
            if not read_settings(session, study.id).open_signup
            and (
                (came_to is not None and study.id == came_to.id)
                or _takes_part(session, study, token)
            )
        ]


def _takes_part(session: Session, study: StudyInfo, token: str) -> bool:
    rater = rater_in_browser(session, study.id, token)
    return rater is not None and session.get(Membership, (study.id, rater.id)) is not None


def _view(
    store: Store,
    session: Session,
    study: StudyInfo,
    rater_id: str,
    settings: JudgingSettings,
    status: RaterStatus,
) -> RaterView:
    practised = practice_pairs(session, study, rater_id)
    pairs = count_pairs(session, study) - len({pair_key(*pair) for pair in practised})
    total = pairs if status.limit is None else min(status.limit, pairs)
    last = last_answer(session, study, rater_id)
    until = None if last is None else last.created + timedelta(seconds=settings.undo_seconds)
    return RaterView(
        settings,
        status,
        max(total, status.answered),
        None if last is None else last.id,
        until,
        ending_of(store, study, rater_id, settings, status),
    )
