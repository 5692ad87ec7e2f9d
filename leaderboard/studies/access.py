"""Who may do what, decided on the server: secrets, admins, and limits on how often something is tried.

Functions that show or change what only an admin may see take an :class:`AdminIdentity`, and the functions
of this module are the only ones that give one. Secrets (of raters, invites, sessions) are kept as their
SHA-256 alone: they are long and random, so nothing slower is needed. Passwords are people's, and kept as
Argon2id.
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
"""How long an admin stays logged in."""

MIN_PASSWORD = 12
"""Characters of an admin's password."""

LOGINS_PER_MINUTE = 5
"""Attempts with one admin's name; more wait a minute."""

_hasher = PasswordHasher()
# Verified in place of the hash of an unknown name, so that both answers take as long.
_NOBODY = _hasher.hash(secrets.token_hex(16))
_limiter = MovingWindowRateLimiter(MemoryStorage())


class AccessDeniedError(StudyError):
    """Somebody asked for what this person may not see or do."""


class TooManyRequestsError(StudyError):
    """Somebody asked too often; later is fine."""


@dataclass(frozen=True)
class AdminIdentity:
    """An admin who has shown that it is them.

    Attributes:
        id: of the account; empty for whoever uses the command line, who can open the store's file.
        name: as events call them.
    """

    id: str
    name: str


def command_line_admin() -> AdminIdentity:
    """Who works on the server's own command line: the store is in their hands anyway."""
    return AdminIdentity("", "command line")


def new_secret() -> str:
    """A secret that cannot be guessed, fit for an address."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def throttle(what: str, key: str, per_minute: int) -> None:
    """Count an attempt.

    Args:
        what: what is tried, e.g. ``login``.
        key: by whom or at what; counted apart.
        per_minute: how many a minute are let through.

    Raises:
        TooManyRequestsError: this one is too many; it is not counted.
    """
    if not _limiter.hit(RateLimitItemPerMinute(per_minute), what, digest(key)):
        raise TooManyRequestsError(f"too many attempts ({what}); try again in a minute")


def add_admin(
    store: Store, name: str, *, password: str | None = None, email: str | None = None
) -> AdminIdentity:
    """Add an admin, or give one another password or e-mail address.

    Args:
        store: the leaderboard.
        name: the login's name.
        password: at least :data:`MIN_PASSWORD` characters; None keeps the present one.
        email: the address that OIDC vouches for; None keeps the present one.

    Raises:
        StudyError: the name, password or address cannot be used, or the address is another's.
    """
    name = checked_name(name, "admin's name")
    if password is not None and len(password) < MIN_PASSWORD:
        raise StudyError(f"the password has fewer than {MIN_PASSWORD} characters")
    if email is not None:
        email = email.strip().casefold()
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or len(email) > 200:
            raise StudyError(f"{email!r}: not an e-mail address")
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
    """Take an admin's rights away at once, open sessions included.

    Raises:
        StudyError: nobody is named so.
    """
    with store.write() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
        if admin is None:
            raise StudyError(f"no admin is named {name!r}")
        session.execute(sa.delete(AdminSession).where(AdminSession.admin_id == admin.id))
        session.delete(admin)


def admin_names(store: Store) -> list[str]:
    """Names of all admins."""
    with store.read() as session:
        return list(session.scalars(sa.select(Admin.name).order_by(Admin.name)))


def log_in(store: Store, name: str, password: str, *, now: datetime | None = None) -> str:
    """The secret of a new session of an admin, good for :data:`SESSION_HOURS`.

    Raises:
        AccessDeniedError: wrong name or password (which of them is not told).
        TooManyRequestsError: tried too often.
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
                token_sha256=digest(secret),
                admin_id=admin.id,
                expires=now + timedelta(hours=SESSION_HOURS),
            )
        )
    return secret


def log_out(store: Store, secret: str) -> None:
    """End a session of an admin."""
    with store.write() as session:
        session.execute(sa.delete(AdminSession).where(AdminSession.token_sha256 == digest(secret)))


def admin_of_session(
    store: Store, secret: str | None, *, now: datetime | None = None
) -> AdminIdentity:
    """The admin whose open session has this secret.

    Raises:
        AccessDeniedError: no such session, or its time is over.
    """
    with store.read() as session:
        row = session.execute(
            sa.select(Admin.id, Admin.name)
            .join(AdminSession, AdminSession.admin_id == Admin.id)
            .where(
                AdminSession.token_sha256 == digest(secret or ""),
                AdminSession.expires > (now or datetime.now(UTC)),
            )
        ).first()
    if row is None:
        raise AccessDeniedError("log in as an admin first")
    return AdminIdentity(row.id, row.name)


def admin_of_email(store: Store, email: str | None, *, verified: bool) -> AdminIdentity:
    """The admin with the e-mail address that an OIDC provider vouches for.

    Args:
        store: the leaderboard.
        email: from the provider's token.
        verified: its claim ``email_verified``; an address nobody has checked opens nothing.

    Raises:
        AccessDeniedError: not an admin's address, or not verified.
    """
    with store.read() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.email == (email or "").casefold()))
    if not verified or not email or admin is None:
        raise AccessDeniedError("this account is not an admin's")
    return AdminIdentity(admin.id, admin.name)


def store_secret(store: Store, purpose: str) -> str:
    """The store's own random secret for a purpose, made when first asked for, the same in every process."""
    if purpose not in store.secrets:
        with suppress(IntegrityError), store.write() as session:
            if session.get(StoreSecret, purpose) is None:
                session.add(StoreSecret(purpose=purpose, value=secrets.token_hex(32)))
        # Read back: another process may have been first.
        with store.read() as session:
            store.secrets[purpose] = session.get_one(StoreSecret, purpose).value
    return store.secrets[purpose]
