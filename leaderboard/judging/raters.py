"""Raters: how they join a study, what state they are in, and how their personal data is erased.

A rater is identified by a secret: the app keeps it in a cookie, other front ends send it with each
request. To join, the secret is presented once together with an invite's token (unless the study is open
to all) and consent to the study's text. A participant of a crowd platform is also known by the platform's id
(`leaderboard.judging.participants`).
"""

import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.judging.attention_checks import Qualification, qualification
from leaderboard.judging.invites import ENOUGH, StudyFullError, admit
from leaderboard.judging.pairs import OwnAnswers, has_seen_all, own_answers
from leaderboard.judging.participants import (
    Participant,
    asking_owner,
    attach,
    checked_participant,
    is_somebody_else,
    membership_of,
    rater_in_browser,
    raters_of_browser,
    signing_key,
    use_browser,
)
from leaderboard.judging.targets import has_enough
from leaderboard.store.database import Store
from leaderboard.store.models import (
    ERASED,
    SECOND,
    Browser,
    CheckAnswer,
    ClipAnswer,
    ClipQuestion,
    ClipShowing,
    Event,
    Exclusion,
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
    is_signed,
    signed_secret,
    store_secret,
)
from leaderboard.studies.events import (
    BY_RATER,
    BY_RULE,
    RaterLog,
    add_event,
    banned_raters,
    give_back,
    rater_log,
    record_ban,
)
from leaderboard.studies.rules import StudyInfo, checked_name, lock_study
from leaderboard.studies.settings import Ending, JudgingSettings, Outcome, read_settings

State = Literal[
    "invite", "consent", "qualify", "failed", "judge", "done", "banned", "paused", "ended"
]

REASONS = {
    "invite": "this study is by invitation only; open the link you were sent",
    "consent": "read and accept the study's terms first",
    "failed": "you did not pass the qualification; thank you for trying",
    "banned": "you can no longer judge in this study; contact its organisers",
    "paused": "this study is paused; come back later",
    "ended": "this study has ended; thank you",
}
"""Why a rater in that state may not judge."""


def denied(state: str) -> AccessDeniedError:
    """The refusal of a rater who may not judge.

    Args:
        state: State of the rater, a key of `REASONS`, which is also the refusal's code.
    """
    return AccessDeniedError(REASONS[state], state)


@dataclass(frozen=True)
class RaterStatus:
    """State of a rater in a study.

    Attributes:
        state: `invite` (needs an invitation), `consent` (must agree to the study's text), `qualify`
            (answers known pairs first), `failed` (did not pass the qualification), `judge`, `done` (has
            answered all pairs asked for, or has judged at least one and seen all there are), `banned`, or `paused` or
            `ended` (the study is, and the rater is not done).
        answered: Number of pairs answered and neither skipped nor withdrawn. Attention checks count like other
            pairs; the qualification's pairs do not count.
        attention_checks: Number of attention checks among them; raters must not learn it.
        skipped: Number of pairs skipped, attention checks and practice pairs included.
        skips_left: Number of pairs that the rater may still skip; None for any number.
        limit: Number of pairs that the study asks of a rater; None for all pairs.
        qualification: Progress of the qualification.
        joined: Whether the rater has joined the study, after its instructions and consent text.
        held: Whether the rater is held for review, and gets no completion code yet.
    """

    state: State
    answered: int
    attention_checks: int
    skipped: int
    skips_left: int | None
    limit: int | None
    qualification: Qualification
    joined: bool
    held: bool


def register_rater(store: Store, token: str, name: str | None = None) -> str:
    """The id of the rater with a secret. A new secret makes a new rater; a given name is stored.

    The secret of a rater who was excluded from a study and then forgotten makes a rater who is banned there. Only the secret's hash is stored. A registered rater may not judge yet: see `rater_status`.

    Raises:
        StudyError: The name is not printable, or too long.
    """
    name = checked_name(name, "name") if name else None
    with store.read() as session:
        rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == hash_secret(token)))
    if rater is not None and name in (None, rater.name):
        return rater.id
    key = _exclusion_key(store)
    with store.write() as session:
        rater = _rater_of(session, token, key)
        rater.name = name or rater.name
        return rater.id


def new_rater_secret(store: Store) -> str:
    """A secret for a new rater; the store learns of it when the rater joins."""
    return signed_secret(store, "rater")


def is_rater_secret(store: Store, secret: str) -> bool:
    """Whether a secret was given out by this store: it is signed, or that of a rater from before secrets were signed."""
    if is_signed(store, "rater", secret):
        return True
    try:
        find_rater(store, secret)
    except AccessDeniedError:
        return False
    return True


def find_rater(store: Store, token: str, study_id: str | None = None) -> str:
    """The id of the rater with a secret.

    Args:
        store: Leaderboard.
        token: Secret of the rater or of a browser in which the rater takes part.
        study_id: Id of the study; None for the rater whose own secret it is, or who used it last.

    Raises:
        AccessDeniedError: No rater has it.
    """
    with store.read() as session:
        if study_id is not None:
            rater = rater_in_browser(session, study_id, token)
            found = None if rater is None else rater.id
        else:
            hashed = hash_secret(token)
            found = session.scalar(
                sa.select(Rater.id).where(Rater.token_sha256 == hashed)
            ) or session.scalar(
                sa.select(Browser.rater_id)
                .where(Browser.token_sha256 == hashed)
                .order_by(Browser.used.desc())
                .limit(1)
            )
    if found is None:
        raise AccessDeniedError("unknown rater; join the study first", "unknown_rater")
    return found


def require_present(store: Store, rater_id: str) -> None:
    """Refuse a rater who is not in the store, or whose personal data was erased.

    Raises:
        AccessDeniedError: There is no such rater any more.
    """
    with store.read() as session:
        rater = session.get(Rater, rater_id)
    if rater is None or rater.erased:
        raise AccessDeniedError("unknown rater; reload the page", "unknown_rater")


def rename_rater(store: Store, rater_id: str, name: str) -> None:
    """Store a rater's name.

    Raises:
        StudyError: The name is not printable, or too long; or there is no such rater.
    """
    name = checked_name(name, "name")
    with store.write() as session:
        rater = session.get(Rater, rater_id)
        if rater is None:
            raise StudyError(f"there is no rater with the id {rater_id}")
        rater.name = name


def enter(
    store: Store,
    study: StudyInfo,
    token: str,
    *,
    participant: Participant | None = None,
    invite: str | None = None,
    now: datetime | None = None,
) -> str | None:
    """The id of the rater who comes to a study in a browser; None for somebody who has yet to join.

    A participant who has joined in another browser continues in this one, see
    `leaderboard.judging.participants.attach`.

    Args:
        store: Leaderboard.
        study: Study that the link leads to.
        token: The browser's secret.
        participant: The person as the link says; None if it does not.
        invite: Token of the invite in the link.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: The study requires a signature that the participant's id does not have, or the
            participant may not continue in another browser; while one is active, an event asks the owner.
        StudyError: An id is not printable.
    """
    with store.read() as session:
        rater = rater_in_browser(session, study.id, token)
    if participant is None:
        return None if rater is None else rater.id
    key = signing_key(store)
    with store.read() as session:
        settings = read_settings(session, study.id)
        person, signed = checked_participant(key, study, settings, participant)
        member = membership_of(session, study.id, person)
        if member is None:
            return None
        if rater is not None and member.rater_id == rater.id:
            return rater.id
    with asking_owner(store, study), store.write() as session:
        lock_study(session, study)
        member = membership_of(session, study.id, person)
        if member is None:  # erased meanwhile
            return None
        attach(
            session,
            study,
            member,
            token,
            invite=invite,
            signed=signed,
            key=key,
            now=now or datetime.now(UTC),
        )
        return member.rater_id


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
    platform_study: str | None = None,
    platform_session: str | None = None,
    signature: str | None = None,
    now: datetime | None = None,
) -> str:
    """Let a rater into a study, or add consent; returns the rater's id. Joining again changes nothing.

    A participant who has joined continues, in this browser too. Another participant than the one who used the browser
    before is another rater, who is held for review if that one was banned or failed.

    Args:
        store: Leaderboard.
        study: Study to join.
        token: Secret of the rater's browser.
        invite: Token of an invite; required unless the study is open or the rater has joined before.
        consent: Whether the rater agreed to the study's current consent text.
        name: Name for the admin's list; optional, and can be erased.
        platform: Crowd platform, one of `PLATFORMS`; required with `participant`.
        participant: Person's id on the platform; each is one rater of a study.
        platform_study: The platform's id of its study.
        platform_session: The platform's id of this participation.
        signature: Signature of the participant's id, see
            `leaderboard.judging.participants.participant_signature`.
        now: Current time; tests set it.

    Raises:
        AccessDeniedError: There is no invite, or it is used up, expired or revoked, or the study has enough answers; or the
            participant may not continue in another browser, or has no signature where the study requires one; or was banned, or failed the
            qualification, before the personal data was erased; or the study is paused or has ended.
        StudyError: The name or an id is not printable, or the platform is unknown.
    """
    now = now or datetime.now(UTC)
    name = checked_name(name, "name") if name else None
    person, signed = None, False
    if participant is not None:
        person = Participant(
            platform or "", participant, platform_study, platform_session, signature
        )
    key, signing = _exclusion_key(store), signing_key(store)
    full = has_enough(store, study)
    with asking_owner(store, study), store.write() as session:
        lock_study(session, study)  # two browsers of one participant may come at once
        settings = read_settings(session, study.id)
        if settings.paused or settings.ended:
            raise denied("ended" if settings.ended else "paused")
        rater = rater_in_browser(session, study.id, token)
        member = session.get(Membership, (study.id, rater.id)) if rater is not None else None
        if person is not None:
            person, signed = checked_participant(signing, study, settings, person)
            if (known := membership_of(session, study.id, person)) is not None:
                if known is not member:
                    attach(
                        session,
                        study,
                        known,
                        token,
                        invite=invite,
                        signed=signed,
                        key=signing,
                        now=now,
                    )
                member = known
            elif member is not None and is_somebody_else(session, member, person):
                member = None
        if member is None:
            if full:
                raise StudyFullError(ENOUGH, "enough")
            admitted = None if invite is None else admit(session, study, invite, now)
            if admitted is None and not settings.open_signup:
                raise denied("invite")
            member = Membership(
                study_id=study.id,
                rater_id=_new_member(session, study, settings, token, key, person, now).id,
                invite_id=admitted.id if admitted else None,
                joined=now,
            )
            session.add(member)
        if person is not None:
            _refuse_excluded(
                session, study.id, [_hashed(key, study.id, person.platform, person.id)]
            )
            member.platform, member.participant = person.platform, person.id
            member.platform_study = person.study or member.platform_study
            member.platform_session = person.session or member.platform_session
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
    *,
    log: RaterLog | None = None,
    own: OwnAnswers | None = None,
    now: datetime | None = None,
) -> RaterStatus:
    """State of a rater in a study, within a transaction. What is not given is read.

    Args:
        session: Transaction.
        study: Study.
        rater_id: Rater.
        settings: Settings of the study.
        log: What the study's events say about the rater.
        own: What the rater has answered, in a study of episodes.
        now: Current time; tests set it.
    """
    settings = settings or read_settings(session, study.id)
    log = log or rater_log(session, study.id, rater_id)
    member = session.get(Membership, (study.id, rater_id))
    qualified = qualification(session, study.id, rater_id, settings, log)
    if study.rules.clips:
        judged, checks, skipped = _clip_counts(session, study.id, rater_id, log.withdrawn)
    else:
        own = own or own_answers(session, study, rater_id, log.withdrawn)
        judged, checks, skipped = own.judged, own.checks, own.skipped
    answered, allowed = judged + checks, settings.skips_allowed
    skips_left = None if allowed is None else max(0, allowed - skipped)
    state: State = "judge"
    if log.banned:
        state = "banned"
    elif member is None and not settings.open_signup:
        state = "invite"
    elif settings.consent and (member is None or member.consent_sha256 != settings.consent_sha256):
        state = "consent"
    elif qualified.state == "failed":
        state = "failed"
    elif qualified.state == "open":
        state = "qualify"
    else:
        enough = settings.pairs_per_rater is not None and answered >= settings.pairs_per_rater
        # A skip alone never earns a code, and a queue of clips may grow at any time.
        may_end = answered > 0 and (allowed is None or skipped <= allowed)
        if enough or (
            may_end
            and own is not None
            and has_seen_all(session, study, rater_id, own, now or datetime.now(UTC))
        ):
            state = "done"
    if (settings.paused or settings.ended) and state in ("invite", "consent", "qualify", "judge"):
        state = "ended" if settings.ended else "paused"
    return RaterStatus(
        state,
        answered,
        checks,
        skipped,
        skips_left,
        settings.pairs_per_rater,
        qualified,
        joined=member is not None,
        held=log.held,
    )


def _clip_counts(
    session: Session, study_id: str, rater_id: str, gone: Collection[str]
) -> tuple[int, int, int]:
    """Numbers of pairs of clips judged, of checks answered, and of pairs skipped, withdrawn answers left out."""
    own = (
        ClipAnswer.study_id == study_id,
        ClipAnswer.rater_id == rater_id,
        ClipAnswer.dropped == "",
        ClipAnswer.id.not_in(gone),
        ClipAnswer.showing_id == ClipShowing.id,
        ClipShowing.question_id == ClipQuestion.id,
    )
    ordinary = (ClipShowing.repeats.is_(None), ClipQuestion.gold.is_(None))
    skipped = count(session, *own, ClipAnswer.winner == "skip")
    judged = count(session, *own, *ordinary, ClipAnswer.winner != "skip")
    return judged, count(session, *own) - skipped - judged, skipped


_OUTCOMES: dict[State, Outcome] = {
    "done": "completed", "failed": "screened_out", "banned": "failed_checks", "paused": "closed",
    "ended": "closed",
}  # fmt: skip


def outcome_of(status: RaterStatus) -> Outcome | None:
    """How the study ended for a rater; None while it has not, or the rater is held for review."""
    return None if status.held and status.state == "done" else _OUTCOMES.get(status.state)


def ending_of(
    store: Store, study: StudyInfo, rater_id: str, settings: JudgingSettings, status: RaterStatus
) -> Ending | None:
    """The code of a rater's outcome, and the address to return to; None while there is no outcome.

    Who completed a study that has no code of its own gets a personal one.
    """
    outcome = outcome_of(status)
    if outcome is None:
        return None
    ending = settings.ending(outcome)
    if outcome == "completed" and not ending.code:
        return ending.model_copy(update={"code": _own_code(store, study.id, rater_id)})
    return ending


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
    the browser still keeps would start a new rater. If the rater was banned from a study, or can no longer pass its
    qualification, a keyed hash of the secret and of the platform's id keeps the person out of it.

    Args:
        store: Leaderboard.
        rater_id: Rater to erase.
        by: Who does it: `rater`, or an admin's name.

    Raises:
        StudyError: There is no such rater.
    """
    key = _exclusion_key(store)
    with store.write() as session:
        rater = session.get(Rater, rater_id)
        if rater is None:
            raise StudyError(f"there is no rater with the id {rater_id}")
        for study_id in _studies_of(session, rater_id):
            _keep_out(session, key, study_id, rater)
        rater.name = None
        # Not a SHA-256, so no secret matches it.
        rater.token_sha256 = f"{ERASED}{rater_id}"
        now = datetime.now(UTC)
        for member in session.scalars(sa.select(Membership).where(Membership.rater_id == rater_id)):
            member.platform = member.participant = None
            member.platform_study = member.platform_session = None
        session.execute(sa.delete(Browser).where(Browser.rater_id == rater_id))
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
                    sa.select(table.study_id).where(
                        table.rater_id == rater_id, table.study_id.is_not(None)
                    )
                    for table in (Judgment, CheckAnswer, ClipAnswer, Event)
                )
            )
        ),
    }


def _exclusion_key(store: Store) -> bytes:
    return bytes.fromhex(store_secret(store, "exclusion"))


def _hashed(key: bytes, study_id: str, kind: str, identity: str) -> str:
    """Keyed hash by which a person is recognised in a study.

    Args:
        key: The store's key.
        study_id: Id of the study.
        kind: `secret`, or a crowd platform.
        identity: SHA-256 of the secret, or the person's id on the platform.
    """
    return hmac.new(key, json.dumps([study_id, kind, identity]).encode(), "sha256").hexdigest()


def _excluded(session: Session, study_id: str, hashes: Collection[str]) -> str | None:
    """Why a person may not judge in a study, `banned` or `failed`; None if nothing is known."""
    found = sa.select(Exclusion.reason).where(
        Exclusion.study_id == study_id, Exclusion.person_hmac.in_(hashes)
    )
    return session.scalar(found.order_by(Exclusion.reason).limit(1))


def _keep_out(session: Session, key: bytes, study_id: str, rater: Rater) -> None:
    """Before erasure, keep the hashes of a rater who may not judge in a study any more."""
    log = rater_log(session, study_id, rater.id)
    reason = "banned" if log.banned else ""
    tried = qualification(session, study_id, rater.id, read_settings(session, study_id), log)
    if not reason and tried.right + tried.pairs - tried.answered < tried.needed:
        reason = "failed"
    if not reason or rater.erased:
        return
    browsers = sa.select(Browser.token_sha256).where(
        Browser.study_id == study_id, Browser.rater_id == rater.id
    )
    people = {("secret", token) for token in session.scalars(browsers)}
    if not rater.token_sha256.startswith(SECOND):
        people.add(("secret", rater.token_sha256))
    member = session.get(Membership, (study_id, rater.id))
    if member is not None and member.platform is not None and member.participant is not None:
        people.add((member.platform, member.participant))
    for kind, identity in people:
        person = _hashed(key, study_id, kind, identity)
        session.merge(Exclusion(study_id=study_id, person_hmac=person, reason=reason))


def _refuse_excluded(session: Session, study_id: str, hashes: Collection[str]) -> None:
    if reason := _excluded(session, study_id, hashes):
        raise denied(reason)


def _new_member(
    session: Session,
    study: StudyInfo,
    settings: JudgingSettings,
    token: str,
    key: bytes,
    person: Participant | None,
    now: datetime,
) -> Rater:
    """The rater of somebody who joins in a browser; a second one if the browser's own is another participant.

    Raises:
        AccessDeniedError: The person was excluded.
    """
    if person is not None:
        _refuse_excluded(session, study.id, [_hashed(key, study.id, person.platform, person.id)])
    browser = _hashed(key, study.id, "secret", hash_secret(token))
    doubt = _excluded(session, study.id, [browser])
    if doubt and person is None:
        raise denied(doubt)
    banned = banned_raters(session, study.id)
    others = raters_of_browser(session, study.id, token)
    own = session.scalar(sa.select(Rater).where(Rater.token_sha256 == hash_secret(token)))
    is_free = own is None or session.get(Membership, (study.id, own.id)) is None
    if person is not None:
        for other in others:
            if other in banned:
                doubt = "banned"
            elif qualification(session, study.id, other, settings).state == "failed":
                doubt = doubt or "failed"
    if is_free and not (doubt and person is not None):
        rater = _rater_of(session, token, key)
    else:
        rater = Rater(id=new_id(), created=now)
        rater.token_sha256 = f"{SECOND}{rater.id}"
        session.add(rater)
        session.flush()
    use_browser(session, study.id, rater.id, token, now)
    if doubt:
        why = {"banned": "was banned", "failed": "failed the qualification"}[doubt]
        data = {"reason": f"another participant {why} in this browser"}
        add_event(session, study.id, "hold", BY_RULE, rater_id=rater.id, data=data, now=now)
    return rater


def _rater_of(session: Session, token: str, key: bytes) -> Rater:
    """The rater who holds a secret; a new secret adds a rater, who is banned if the secret was excluded."""
    rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == hash_secret(token)))
    if rater is None:
        rater = Rater(id=new_id(), token_sha256=hash_secret(token), created=datetime.now(UTC))
        session.add(rater)
        session.flush()
        for study_id in session.scalars(sa.select(Exclusion.study_id).distinct()).all():
            person = _hashed(key, study_id, "secret", rater.token_sha256)
            if reason := _excluded(session, study_id, [person]):
                why = f"{reason} before the personal data was deleted"
                record_ban(session, study_id, rater.id, BY_RULE, why)
    return rater


def _own_code(store: Store, study_id: str, rater_id: str) -> str:
    key = bytes.fromhex(store_secret(store, "completion"))
    return hmac.new(key, f"{study_id}:{rater_id}".encode(), "sha256").hexdigest()[:12].upper()
