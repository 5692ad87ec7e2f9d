"""Access control on the server: secrets, admins, and rate limits.

Functions that show or change what only an admin may see take an `AdminIdentity`, which only this module
gives out. Secrets (of raters, invites, sessions) are stored as SHA-256: they are long and random, so a slow
hash is not needed. Passwords are chosen by people and stored as Argon2id.

Attempts are counted by the address that they come from, never by the name of an account: somebody who knows an admin's name
could otherwise keep the admin out.
"""

import functools
import hashlib
import hmac
import inspect
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy.exc import IntegrityError

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Admin, AdminSession, ApiToken, StoreSecret, new_id
from leaderboard.studies.rules import checked_name

SESSION_HOURS = 12
"""Hours that an admin stays logged in."""

MIN_PASSWORD = 12
"""Minimum length of an admin's password in characters."""

LOGINS_PER_MINUTE = 5
"""Maximum number of login attempts per minute from one address."""

_hasher = PasswordHasher()
# Verified if the name is unknown, so that both cases take equally long.
_NOBODY = _hasher.hash(secrets.token_hex(16))
# Two numbers for each key, however many attempts are counted.
_limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

_LOG_IN = "log in as an admin first"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_RANDOM_BYTES = 24
_SIGNATURE_BYTES = 8


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
        read_only: Whether the admin may look at everything, and change nothing.
    """

    id: str
    name: str
    read_only: bool = False


P = ParamSpec("P")
R = TypeVar("R")


def changes(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function with an argument `admin` as one that changes something: an admin who may only read is refused.

    A test calls every function that takes an admin and is not known to change nothing.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        require_editor(signature.bind(*args, **options).arguments["admin"])
        return function(*args, **options)

    return checked


def require_editor(admin: AdminIdentity) -> None:
    """Refuse an admin who may only read.

    Raises:
        AccessDeniedError: The admin, or the token that stands for the admin, is read-only.
    """
    if admin.read_only:
        raise AccessDeniedError(f"{admin.name!r} is read-only; ask an admin who may change things")


def command_line_admin() -> AdminIdentity:
    """The admin identity of the server's command line, whose user has the store's file anyway."""
    return AdminIdentity("", "command line")


def new_secret() -> str:
    """A random secret that can be part of a URL."""
    return secrets.token_urlsafe(32)


def is_secret(text: str) -> bool:
    """Whether a text has the form of the secrets that are made here; no other is looked for in the store."""
    return _SECRET.fullmatch(text) is not None


def signed_secret(store: Store, purpose: str) -> str:
    """A random secret that `is_signed` recognises before the store has a row about it; looks like `new_secret`'s.

    Args:
        store: Leaderboard whose key signs it.
        purpose: Kind of the secret; it is not recognised as one of another kind.
    """
    return _sign(store, purpose, secrets.token_bytes(_RANDOM_BYTES))


def is_signed(store: Store, purpose: str, secret: str) -> bool:
    """Whether a secret was made by `signed_secret` of this store for a purpose."""
    if not is_secret(secret):
        return False
    random = urlsafe_b64decode(secret + "=")[:_RANDOM_BYTES]
    return hmac.compare_digest(_sign(store, purpose, random), secret)


def _sign(store: Store, purpose: str, random: bytes) -> str:
    key = bytes.fromhex(store_secret(store, purpose))
    signature = hmac.digest(key, random, "sha256")[:_SIGNATURE_BYTES]
    return urlsafe_b64encode(random + signature).decode().rstrip("=")


def hash_secret(secret: str) -> str:
    """Hash of a secret, as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def throttle(what: str, key: str, per_minute: int) -> None:
    """Count an attempt, and refuse it if there were too many.

    Args:
        what: Action, e.g. `login`.
        key: Person or address whose attempts are counted together; never a text of the sender's choice.
        per_minute: Maximum number of attempts per minute.

    Raises:
        TooManyRequestsError: The limit is reached; this attempt is not counted.
    """
    if not _limiter.hit(RateLimitItemPerMinute(per_minute), what, hash_secret(key)):
        raise TooManyRequestsError(f"too many attempts ({what}); try again in a minute", "too_many")


def add_admin(
    store: Store,
    name: str,
    *,
    password: str | None = None,
    email: str | None = None,
    read_only: bool | None = None,
) -> AdminIdentity:
    """Add an admin, or change an admin's password, e-mail address or rights.

    Args:
        store: Leaderboard.
        name: Login name.
        password: Password of at least `MIN_PASSWORD` characters; None keeps the current one.
        email: E-mail address that an OIDC provider confirms; None keeps the current one.
        read_only: Whether the admin may change nothing; None keeps what is, and lets a new admin change things.

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
        if read_only is not None:
            admin.read_only = read_only
        if email is not None:
            holder = session.scalar(sa.select(Admin).where(Admin.email == email))
            if holder is not None and holder.id != admin.id:
                raise StudyError(f"{email}: belongs to another admin")
            admin.email = email
        if password is not None:
            admin.password_hash = _hasher.hash(password)
            session.execute(sa.delete(AdminSession).where(AdminSession.admin_id == admin.id))
        session.flush()
        return _identity(admin)


def remove_admin(store: Store, name: str) -> None:
    """Remove an admin; open sessions and API tokens end at once.

    Raises:
        StudyError: There is no admin of that name.
    """
    with store.write() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
        if admin is None:
            raise StudyError(f"there is no admin named {name!r}")
        for secrets_of in (AdminSession, ApiToken):
            session.execute(sa.delete(secrets_of).where(secrets_of.admin_id == admin.id))
        session.delete(admin)


def _identity(admin: Admin) -> AdminIdentity:
    return AdminIdentity(admin.id, admin.name, admin.read_only)


def admin_names(store: Store) -> list[str]:
    """Names of all admins."""
    with store.read() as session:
        return list(session.scalars(sa.select(Admin.name).order_by(Admin.name)))


def log_in(
    store: Store, name: str, password: str, *, address: str = "", now: datetime | None = None
) -> str:
    """Start a session of an admin by name and password; returns its secret, see `start_session`.

    Args:
        store: Leaderboard.
        name: Login name.
        password: Password.
        address: Address that the attempt comes from.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: The name or the password is wrong; the message does not say which.
        TooManyRequestsError: There were too many attempts from this address.
    """
    throttle("login", address, LOGINS_PER_MINUTE)
    return start_session(store, admin_of_password(store, name, password), now=now)


def admin_of_password(store: Store, name: str, password: str) -> AdminIdentity:
    """The admin with a name and password. It takes 64 MiB and a fourth of a second, whether they are right or not.

    Raises:
        AccessDeniedError: The name or the password is wrong; the message does not say which.
    """
    with store.read() as session:
        admin = session.scalar(sa.select(Admin).where(Admin.name == name))
    known = admin.password_hash if admin is not None else None
    try:
        _hasher.verify(known or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        known = None
    if admin is None or known is None:
        raise AccessDeniedError("wrong name or password")
    return _identity(admin)


def start_session(store: Store, admin: AdminIdentity, *, now: datetime | None = None) -> str:
    """Start a session of an admin; returns its secret, valid for `SESSION_HOURS`."""
    now = now or datetime.now(UTC)
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
    if not secret or not is_secret(secret):
        raise AccessDeniedError(_LOG_IN)
    with store.read() as session:
        admin = session.scalar(
            sa.select(Admin)
            .join(AdminSession, AdminSession.admin_id == Admin.id)
            .where(
                AdminSession.token_sha256 == hash_secret(secret),
                AdminSession.expires > (now or datetime.now(UTC)),
            )
        )
    if admin is None:
        raise AccessDeniedError(_LOG_IN)
    return _identity(admin)


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
    return _identity(admin)


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
