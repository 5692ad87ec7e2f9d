"""The audit log of a study: events about it, its raters and their answers, added and never changed.

- `settings`: the study is judged under other settings from now on (`data` holds all of them);
- `ban`, `unban`: a rater's judgments leave the ratings, or return; nothing is deleted;
- `withdraw`: a rater withdrew an answer; the judgment stays but does not count in ratings;
- `erase`: a rater's personal data was erased; the votes stay;
- `requalify`: a rater may try the qualification again;
- `attach`: a participant continued in another browser;
- `ask`, `allow`: a participant came in another browser while one was active, and an admin lets the person continue there;
- `hold`, `release`: a rater gets no completion code, or gets it after all.

The current state follows from the events in order of their numbers, so ratings change at once and the whole
history can be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Assignment, AttentionCheck, ClipShowing, Event, Rater
from leaderboard.studies.access import AdminIdentity, changes
from leaderboard.studies.rules import StudyInfo

BY_RATER, BY_RULE = "rater", "rule"
"""Cause of an event that no admin caused: the rater, or a setting of the study."""


@changes
def ban(store: Store, study: StudyInfo, admin: AdminIdentity, rater_id: str, reason: str) -> None:
    """Take a rater's judgments out of the study's ratings; the rater may not judge any more.

    Raises:
        StudyError: There is no such rater, or the rater is banned already.
    """
    with store.write() as session:
        _require_rater(session, rater_id)
        if rater_log(session, study.id, rater_id).banned:
            raise StudyError(f"rater {rater_id} is banned already")
        record_ban(session, study.id, rater_id, admin.name, reason)


@changes
def unban(store: Store, study: StudyInfo, admin: AdminIdentity, rater_id: str, reason: str) -> None:
    """Undo a ban: the rater's judgments count again, and the rater may continue.

    Raises:
        StudyError: There is no such rater, or the rater is not banned.
    """
    with store.write() as session:
        _require_rater(session, rater_id)
        if not rater_log(session, study.id, rater_id).banned:
            raise StudyError(f"rater {rater_id} is not banned")
        add_event(
            session, study.id, "unban", admin.name, rater_id=rater_id, data={"reason": reason}
        )


@changes
def requalify(store: Store, study: StudyInfo, admin: AdminIdentity, rater_id: str) -> None:
    """Let a rater try the qualification again.

    Raises:
        StudyError: There is no such rater.
    """
    with store.write() as session:
        _require_rater(session, rater_id)
        add_event(session, study.id, "requalify", admin.name, rater_id=rater_id)


@changes
def release(store: Store, study: StudyInfo, admin: AdminIdentity, rater_id: str) -> None:
    """Let a rater who is held for review have the completion code.

    Raises:
        StudyError: There is no such rater, or the rater is not held.
    """
    with store.write() as session:
        _require_rater(session, rater_id)
        if not rater_log(session, study.id, rater_id).held:
            raise StudyError(f"rater {rater_id} is not held for review")
        add_event(session, study.id, "release", admin.name, rater_id=rater_id)


@dataclass(frozen=True)
class RaterLog:
    """What the events of a study say about one rater.

    Attributes:
        banned: Whether the latest ban was not undone.
        held: Whether the rater is held for review: no completion code until an admin releases the rater.
        withdrawn: Ids of the judgments and answers to attention checks that the rater withdrew.
        requalified: When the rater was last permitted to try the qualification again; None for never.
    """

    banned: bool
    held: bool
    withdrawn: frozenset[str]
    requalified: datetime | None


def rater_log(session: Session, study_id: str, rater_id: str) -> RaterLog:
    """The events about one rater, read at once."""
    rows = session.execute(
        sa.select(Event.kind, Event.answer_id, Event.created)
        .where(Event.study_id == study_id, Event.rater_id == rater_id)
        .order_by(Event.number)
    ).all()
    latest = {kind: number for number, (kind, _, _) in enumerate(rows)}
    again = latest.get("requalify")
    return RaterLog(
        banned=latest.get("ban", -1) > latest.get("unban", -1),
        held=latest.get("hold", -1) > latest.get("release", -1),
        withdrawn=frozenset(
            answer for kind, answer, _ in rows if kind == "withdraw" and answer is not None
        ),
        requalified=None if again is None else rows[again].created,
    )


def history(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[Event]:
    """All events of a study, the newest first."""
    with store.read() as session:
        found = sa.select(Event).where(Event.study_id == study.id).order_by(Event.number.desc())
        return list(session.scalars(found))


def add_event(
    session: Session,
    study_id: str | None,
    kind: str,
    by: str,
    *,
    rater_id: str | None = None,
    answer_id: str | None = None,
    data: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> None:
    """Add an event within a transaction; see the module for the kinds."""
    session.add(
        Event(
            study_id=study_id,
            kind=kind,
            rater_id=rater_id,
            answer_id=answer_id,
            by=by,
            data=dict(data or {}),
            created=now or datetime.now(UTC),
        )
    )
    session.flush()


def record_ban(session: Session, study_id: str, rater_id: str, by: str, reason: str) -> None:
    """Add a ban within a transaction, and end the rater's reservations."""
    now = datetime.now(UTC)
    add_event(session, study_id, "ban", by, rater_id=rater_id, data={"reason": reason}, now=now)
    give_back(session, study_id, rater_id, now)


def give_back(session: Session, study_id: str, rater_id: str, now: datetime) -> None:
    """End a rater's reservations, so that unanswered pairs are served to others."""
    for table in (Assignment, AttentionCheck, ClipShowing):
        session.execute(
            sa.update(table)
            .where(table.study_id == study_id, table.rater_id == rater_id, table.expires > now)
            .values(expires=now)
        )


def banned_raters(session: Session, study_id: str) -> set[str]:
    """Ids of the raters whose latest ban was not undone."""
    rows = session.execute(
        sa.select(Event.rater_id, Event.kind)
        .where(Event.study_id == study_id, Event.kind.in_(("ban", "unban")))
        .order_by(Event.number)
    )
    latest = dict(rows.all())
    return {rater for rater, kind in latest.items() if rater is not None and kind == "ban"}


def withdrawn_answers(session: Session, study_id: str, rater_id: str | None = None) -> set[str]:
    """Ids of the judgments and answers to attention checks that their raters withdrew."""
    query = sa.select(Event.answer_id).where(Event.study_id == study_id, Event.kind == "withdraw")
    if rater_id is not None:
        query = query.where(Event.rater_id == rater_id)
    return {answer for answer in session.scalars(query) if answer is not None}


def _require_rater(session: Session, rater_id: str) -> None:
    if session.get(Rater, rater_id) is None:
        raise StudyError(f"there is no rater with the id {rater_id}")
