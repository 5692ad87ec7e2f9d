"""The answers of one rater, for an admin who looks at them beside the videos."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from leaderboard.store.database import Store
from leaderboard.store.models import Episode, Judgment
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import withdrawn_answers
from leaderboard.studies.rules import StudyInfo


@dataclass(frozen=True)
class RaterAnswer:
    """An answer about a pair of episodes, sides as shown.

    Attributes:
        id: Id of the answer.
        left: Left episode, with its agent.
        right: Right episode, with its agent.
        winner: Answer, one of `leaderboard.store.models.WINNERS`.
        seconds: Time from serving to answer.
        watched: Shares of the left and the right video that were played; None if unknown.
        reason: Reason in the rater's words.
        withdrawn: Whether the rater withdrew it.
    """

    id: str
    left: Episode
    right: Episode
    winner: str
    seconds: float | None
    watched: tuple[float | None, float | None]
    reason: str
    withdrawn: bool


def rater_answers(
    store: Store, study: StudyInfo, admin: AdminIdentity, rater_id: str
) -> list[RaterAnswer]:
    """A rater's answers in a study of episodes, the newest first; attention checks are not among them."""
    with store.read() as session:
        gone = withdrawn_answers(session, study.id, rater_id)
        found = session.scalars(
            sa.select(Judgment)
            .where(Judgment.study_id == study.id, Judgment.rater_id == rater_id)
            .order_by(Judgment.number.desc())
        ).all()
        ids = {side for one in found for side in (one.left_episode_id, one.right_episode_id)}
        episodes = {
            one.id: one
            for one in session.scalars(
                sa.select(Episode).where(Episode.id.in_(ids)).options(joinedload(Episode.agent))
            )
        }
        return [
            RaterAnswer(
                one.id,
                episodes[one.left_episode_id],
                episodes[one.right_episode_id],
                one.winner,
                one.seconds,
                (one.watched_left, one.watched_right),
                one.justification,
                one.id in gone,
            )
            for one in found
        ]
