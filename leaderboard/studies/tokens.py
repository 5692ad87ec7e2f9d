"""API tokens: secrets by which programs act for an admin, without the admin's password.

A token is shown once, when it is made; the store has its hash. It may do what its admin may, or only read.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Admin, ApiToken
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    changes,
    hash_secret,
    is_secret,
    new_secret,
)
from leaderboard.studies.rules import checked_name

MAX_DAYS = 3650
"""Longest life of a token in days."""


@dataclass(frozen=True)
class TokenInfo:
    """A token, without its secret.

    Attributes:
        id: Opaque id.
        admin: Name of the admin for whom it acts.
        label: Note, e.g. the program that uses it.
        read_only: Whether it may change nothing.
        created: Time when it was made, UTC.
        expires: Time when it expires; None if it does not.
    """

    id: str
    admin: str
    label: str
    read_only: bool
    created: datetime
    expires: datetime | None


@changes
def create_token(
    store: Store,
    admin: AdminIdentity,
    owner: str,
    label: str,
    *,
    read_only: bool = False,
    days: int | None = None,
    now: datetime | None = None,
) -> str:
    """Make a token; returns its secret, which is not stored.

    Args:
        store: Leaderboard.
        admin: Admin who makes it.
        owner: Name of the admin for whom it acts.
        label: Note, e.g. the program that uses it.
        read_only: Whether it may change nothing.
        days: Days until it expires; None for never.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: The admin may only read, or makes a token for another admin.
        StudyError: There is no such admin, the label is not printable, or the number of days is not valid.
    """
    if admin.id and admin.name != owner:
        raise AccessDeniedError("an admin can make tokens for this account only")
    label = checked_name(label, "token's label")
    if days is not None and not 0 < days <= MAX_DAYS:
        raise StudyError(f"days: expected 1 to {MAX_DAYS}, got {days}")
    now = now or datetime.now(UTC)
    secret = new_secret()
    with store.write() as session:
        found = session.scalar(sa.select(Admin.id).where(Admin.name == owner))
        if found is None:
            raise StudyError(f"there is no admin named {owner!r}")
        session.add(
            ApiToken(
                admin_id=found,
                label=label,
                token_sha256=hash_secret(secret),
                read_only=read_only,
                created=now,
                expires=None if days is None else now + timedelta(days=days),
            )
        )
    return secret


def list_tokens(store: Store, admin: AdminIdentity) -> list[TokenInfo]:
    """The admin's tokens, the newest first; all of them for the command line."""
    query = sa.select(ApiToken, Admin.name).join(Admin, ApiToken.admin_id == Admin.id)
    if admin.id:
        query = query.where(Admin.id == admin.id)
    with store.read() as session:
        rows = session.execute(query.order_by(ApiToken.created.desc(), ApiToken.id)).all()
    return [
        TokenInfo(one.id, name, one.label, one.read_only, one.created, one.expires)
        for one, name in rows
    ]


@changes
def revoke_token(store: Store, admin: AdminIdentity, token_id: str) -> None:
    """Make a token invalid at once.

    Raises:
        AccessDeniedError: The admin may only read.
        StudyError: The admin has no such token.
    """
    if token_id not in {one.id for one in list_tokens(store, admin)}:
        raise StudyError("there is no such token")
    with store.write() as session:
        session.execute(sa.delete(ApiToken).where(ApiToken.id == token_id))


def admin_of_token(store: Store, secret: str, *, now: datetime | None = None) -> AdminIdentity:
    """The admin for whom a token acts.

    Raises:
        AccessDeniedError: There is no such token, or it has expired.
    """
    if is_secret(secret):
        with store.read() as session:
            row = session.execute(
                sa.select(ApiToken, Admin)
                .join(Admin, ApiToken.admin_id == Admin.id)
                .where(ApiToken.token_sha256 == hash_secret(secret))
            ).first()
        if row is not None:
            token, admin = row
            if token.expires is None or token.expires > (now or datetime.now(UTC)):
                return AdminIdentity(admin.id, admin.name, admin.read_only or token.read_only)
    raise AccessDeniedError("unknown token, or it has expired")
