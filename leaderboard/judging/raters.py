"""Raters: how they join a study, what state they are in, and how their personal data is erased.

A rater is identified by a secret: the app keeps it in a cookie, other front ends send it with each
request. To join, the secret is presented once together with an invite's token (unless the study is open
to all) and consent to the study's text.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.attention_checks import Qualification, qualification
from leaderboard.judging.invites import admit
from leaderboard.store.database import Store
from leaderboard.store.models import (
    ERASED,
    AttentionCheck,
    CheckAnswer,
    ClipAnswer,
    ClipQuestion,
    ClipShowing,
    Judgment,
    Membership,
    Rater,
    count,
    new_id,
)
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    hash_secret,
    store_secret,
)
from leaderboard.studies.events import (
    BY_RATER,
    add_event,
    banned_raters,
    give_back,
    withdrawn_answers,
)
from leaderboard.studies.rules import StudyInfo, checked_name
from leaderboard.studies.settings import JudgingSettings, read_settings

PLATFORMS = ("prolific", "mturk", "other")
"""Crowd platforms whose participant ids can be stored."""

State = Literal["invite", "consent", "qualify", "failed", "judge", "done", "banned"]


@dataclass(frozen=True)
class RaterStatus:
    """State of a rater in a study.

    Attributes:
        state: `invite` (needs an invitation), `consent` (must agree to the study's text), `qualify`
            (answers known pairs first), `failed` (did not pass the qualification), `judge`, `done` (has
            answered all pairs asked for) or `banned`.
        answered: Number of pairs answered and not withdrawn. Attention checks count like other pairs; the
            qualification's pairs do not count.
        attention_checks: Number of attention checks among them; raters must not learn it.
        limit: Number of pairs that the study asks of a rater; None for all pairs.
        qualification: Progress of the qualification.
    """

    state: State
    answered: int
    attention_checks: int
    limit: int | None
    qualification: Qualification


def register_rater(store: Store, token: str, name: str | None = None) -> str:
    """The id of the rater with a secret. A new secret makes a new rater; a given name is stored.

    Only the secret's hash is stored. A registered rater may not judge yet: see `rater_status`.

    Raises:
        StudyError: The name is not printable, or too long.
    """
    name = checked_name(name, "name") if name else None
    with store.read() as session:
        rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == hash_secret(token)))
    if rater is not None and name in (None, rater.name):
        return rater.id
    with store.write() as session:
        rater = _rater_of(session, token)
        rater.name = name or rater.name
        return rater.id


def find_rater(store: Store, token: str) -> str:
    """The id of the rater with a secret.

    Raises:
        AccessDeniedError: No rater has it.
    """
    with store.read() as session:
        rater = session.scalar(sa.select(Rater.id).where(Rater.token_sha256 == hash_secret(token)))
    if rater is None:
        raise AccessDeniedError("unknown rater; join the study first")
    return rater


def join(
    store: Store,
    study: StudyInfo,
    token: str,
    *,
    invite: str | None = None,
    consent: bool = False,
    name: str | None = None,
    platform: str | None = None,
    participant: str | None = None,
    now: datetime | None = None,
) -> str:
    """Let a rater into a study, or add consent; returns the rater's id. Joining again changes nothing.

    Args:
        store: Leaderboard.
        study: Study to join.
        token: Rater's own secret.
        invite: Token of an invite; required unless the study is open or the rater has joined before.
        consent: Whether the rater agreed to the study's current consent text.
        name: Name for the admin's list; optional, and can be erased.
        platform: Crowd platform, one of `PLATFORMS`; required with `participant`.
        participant: Person's id on the platform; each may join a study once.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: There is no invite, or it is used up, expired or revoked; or the participant
            has joined before with another secret.
        StudyError: The name is not printable, or the platform is unknown.
    """
    now = now or datetime.now(UTC)
    name = checked_name(name, "name") if name else None
    if participant is not None:
        participant = checked_name(participant, "participant's id")
        if platform not in PLATFORMS:
            raise StudyError(f"platform: expected one of {', '.join(PLATFORMS)}, got {platform!r}")
    with store.write() as session:
        settings = read_settings(session, study.id)
        known = session.scalar(sa.select(Rater.id).where(Rater.token_sha256 == hash_secret(token)))
        member = session.get(Membership, (study.id, known)) if known else None
        if member is None:
            admitted = None if invite is None else admit(session, study, invite, now)
            if admitted is None and not settings.open_signup:
                raise AccessDeniedError(
                    "this study is by invitation only; open the link you were sent"
                )
            if participant is not None and session.scalar(
                sa.select(Membership.rater_id).where(
                    Membership.study_id == study.id,
                    Membership.platform == platform,
                    Membership.participant == participant,
                )
            ):
                raise AccessDeniedError(
                    "this participant has joined already; continue in the browser that you started in"
                )
            member = Membership(
                study_id=study.id,
                rater_id=_rater_of(session, token).id,
                invite_id=admitted.id if admitted else None,
                platform=platform if participant is not None else None,
                participant=participant,
                joined=now,
            )
            session.add(member)
        if consent and settings.consent_sha256 != member.consent_sha256:
            member.consented, member.consent_sha256 = now, settings.consent_sha256
        if name:
            session.get_one(Rater, member.rater_id).name = name
        return member.rater_id


def rater_status(store: Store, study: StudyInfo, rater_id: str) -> RaterStatus:
    """State of a rater in a study."""
    with store.read() as session:
        return read_rater_status(session, study, rater_id)


def read_rater_status(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    settings: JudgingSettings | None = None,
) -> RaterStatus:
    """State of a rater in a study, within a transaction."""
    settings = settings or read_settings(session, study.id)
    member = session.get(Membership, (study.id, rater_id))
    qualified = qualification(session, study.id, rater_id, settings)
    judged, checks = _answers_that_count(session, study, rater_id)
    answered = judged + checks
    state: State = "judge"
    if rater_id in banned_raters(session, study.id):
        state = "banned"
    elif member is None and not settings.open_signup:
        state = "invite"
    elif settings.consent and (member is None or member.consent_sha256 != settings.consent_sha256):
        state = "consent"
    elif qualified.state == "failed":
        state = "failed"
    elif qualified.state == "open":
        state = "qualify"
    elif settings.pairs_per_rater is not None and answered >= settings.pairs_per_rater:
        state = "done"
    return RaterStatus(state, answered, checks, settings.pairs_per_rater, qualified)


def _answers_that_count(session: Session, study: StudyInfo, rater_id: str) -> tuple[int, int]:
    """Numbers of pairs and of attention checks that a rater has answered and not withdrawn."""
    study_id = study.id
    gone = withdrawn_answers(session, study_id, rater_id)
    if study.rules.clips:
        own = (
            ClipAnswer.study_id == study_id,
            ClipAnswer.rater_id == rater_id,
            ClipAnswer.dropped == "",
            ClipAnswer.id.not_in(gone),
            ClipAnswer.showing_id == ClipShowing.id,
            ClipShowing.question_id == ClipQuestion.id,
        )
        ordinary = (ClipShowing.repeats.is_(None), ClipQuestion.gold.is_(None))
        judged = count(session, *own, *ordinary)
        return judged, count(session, *own) - judged
    judgments = count(
        session,
        Judgment.study_id == study_id,
        Judgment.rater_id == rater_id,
        Judgment.source == "human",
        Judgment.id.not_in(gone),
    )
    checks = count(
        session,
        CheckAnswer.check_id == AttentionCheck.id,
        CheckAnswer.study_id == study_id,
        CheckAnswer.rater_id == rater_id,
        CheckAnswer.id.not_in(gone),
        AttentionCheck.kind != "qualification",
    )
    return judgments, checks


def completion_code(
    store: Store, study: StudyInfo, rater_id: str, settings: JudgingSettings
) -> tuple[str, str]:
    """Completion code of a rater who is done, and the platform's address with the code filled in."""
    code = settings.completion_code or _own_code(store, study.id, rater_id)
    return code, settings.completion_url.replace("{code}", code)


def rater_of_code(store: Store, study: StudyInfo, admin: AdminIdentity, code: str) -> str | None:
    """Id of the rater with this personal completion code; None if there is none."""
    with store.read() as session:
        raters = session.scalars(
            sa.union(
                *(
                    sa.select(table.rater_id).where(table.study_id == study.id)
                    for table in (Judgment, ClipAnswer)
                )
            )
        )
        for rater_id in raters:
            if rater_id and hmac.compare_digest(
                _own_code(store, study.id, rater_id), code.strip().upper()
            ):
                return rater_id
    return None


def erase(store: Store, rater_id: str, by: str = BY_RATER) -> None:
    """Erase a rater's personal data: name, secret, platform id, written reasons and player events.

    The votes stay: who won, the answers to the task's questions, the time an answer took. The secret that
    the browser still keeps would start a new rater.

    Args:
        store: Leaderboard.
        rater_id: Rater to erase.
        by: Who does it: `rater`, or an admin's name.

    Raises:
        StudyError: There is no such rater.
    """
    with store.write() as session:
        rater = session.get(Rater, rater_id)
        if rater is None:
            raise StudyError(f"there is no rater with the id {rater_id}")
        rater.name = None
        # Not a SHA-256, so no secret matches it.
        rater.token_sha256 = f"{ERASED}{rater_id}"
        now = datetime.now(UTC)
        for member in session.scalars(sa.select(Membership).where(Membership.rater_id == rater_id)):
            member.platform = member.participant = None
        for table in (Judgment, CheckAnswer):
            session.execute(
                sa.update(table)
                .where(table.rater_id == rater_id)
                .values(justification="", video_events=[])
            )
        for study_id in _studies_of(session, rater_id):
            give_back(session, study_id, rater_id, now)
            add_event(session, study_id, "erase", by, rater_id=rater_id, now=now)


def _studies_of(session: Session, rater_id: str) -> Collection[str]:
    return {
        *session.scalars(sa.select(Membership.study_id).where(Membership.rater_id == rater_id)),
        *session.scalars(
            sa.union(
                *(
                    sa.select(table.study_id).where(table.rater_id == rater_id)
                    for table in (Judgment, ClipAnswer)
                )
            )
        ),
    }


def _rater_of(session: Session, token: str) -> Rater:
    """The rater with a secret, added if there is none."""
    rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == hash_secret(token)))
    if rater is None:
        rater = Rater(id=new_id(), token_sha256=hash_secret(token), created=datetime.now(UTC))
        session.add(rater)
        session.flush()
    return rater


def _own_code(store: Store, study_id: str, rater_id: str) -> str:
    key = bytes.fromhex(store_secret(store, "completion"))
    return hmac.new(key, f"{study_id}:{rater_id}".encode(), "sha256").hexdigest()[:12].upper()
