"""How far the raters of a study have come, from the invitation to the end."""

from dataclasses import dataclass

import sqlalchemy as sa

from leaderboard.judging.raters import read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import Invite, Membership
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import read_settings


@dataclass(frozen=True)
class Funnel:
    """Numbers of raters of a study; each of the first five counts those who came at least as far.

    Attributes:
        joined: Raters who have begun.
        consented: Those who agreed to the current consent text; everybody, where it has none.
        qualified: Those of them who passed the qualification; all of them, where the study asks for none.
        judging: Those of them who have judged a pair.
        done: Those of them who have judged all that the study asks for.
        failed: Raters who did not pass the qualification.
        banned: Raters who are banned.
        held: Raters who are held for review.
        places: Raters whom the open invites let in; None without a limit.
    """

    joined: int
    consented: int
    qualified: int
    judging: int
    done: int
    failed: int
    banned: int
    held: int
    places: int | None


def read_funnel(store: Store, study: StudyInfo, admin: AdminIdentity) -> Funnel:
    """How far the raters of a study have come."""
    with store.read() as session:
        settings = read_settings(session, study.id)
        members = session.scalars(sa.select(Membership).where(Membership.study_id == study.id))
        consent = settings.consent_sha256
        stages = []
        states = []
        for member in members:
            status = read_rater_status(session, study, member.rater_id, settings)
            states.append(status)
            passed = [
                consent is None or member.consent_sha256 == consent,
                status.qualification.state not in ("open", "failed"),
                status.answered > 0,
                status.state == "done",
            ]
            # A rater who is not through one stage has not come to the next.
            stages.append(passed.index(False) if False in passed else len(passed))
        limits = session.scalars(
            sa.select(Invite.max_raters).where(
                Invite.study_id == study.id, Invite.revoked.is_(None)
            )
        ).all()
        unlimited = any(one is None for one in limits)
        return Funnel(
            joined=len(stages),
            consented=sum(stage >= 1 for stage in stages),
            qualified=sum(stage >= 2 for stage in stages),
            judging=sum(stage >= 3 for stage in stages),
            done=sum(stage >= 4 for stage in stages),
            failed=sum(one.state == "failed" for one in states),
            banned=sum(one.state == "banned" for one in states),
            held=sum(one.held for one in states),
            places=None if settings.open_signup or unlimited else sum(one or 0 for one in limits),
        )
