"""Participants of crowd platforms: who arrives by a link, and in which browsers a person takes part.

A participant is known by the platform's id, in whatever browser. With an invite of the study, or a signed id, the person
continues in up to `MOST_BROWSERS` browsers; each further one is an audit event. While another browser of the participant is
active, the owner of the study decides. Another id in the same browser is another participant. Ids can be forged unless the links are signed: then the link has a keyed hash of the id.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.invites import belongs_to
from leaderboard.store.database import Store
from leaderboard.store.models import (
    ERASED,
    SECOND,
    Assignment,
    AttentionCheck,
    Browser,
    CheckAnswer,
    ClipAnswer,
    ClipShowing,
    Event,
    Judgment,
    Membership,
    Rater,
    count,
)
from leaderboard.studies.access import (
    AccessDeniedError,
    AdminIdentity,
    changes,
    hash_secret,
    store_secret,
)
from leaderboard.studies.events import BY_RATER, add_event
from leaderboard.studies.rules import StudyInfo, checked_name, lock_study
from leaderboard.studies.settings import JudgingSettings

Platform = Literal["prolific", "mturk", "other"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
"""Crowd platforms whose participant ids can be stored."""

LINK_IDS: dict[str, tuple[str, str, str]] = {
    "prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": ("workerId", "hitId", "assignmentId"),
    "other": ("participant", "platform_study", "platform_session"),
}
"""Parameters of a link by platform: ids of the person, of the platform's study and of this participation."""

MOST_BROWSERS = 3
"""Maximum number of browsers in which one participant takes part in a study."""

ACTIVE = timedelta(minutes=3)
"""Time since a participant's last answer, and since an open page last kept its pair reserved, in which a browser is active."""


class ActiveElsewhereError(AccessDeniedError):
    """A participant came in another browser while one is active.

    Attributes:
        rater_id: The participant.
        browser: Keyed hash of the new browser.
    """

    def __init__(self, rater_id: str, browser: str) -> None:
        super().__init__(
            "this study is open in another of your browsers; close it there and reload this page after "
            f"{ACTIVE.seconds // 60} minutes, or ask the organisers to let you continue here",
            "active_elsewhere",
            minutes=ACTIVE.seconds // 60,
        )
        self.rater_id = rater_id
        self.browser = browser


@dataclass(frozen=True)
class BrowserRequest:
    """A participant who came in another browser while one was active, and whom no admin has let in.

    Attributes:
        rater_id: The participant.
        browser: Keyed hash of the browser.
        asked: Time of the first attempt.
    """

    rater_id: str
    browser: str
    asked: datetime


@dataclass(frozen=True)
class Participant:
    """A person as a crowd platform knows them.

    Attributes:
        platform: One of `PLATFORMS`.
        id: The person's id there, e.g. Prolific's `PROLIFIC_PID`.
        study: The platform's id of its study, e.g. `STUDY_ID`; None if the link has none.
        session: The platform's id of this participation, e.g. `SESSION_ID`; None if the link has none.
        signature: Signature of the id, see `participant_signature`; None if the link has none.
    """

    platform: str
    id: str
    study: str | None = None
    session: str | None = None
    signature: str | None = None


def checked_participant(
    key: bytes, study: StudyInfo, settings: JudgingSettings, given: Participant
) -> tuple[Participant, bool]:
    """A participant whose ids can be stored, and whether the id is signed.

    Args:
        key: Key of `signing_key`.
        study: Study to take part in.
        settings: Settings of the study.
        given: Participant as the link says.

    Raises:
        StudyError: An id is not printable, or the platform is unknown.
        AccessDeniedError: The study takes signed ids only, and this one is not.
    """
    if given.platform not in PLATFORMS:
        raise StudyError(
            f"platform: expected one of {', '.join(PLATFORMS)}, got {given.platform!r}"
        )
    checked = Participant(
        given.platform,
        checked_name(given.id, "participant's id"),
        given.study and checked_name(given.study, "platform's study id"),
        given.session and checked_name(given.session, "platform's session id"),
    )
    expected = _signature(key, study, checked.platform, checked.id)
    signed = hmac.compare_digest(expected.encode(), (given.signature or "").encode())
    if settings.signed_ids and not signed:
        raise AccessDeniedError(
            "this link is not valid for this participant; open the link you were sent, as it is",
            "wrong_link",
        )
    return checked, signed


def signing_key(store: Store) -> bytes:
    """The store's key that signs participants' ids."""
    return bytes.fromhex(store_secret(store, "participant"))


@changes
def participant_signature(
    store: Store, study: StudyInfo, admin: AdminIdentity, platform: str, participant: str
) -> str:
    """Signature of a participant's id for a link: HMAC-SHA-256 over study, platform and id, its first 128 bits in hex."""
    return _signature(signing_key(store), study, platform, participant)


@changes
def personal_links(
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    address: str,
    invite: str,
    platform: str,
    people: Sequence[str],
) -> list[str]:
    """Links with signed ids, one for each participant.

    Args:
        store: Leaderboard.
        study: Study of the invite.
        admin: Admin who makes them.
        address: Address of the app, e.g. `https://judge.lab.example`.
        invite: Token of an invite.
        platform: Platform of the ids.
        people: Ids of the participants.

    Raises:
        StudyError: An id is not printable, or the invite is not one of the study.
    """
    with store.read() as session:
        if not belongs_to(session, study, invite):
            raise StudyError(f"study {study.name!r} has no such invite; make one on the Study page")
    page = "compare" if study.rules.clips else ""
    links = []
    for person in people:
        name = checked_name(person, "participant's id")
        query = {
            "invite": invite,
            LINK_IDS[platform][0]: name,
            "sig": participant_signature(store, study, admin, platform, name),
        }
        links.append(f"{address.rstrip('/')}/{page}?{urlencode(query)}")
    return links


def _signature(key: bytes, study: StudyInfo, platform: str, participant: str) -> str:
    text = json.dumps([study.id, platform, participant])
    return hmac.new(key, text.encode(), "sha256").hexdigest()[:32]


def rater_in_browser(session: Session, study_id: str, secret: str) -> Rater | None:
    """The rater who uses a browser in a study; None for a new browser.

    Args:
        session: Transaction.
        study_id: Id of the study.
        secret: The browser's secret.
    """
    token = hash_secret(secret)
    last = session.scalar(
        sa.select(Rater)
        .join(Browser, Browser.rater_id == Rater.id)
        .where(Browser.study_id == study_id, Browser.token_sha256 == token)
        .order_by(Browser.used.desc(), Browser.number.desc())
        .limit(1)
    )
    if last is not None:
        return last
    return session.scalar(sa.select(Rater).where(Rater.token_sha256 == token))


def raters_of_browser(session: Session, study_id: str, secret: str) -> list[str]:
    """Ids of all raters who have used a browser in a study."""
    token = hash_secret(secret)
    return list(
        session.scalars(
            sa.union(
                sa.select(Rater.id).where(Rater.token_sha256 == token),
                sa.select(Browser.rater_id).where(
                    Browser.study_id == study_id, Browser.token_sha256 == token
                ),
            )
        )
    )


def membership_of(session: Session, study_id: str, person: Participant) -> Membership | None:
    """The membership of a participant in a study."""
    return session.scalar(
        sa.select(Membership).where(
            Membership.study_id == study_id,
            Membership.platform == person.platform,
            Membership.participant == person.id,
        )
    )


def is_somebody_else(session: Session, member: Membership, person: Participant) -> bool:
    """Whether the member who uses a browser is another person than a participant who is not a member yet.

    Somebody without an id who has not answered anything is taken for the participant.
    """
    if member.participant is not None:
        return True
    return any(
        count(session, table.study_id == member.study_id, table.rater_id == member.rater_id)
        for table in (Judgment, CheckAnswer, ClipAnswer)
    )


def attach(
    session: Session,
    study: StudyInfo,
    member: Membership,
    secret: str,
    *,
    invite: str | None,
    signed: bool,
    key: bytes,
    now: datetime,
) -> None:
    """Let a participant who has joined continue in a browser; a further browser is an audit event.

    Args:
        session: Transaction.
        study: Study of the membership.
        member: The participant's membership.
        secret: The browser's secret.
        invite: Token of an invite of the study; one that has expired or is used up will do.
        signed: Whether the participant's id is signed.
        key: Key of `signing_key`.
        now: Current time.

    Raises:
        AccessDeniedError: The id is neither signed nor came with an invite, or the participant has used
            `MOST_BROWSERS` browsers already.
        ActiveElsewhereError: Another browser is active, and no admin has allowed this one.
    """
    token = hash_secret(secret)
    rater = session.get_one(Rater, member.rater_id)
    known = set(
        session.scalars(
            sa.select(Browser.token_sha256).where(
                Browser.study_id == study.id, Browser.rater_id == rater.id
            )
        )
    )
    if not rater.token_sha256.startswith((ERASED, SECOND)):
        known.add(rater.token_sha256)
    if token not in known:
        if not signed and not (invite and belongs_to(session, study, invite)):
            raise AccessDeniedError(
                "this participant has joined already; open the invitation link again, or continue in the browser "
                "that you started in",
                "joined_before",
            )
        if len(known) >= MOST_BROWSERS:
            raise AccessDeniedError(
                f"you have used this study in {MOST_BROWSERS} browsers already; continue in one of them, or contact "
                "the organisers",
                "browsers",
                most=MOST_BROWSERS,
            )
        browser = hmac.new(key, token.encode(), "sha256").hexdigest()[:16]
        allowed = ("allow", browser) in _asked_and_allowed(session, study.id, rater.id)
        if not allowed and _is_active(session, study, rater.id, now):
            raise ActiveElsewhereError(rater.id, browser)
        add_event(
            session, study.id, "attach", BY_RATER, rater_id=rater.id,
            data={"reason": f"continued in browser {len(known) + 1}"}, now=now,
        )  # fmt: skip
    use_browser(session, study.id, rater.id, secret, now)


@contextmanager
def asking_owner(store: Store, study: StudyInfo) -> Iterator[None]:
    """Where `attach` refuses a participant because another browser is active, add the event that asks the study's owner.

    It is added once for each browser, after the transaction that was refused.
    """
    try:
        yield
    except ActiveElsewhereError as err:
        with store.write() as session:
            lock_study(session, study)
            if ("ask", err.browser) not in _asked_and_allowed(session, study.id, err.rater_id):
                data = {
                    "browser": err.browser,
                    "reason": "another browser of the participant was active",
                }
                add_event(session, study.id, "ask", BY_RATER, rater_id=err.rater_id, data=data)
        raise


def browser_requests(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[BrowserRequest]:
    """The participants who wait for an admin to let them continue in another browser, in the order they came."""
    with store.read() as session:
        events = session.scalars(
            sa.select(Event)
            .where(Event.study_id == study.id, Event.kind.in_(("ask", "allow")))
            .order_by(Event.number)
        )
        waiting: dict[tuple[str, str], BrowserRequest] = {}
        for one in events:
            assert one.rater_id is not None
            which = (one.rater_id, str(one.data["browser"]))
            if one.kind == "allow":
                waiting.pop(which, None)
            else:
                waiting[which] = BrowserRequest(*which, one.created)
        return list(waiting.values())


@changes
def allow_browser(
    store: Store, study: StudyInfo, admin: AdminIdentity, request: BrowserRequest
) -> None:
    """Let a participant continue in another browser, although one is active.

    Raises:
        StudyError: There is no such request.
    """
    with store.write() as session:
        lock_study(session, study)
        known = _asked_and_allowed(session, study.id, request.rater_id)
        if ("ask", request.browser) not in known:
            raise StudyError("there is no such request; reload the page")
        data = {"browser": request.browser}
        add_event(session, study.id, "allow", admin.name, rater_id=request.rater_id, data=data)


def _asked_and_allowed(session: Session, study_id: str, rater_id: str) -> set[tuple[str, str]]:
    """The kinds of events about a participant's further browsers, with the browser."""
    events = session.scalars(
        sa.select(Event).where(
            Event.study_id == study_id,
            Event.rater_id == rater_id,
            Event.kind.in_(("ask", "allow")),
        )
    )
    return {(one.kind, str(one.data["browser"])) for one in events}


def _is_active(session: Session, study: StudyInfo, rater_id: str, now: datetime) -> bool:
    """Whether a rater has answered, or been served a pair that is kept reserved, within `ACTIVE`."""
    reserved = now - ACTIVE + timedelta(minutes=study.rules.reserve_minutes)
    return any(
        count(session, table.study_id == study.id, table.rater_id == rater_id, since)
        for table, since in (
            *(
                (table, table.created > now - ACTIVE)
                for table in (Judgment, CheckAnswer, ClipAnswer)
            ),
            *(
                (table, table.expires > reserved)
                for table in (Assignment, AttentionCheck, ClipShowing)
            ),
        )
    )


def use_browser(session: Session, study_id: str, rater_id: str, secret: str, now: datetime) -> None:
    """Note that a rater uses a browser now."""
    token = hash_secret(secret)
    row = session.scalar(
        sa.select(Browser).where(
            Browser.study_id == study_id,
            Browser.token_sha256 == token,
            Browser.rater_id == rater_id,
        )
    )
    if row is None:
        row = Browser(study_id=study_id, token_sha256=token, rater_id=rater_id, created=now)
        session.add(row)
    row.used = now
    session.flush()
