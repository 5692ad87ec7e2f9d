"""Raters: how they join a study, where they stand in it, and how they are forgotten.

A rater is whoever holds a secret: the app keeps it in a cookie, a front end of one's own sends it with
each request. To join, the secret is presented once together with an invite's token (unless the study is
open to all) and consent to the study's text.
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
from leaderboard.store.database import Store
from leaderboard.store.models import (
    ERASED,
    Check,
    CheckAnswer,
    Invite,
    Judgment,
    Membership,
    Rater,
    new_id,
)
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    digest,
    new_secret,
    store_secret,
)
from leaderboard.studies.events import (
    BY_RATER,
    banned_raters,
    give_back,
    record,
    withdrawn_answers,
)
from leaderboard.studies.rules import StudyInfo, checked_name, get_study
from leaderboard.studies.settings import JudgingSettings, read_settings

PLATFORMS = ("prolific", "mturk", "other")
"""Crowd platforms whose name for a participant can be kept."""

State = Literal["invite", "consent", "qualify", "failed", "judge", "done", "banned"]


@dataclass(frozen=True)
class Standing:
    """Where a rater stands in a study.

    Attributes:
        state: ``invite`` (needs an invitation), ``consent`` (must agree to the study's text),
            ``qualify`` (answers known pairs first), ``failed`` (the qualification), ``judge``, ``done``
            (has answered the pairs asked for) or ``banned``.
        answered: pairs answered and not taken back; checks count like other pairs, the qualification's
            do not.
        checks: how many of these were checks; for the server only, raters must not learn it.
        limit: how many the study asks of a rater, None for all there are.
        qualification: how far the rater is with it.
    """

    state: State
    answered: int
    checks: int
    limit: int | None
    qualification: Qualification


@dataclass(frozen=True)
class InviteInfo:
    """An invite, as an admin sees it; its token is shown once, when it is made.

    Attributes:
        id: opaque.
        label: the admin's note, e.g. for whom it is.
        max_raters: how many may join by it, None for any number.
        raters: how many have.
        expires, revoked: until when it is good, and when it was taken back; None for neither.
    """

    id: str
    label: str
    max_raters: int | None
    raters: int
    expires: datetime | None
    revoked: datetime | None


def register_rater(store: Store, token: str, name: str | None = None) -> str:
    """The id of the rater who holds a secret; added when the secret is new, renamed when a name is given.

    Only the secret's hash is stored. Being known is no right to judge: see :func:`standing`.

    Raises:
        StudyError: the name cannot be shown.
    """
    name = checked_name(name, "name") if name else None
    with store.read() as session:
        rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == digest(token)))
    if rater is not None and name in (None, rater.name):
        return rater.id
    with store.write() as session:
        rater = _rater_of(session, token)
        rater.name = name or rater.name
        return rater.id


def find_rater(store: Store, token: str) -> str:
    """The id of the rater who holds a secret.

    Raises:
        AccessDeniedError: nobody does.
    """
    with store.read() as session:
        rater = session.scalar(sa.select(Rater.id).where(Rater.token_sha256 == digest(token)))
    if rater is None:
        raise AccessDeniedError("this rater is not known here; join the study first")
    return rater


def create_invite(
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    label: str,
    *,
    max_raters: int | None = None,
    expires: datetime | None = None,
) -> str:
    """Make an invite; returns its token, which is kept nowhere: the link is ``/?invite=TOKEN``.

    Args:
        store: the leaderboard.
        study: into which it lets raters.
        admin: who makes it.
        label: a note, e.g. for whom it is.
        max_raters: how many may join by it; 1 for a personal one, None for any number.
        expires: until when, None for ever.

    Raises:
        StudyError: a label that cannot be shown, or a limit below 1.
    """
    label = checked_name(label, "label of the invite")
    if max_raters is not None and max_raters < 1:
        raise StudyError("an invite is for at least 1 rater")
    token = new_secret()
    with store.write() as session:
        session.add(
            Invite(
                study_id=study.id,
                token_sha256=digest(token),
                label=label,
                max_raters=max_raters,
                expires=expires,
                created=datetime.now(UTC),
            )
        )
    return token


def list_invites(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[InviteInfo]:
    """All invites of a study, the newest first."""
    with store.read() as session:
        used = dict(
            session.execute(
                sa.select(Membership.invite_id, sa.func.count()).group_by(Membership.invite_id)
            ).all()
        )
        invites = session.scalars(
            sa.select(Invite).where(Invite.study_id == study.id).order_by(Invite.created.desc())
        )
        return [
            InviteInfo(
                one.id, one.label, one.max_raters, used.get(one.id, 0), one.expires, one.revoked
            )
            for one in invites
        ]


def revoke_invite(store: Store, study: StudyInfo, admin: AdminIdentity, invite_id: str) -> None:
    """Let nobody join by an invite any more; those who have stay.

    Raises:
        StudyError: the study has no such invite.
    """
    with store.write() as session:
        invite = session.get(Invite, invite_id)
        if invite is None or invite.study_id != study.id:
            raise StudyError("the study has no such invite")
        invite.revoked = invite.revoked or datetime.now(UTC)


def study_of_invite(store: Store, token: str) -> StudyInfo | None:
    """The study into which an invite lets raters, None where nobody knows it."""
    with store.read() as session:
        study_id = session.scalar(
            sa.select(Invite.study_id).where(Invite.token_sha256 == digest(token))
        )
    return None if study_id is None else get_study(store, study_id)


def check_invite(store: Store, study: StudyInfo, token: str) -> None:
    """Say before anybody joins whether an invite still lets one more rater into a study.

    Raises:
        AccessDeniedError: it is unknown, used up, over or taken back.
    """
    with store.read() as session:
        invite = session.scalar(_invite_of(study, token))
        _require_open(session, invite, datetime.now(UTC))


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
        store: the leaderboard.
        study: the study.
        token: the rater's own secret.
        invite: an invite's token; needed unless the study is open or the rater is in it.
        consent: whether the rater agreed to the study's present text of consent.
        name: for the admin's list, optional, erasable.
        platform: one of :data:`PLATFORMS`, with ``participant``.
        participant: the platform's name for this person; nobody can join twice under it.

    Raises:
        AccessDeniedError: no invite, or one that is used up, over or taken back; the participant has
            joined before under another secret.
        StudyError: a name that cannot be shown, or an unknown platform.
    """
    now = now or datetime.now(UTC)
    name = checked_name(name, "name") if name else None
    if participant is not None:
        participant = checked_name(participant, "participant's id")
        if platform not in PLATFORMS:
            raise StudyError(f"platform {platform!r}: one of {', '.join(PLATFORMS)}")
    with store.write() as session:
        settings = read_settings(session, study.id)
        known = session.scalar(sa.select(Rater.id).where(Rater.token_sha256 == digest(token)))
        member = session.get(Membership, (study.id, known)) if known else None
        if member is None:
            admitted = None if invite is None else _admit(session, study, invite, now)
            if admitted is None and not settings.open_signup:
                raise AccessDeniedError("this study takes raters by invitation; open your link")
            if participant is not None and session.scalar(
                sa.select(Membership.rater_id).where(
                    Membership.study_id == study.id,
                    Membership.platform == platform,
                    Membership.participant == participant,
                )
            ):
                raise AccessDeniedError(
                    "this participant has joined already; go on in the browser you began in"
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


def standing(store: Store, study: StudyInfo, rater_id: str) -> Standing:
    """Where a rater stands in a study."""
    with store.read() as session:
        return read_standing(session, study, rater_id)


def read_standing(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    settings: JudgingSettings | None = None,
) -> Standing:
    """Where a rater stands in a study, within a transaction."""
    settings = settings or read_settings(session, study.id)
    member = session.get(Membership, (study.id, rater_id))
    qualified = qualification(session, study.id, rater_id, settings)
    judged, checks = _answers_that_count(session, study.id, rater_id)
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
    return Standing(state, answered, checks, settings.pairs_per_rater, qualified)


def _answers_that_count(session: Session, study_id: str, rater_id: str) -> tuple[int, int]:
    """How many pairs and how many checks a rater has answered and not taken back."""
    gone = withdrawn_answers(session, study_id, rater_id)
    judgments = session.scalars(
        sa.select(Judgment.id).where(
            Judgment.study_id == study_id,
            Judgment.rater_id == rater_id,
            Judgment.source == "human",
        )
    )
    checks = session.scalars(
        sa.select(CheckAnswer.id)
        .join(Check, CheckAnswer.check_id == Check.id)
        .where(
            CheckAnswer.study_id == study_id,
            CheckAnswer.rater_id == rater_id,
            Check.kind != "qualification",
        )
    )
    return sum(one not in gone for one in judgments), sum(one not in gone for one in checks)


def completion(store: Store, study: StudyInfo, rater_id: str) -> tuple[str, str] | None:
    """The code that shows a crowd platform that a rater is done, and the address to go to (or "").

    None while the rater is not done. The caller who knows that there are no pairs left for a rater may
    use :func:`completion_code` itself.
    """
    if standing(store, study, rater_id).state != "done":
        return None
    return completion_code(store, study, rater_id)


def completion_code(store: Store, study: StudyInfo, rater_id: str) -> tuple[str, str]:
    """A rater's code and the platform's address with it filled in; only for raters who are done."""
    with store.read() as session:
        settings = read_settings(session, study.id)
    code = settings.completion_code or _own_code(store, study.id, rater_id)
    return code, settings.completion_url.replace("{code}", code)


def rater_of_code(store: Store, study: StudyInfo, admin: AdminIdentity, code: str) -> str | None:
    """Whose own completion code this is, None for nobody's."""
    with store.read() as session:
        raters = session.scalars(
            sa.select(Judgment.rater_id).where(Judgment.study_id == study.id).distinct()
        )
        for rater_id in raters:
            if rater_id and hmac.compare_digest(
                _own_code(store, study.id, rater_id), code.strip().upper()
            ):
                return rater_id
    return None


def erase(store: Store, rater_id: str, by: str = BY_RATER) -> None:
    """Forget a person: name, secret, the platform's id, all words they wrote and when they played what.

    The votes stay: who won, the answers to the task's questions, the time an answer took.

    Under the secret that the browser still keeps a new rater would begin.

    Args:
        store: the leaderboard.
        rater_id: who asked for it.
        by: who does it: the rater, or an admin's name.

    Raises:
        StudyError: no such rater.
    """
    with store.write() as session:
        rater = session.get(Rater, rater_id)
        if rater is None:
            raise StudyError(f"no rater has the id {rater_id}")
        rater.name = None
        # Not of a digest's form: no secret leads here any more.
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
            record(session, study_id, "erase", by, rater_id=rater_id, now=now)


def _studies_of(session: Session, rater_id: str) -> Collection[str]:
    return {
        *session.scalars(sa.select(Membership.study_id).where(Membership.rater_id == rater_id)),
        *session.scalars(
            sa.select(Judgment.study_id).where(Judgment.rater_id == rater_id).distinct()
        ),
    }


def _rater_of(session: Session, token: str) -> Rater:
    """The rater with a secret, added when there is none."""
    rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == digest(token)))
    if rater is None:
        rater = Rater(id=new_id(), token_sha256=digest(token), created=datetime.now(UTC))
        session.add(rater)
        session.flush()
    return rater


def _admit(session: Session, study: StudyInfo, token: str, now: datetime) -> Invite:
    """The invite, if one more may join by it; its row is locked, so that no two take the last place."""
    invite = session.scalar(_invite_of(study, token).with_for_update())
    return _require_open(session, invite, now)


def _invite_of(study: StudyInfo, token: str) -> sa.Select[Invite]:
    return sa.select(Invite).where(
        Invite.token_sha256 == digest(token), Invite.study_id == study.id
    )


def _require_open(session: Session, invite: Invite | None, now: datetime) -> Invite:
    """The invite, if one more may join by it.

    Raises:
        AccessDeniedError: nobody may.
    """
    if invite is None:
        raise AccessDeniedError("this invitation is not known here; open your link again")
    if invite.revoked is not None or (invite.expires is not None and invite.expires <= now):
        raise AccessDeniedError("this invitation is over; ask for another")
    used = session.scalar(
        sa.select(sa.func.count()).select_from(Membership).where(Membership.invite_id == invite.id)
    )
    if invite.max_raters is not None and (used or 0) >= invite.max_raters:
        raise AccessDeniedError("this invitation has been used; go on in the browser you began in")
    return invite


def _own_code(store: Store, study_id: str, rater_id: str) -> str:
    key = bytes.fromhex(store_secret(store, "completion"))
    return hmac.new(key, f"{study_id}:{rater_id}".encode(), "sha256").hexdigest()[:12].upper()
