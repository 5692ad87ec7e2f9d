"""Who is to be paid: the raters of a study with the platform's ids, their outcome, the time they took and their code."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import sqlalchemy as sa

from basalt.io.spreadsheet import write_csv
from leaderboard.judging.raters import State, ending_of, outcome_of, read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import CheckAnswer, ClipAnswer, Invite, Judgment, Membership
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import Outcome, read_settings

LONGEST_ANSWER_S = 600.0
"""Seconds that count at most for one answer: a pair may stay open during a break."""


@dataclass(frozen=True)
class Payment:
    """One rater of a study, for paying.

    Attributes:
        rater: Pseudonym, as in exports.
        platform: Crowd platform; empty for none.
        participant: The person's id there.
        session: The platform's id of the participation (`SESSION_ID`, `assignmentId`).
        invite: Label of the invite.
        state: State, see `leaderboard.judging.raters.RaterStatus`.
        held: Whether the rater is held for review, and has no code until released.
        outcome: How the study ended for the rater; empty if it has not.
        judged: Number of pairs judged, attention checks included.
        skipped: Number of pairs skipped.
        minutes_active: Time from serving to answer, summed over all answers, of each at most `LONGEST_ANSWER_S`.
        code: Code that the rater was shown; empty for none.
    """

    rater: str
    platform: str
    participant: str
    session: str
    invite: str
    state: State
    held: bool
    outcome: Outcome | str
    judged: int
    skipped: int
    minutes_active: float
    code: str


def write_payments(path: Path, payments: Sequence[Payment]) -> None:
    """Write payments as CSV for a spreadsheet.

    Raises:
        OSError: The file cannot be written.
    """
    import pandas as pd  # of extras, and slow to import

    columns = [field.name for field in fields(Payment)]
    write_csv(pd.DataFrame([astuple(one) for one in payments], columns=columns), path)


def payment_list(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[Payment]:
    """All raters who have joined a study, in the order they joined; those whose data was erased have no ids."""
    with store.read() as session:
        settings = read_settings(session, study.id)
        labels = dict(
            session.execute(
                sa.select(Invite.id, Invite.label).where(Invite.study_id == study.id)
            ).all()
        )
        seconds: defaultdict[str | None, float] = defaultdict(float)
        for table in (Judgment, CheckAnswer, ClipAnswer):
            rows = session.execute(
                sa.select(table.rater_id, table.seconds).where(table.study_id == study.id)
            )
            for rater, took in rows:
                seconds[rater] += min(took or 0.0, LONGEST_ANSWER_S)
        members = session.scalars(
            sa.select(Membership)
            .where(Membership.study_id == study.id)
            .order_by(Membership.joined, Membership.rater_id)
        )
        payments = []
        for member in members:
            status = read_rater_status(session, study, member.rater_id, settings)
            ending = ending_of(store, study, member.rater_id, settings, status)
            payments.append(
                Payment(
                    rater=member.rater_id,
                    platform=member.platform or "",
                    participant=member.participant or "",
                    session=member.platform_session or "",
                    invite=labels.get(member.invite_id or "", ""),
                    state=status.state,
                    held=status.held,
                    outcome=outcome_of(status) or "",
                    judged=status.answered,
                    skipped=status.skipped,
                    minutes_active=round(seconds[member.rater_id] / 60, 1),
                    code=ending.code if ending else "",
                )
            )
        return payments
