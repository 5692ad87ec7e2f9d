"""Invites: links that let raters into a study."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Invite, Membership, count
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    changes,
    hash_secret,
    new_secret,
)
from leaderboard.studies.rules import StudyInfo, checked_name, get_study
from leaderboard.studies.settings import read_settings

ENOUGH = "this study has all the answers that it needs; thank you"
"""Said to who has not begun where the stop rule of the study holds."""


class StudyFullError(AccessDeniedError):
    """As many raters have joined with an invite as it lets in, or the study has enough answers."""


@dataclass(frozen=True)
class InviteInfo:
    """An invite, as an admin sees it; its token is shown only once, when it is made.

    Attributes:
        id: Opaque id.
        label: Admin's note, e.g. whom it is for.
        max_raters: Number of raters who may join with it; None for any number.
        raters: Number of raters who have joined with it.
        expires: Time when it expires; None if it does not.
        revoked: Time when it was revoked; None if it was not.
    """

    id: str
    label: str
    max_raters: int | None
    raters: int
    expires: datetime | None
    revoked: datetime | None


@changes
def create_invite(
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    label: str,
    *,
    max_raters: int | None = None,
    expires: datetime | None = None,
) -> str:
    """Make an invite; returns its token, which is not stored: the link is `/?invite=TOKEN`.

    Args:
        store: Leaderboard.
        study: Study that the invite lets raters into.
        admin: Admin who makes it.
        label: Note for admins, e.g. whom it is for.
        max_raters: Number of raters who may join with it; None for any number.
        expires: Time when it expires; None if it does not.

    Raises:
        StudyError: The label is not printable, or the limit is below 1; or the crowd platform needs settings that
            are missing.
    """
    label = checked_name(label, "label of the invite")
    if max_raters is not None and max_raters < 1:
        raise StudyError(f"max_raters: expected at least 1, got {max_raters}")
    token = new_secret()
    with store.write() as session:
        if missing := read_settings(session, study.id).missing:
            raise StudyError(
                f"no invite can be made yet; missing in the settings: {'; '.join(missing)}"
            )
        session.add(
            Invite(
                study_id=study.id,
                token_sha256=hash_secret(token),
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


@changes
def revoke_invite(store: Store, study: StudyInfo, admin: AdminIdentity, invite_id: str) -> None:
    """Let no more raters join with an invite; those who have joined stay.

    Raises:
        StudyError: The study has no such invite.
    """
    with store.write() as session:
        invite = session.get(Invite, invite_id)
        if invite is None or invite.study_id != study.id:
            raise StudyError("the study has no such invite")
        invite.revoked = invite.revoked or datetime.now(UTC)


def study_of_invite(store: Store, token: str) -> StudyInfo | None:
    """The study of an invite; None if there is no such invite."""
    with store.read() as session:
        study_id = session.scalar(
            sa.select(Invite.study_id).where(Invite.token_sha256 == hash_secret(token))
        )
    return None if study_id is None else get_study(store, study_id)


def check_invite(store: Store, study: StudyInfo, token: str) -> None:
    """Check that one more rater may join a study with an invite.

    Raises:
        AccessDeniedError: The invite is unknown, used up, expired or revoked.
    """
    with store.read() as session:
        admit(session, study, token, datetime.now(UTC))


def belongs_to(session: Session, study: StudyInfo, token: str) -> bool:
    """Whether a token is that of an invite of a study, whether or not more raters may join with it."""
    return (
        count(session, Invite.token_sha256 == hash_secret(token), Invite.study_id == study.id) > 0
    )


def admit(session: Session, study: StudyInfo, token: str, now: datetime) -> Invite:
    """The invite, if one more rater may join; its row is locked, so that no two take the last place.

    Raises:
        AccessDeniedError: The invite is unknown, expired or revoked; a `StudyFullError` if it is used up.
    """
    invite = session.scalar(
        sa.select(Invite)
        .where(Invite.token_sha256 == hash_secret(token), Invite.study_id == study.id)
        .with_for_update()
    )
    if invite is None:
        raise AccessDeniedError(
            "unknown invitation; open the link you were sent again", "unknown_invite"
        )
    if invite.revoked is not None or (invite.expires is not None and invite.expires <= now):
        raise AccessDeniedError(
            "this invitation has expired or was revoked; ask for a new one", "invite_expired"
        )
    used = count(session, Membership.invite_id == invite.id)
    if invite.max_raters is not None and used >= invite.max_raters:
        raise StudyFullError(
            "this invitation was already used; continue in the browser that you started in",
            "invite_used",
        )
    return invite
