"""Access control on the server: secrets, admins, and rate limits.

Functions that show or change what only an admin may see take an `AdminIdentity`, which only this module
gives out. Secrets (of raters, invites, sessions) are stored as SHA-256: they are long and random, so a slow
hash is not needed. Passwords are chosen by people and stored as Argon2id.
"""

import hashlib
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import IntegrityError

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Admin, AdminSession, StoreSecret, new_id
from leaderboard.studies.rules import checked_name

SESSION_HOURS = 12
"""Hours that an admin stays logged in."""

MIN_PASSWORD = 12
"""Minimum length of an admin's password in characters."""

LOGINS_PER_MINUTE = 5
"""Maximum number of login attempts per minute with one admin's name."""

_hasher = PasswordHasher()
# Verified if the name is unknown, so that both cases take equally long.
_NOBODY = _hasher.hash(secrets.token_hex(16))
_limiter = MovingWindowRateLimiter(MemoryStorage())


class AccessDeniedError(StudyError):
    """The person may not see or do this."""


class TooManyRequestsError(StudyError):
    """Too many attempts; later ones succeed."""


@dataclass(frozen=True)
class AdminIdentity:
    """An authenticated admin.

    Attributes:
        id: Id of the account; empty for the command line, whose user can open the store's file anyway.
        name: Name in audit events.
    """

    id: str
    name: str


def command_line_admin() -> AdminIdentity:
    """The admin identity of the server's command line, whose user has the store's file anyway."""
    return AdminIdentity("", "command line")


def new_secret() -> str:
    """A random secret that can be part of a URL."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Hash of a secret, as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def throttle(what: str, key: str, per_minute: int) -> None:
    """Count an attempt, and refuse it if there were too many.

    Args:
        what: Action, e.g. `login`.
        key: Person or thing whose attempts are counted together.
        per_minute: Maximum number of attempts per minute.

    Raises:
        TooManyRequestsError: The limit is reached; this attempt is not counted.
    """
    if not _limiter.hit(RateLimitItemPerMinute(per_minute), what, hash_secret(key)):
        raise TooManyRequestsError(f"too many attempts ({what}); try again in a minute")


def add_admin(
    store: Store, name: str, *, password: str | None = None, email: str | None = None
) -> AdminIdentity:
    """Add an admin, or change an admin's password or e-mail address.

    Args:
        store: Leaderboard.
        name: Login name.
        password: Password of at least `MIN_PASSWORD` characters; None keeps the current one.
        email: E-mail address that an OIDC provider confirms; None keeps the current one.

    Raises:
        StudyError: The name, password or address is not valid, or the address belongs to another admin.
    """
    name = checked_name(name, "admin's name")
    if password is not None and len(password) < MIN_PASSWORD:
        raise StudyError(
            f"password: expected at least {MIN_PASSWORD} characters, got {len(password)}"
        )
    if email is not None:
        email = email.strip().casefold()
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or len(email) > 200:
            raise StudyError(f"email: expected an e-mail address, got {email!r}")
    with store.write() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
        if admin is None:
            if password is None and email is None:
                raise StudyError(f"admin {name!r}: needs a password or an e-mail address")
            admin = Admin(id=new_id(), name=name, created=datetime.now(UTC))
            session.add(admin)
        if email is not None:
            holder = session.scalar(sa.select(Admin).where(Admin.email == email))
            if holder is not None and holder.id != admin.id:
                raise StudyError(f"{email}: belongs to another admin")
            admin.email = email
        if password is not None:
            admin.password_hash = _hasher.hash(password)
            session.execute(sa.delete(AdminSession).where(AdminSession.admin_id == admin.id))
        session.flush()
        return AdminIdentity(admin.id, admin.name)


def remove_admin(store: Store, name: str) -> None:
    """Remove an admin; open sessions end at once.

    Raises:
        StudyError: There is no admin of that name.
    """
    with store.write() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
        if admin is None:
            raise StudyError(f"there is no admin named {name!r}")
        session.execute(sa.delete(AdminSession).where(AdminSession.admin_id == admin.id))
        session.delete(admin)


def admin_names(store: Store) -> list[str]:
    """Names of all admins."""
    with store.read() as session:
        return list(session.scalars(sa.select(Admin.name).order_by(Admin.name)))


def log_in(store: Store, name: str, password: str, *, now: datetime | None = None) -> str:
    """Start a session of an admin; returns its secret, valid for `SESSION_HOURS`.

    Raises:
        AccessDeniedError: The name or the password is wrong; the message does not say which.
        TooManyRequestsError: There were too many attempts.
    """
    throttle("login", name, LOGINS_PER_MINUTE)
    now = now or datetime.now(UTC)
    with store.read() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
    known = admin.password_hash if admin is not None else None
    try:
        _hasher.verify(known or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        known = None
    if admin is None or known is None:
        raise AccessDeniedError("wrong name or password")
    secret = new_secret()
    with store.write() as session:
        session.execute(sa.delete(AdminSession).where(AdminSession.expires <= now))
        session.add(
            AdminSession(
                token_sha256=hash_secret(secret),
                admin_id=admin.id,
                expires=now + timedelta(hours=SESSION_HOURS),
            )
        )
    return secret


def log_out(store: Store, secret: str) -> None:
    """End a session of an admin."""
    with store.write() as session:
        session.execute(
            sa.delete(AdminSession).where(AdminSession.token_sha256 == hash_secret(secret))
        )


def admin_of_session(
    store: Store, secret: str | None, *, now: datetime | None = None
) -> AdminIdentity:
    """Return the admin to whom a session belongs.

    Raises:
        AccessDeniedError: There is no such session, or it has expired.
    """
    with store.read() as session:
        row = session.execute(
            sa.select(Admin.id, Admin.name)
            .join(AdminSession, AdminSession.admin_id == Admin.id)
            .where(
                AdminSession.token_sha256 == hash_secret(secret or ""),
                AdminSession.expires > (now or datetime.now(UTC)),
            )
        ).first()
    if row is None:
        raise AccessDeniedError("log in as an admin first")
    return AdminIdentity(row.id, row.name)


def admin_of_email(store: Store, email: str | None, *, verified: bool) -> AdminIdentity:
    """The admin with an e-mail address that an OIDC provider confirms.

    Args:
        store: Leaderboard.
        email: Address in the provider's token.
        verified: Claim `email_verified` of the token; an unverified address is refused.

    Raises:
        AccessDeniedError: The address is not an admin's, or is not verified.
    """
    with store.read() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.email == (email or "").casefold()))
    if not verified or not email or admin is None:
        raise AccessDeniedError("this account does not belong to an admin")
    return AdminIdentity(admin.id, admin.name)


def store_secret(store: Store, purpose: str) -> str:
    """The store's random secret for a purpose, the same in every process; made at first use."""
    if purpose not in store.secrets:
        with suppress(IntegrityError), store.write() as session:
            if session.get(StoreSecret, purpose) is None:
                session.add(StoreSecret(purpose=purpose, value=secrets.token_hex(32)))
        # Read back: another process may have been first.
        with store.read() as session:
            store.secrets[purpose] = session.get_one(StoreSecret, purpose).value
    return store.secrets[purpose]
