"""The tables of a leaderboard's store.

Ids are opaque (32 hexadecimal digits), times are UTC. Rows are added and read; the database itself refuses to
change or delete a judgment, an answer to an attention check or about clips, or an event. The only exception: when a
rater's personal data is erased, written reasons and player events are blanked; the votes stay.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from basalt.core.comparisons import MIRRORED, Source, Strength, Winner
from leaderboard.store.database import StoreError

SOURCES: tuple[Source, ...] = ("human", "bedd", "telemetry", "model")
"""Sources of judgments: raters, raters of the BEDD data set, a rule over telemetry, a learned model. Labels by
synthetic teachers are kept in files and never stored here."""

WINNERS: tuple[Winner, ...] = get_args(Winner)
"""Answers to a pair. `both_bad` (neither is acceptable) and `skip` (no opinion) differ from `draw` (equally
good)."""

SkipReason = Literal["no_opinion", "broken"]
SKIP_REASONS: tuple[SkipReason, ...] = get_args(SkipReason)
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
"""Why a pair was skipped: the rater cannot say, or a video does not play. Answers from before reasons were asked have
none."""

CHECK_KINDS = ("qualification", "gold", "repeat", "self")
"""Kinds of pairs with a known answer, see `leaderboard.judging.attention_checks`."""

EVENT_KINDS = (
    "settings", "ban", "unban", "withdraw", "erase", "requalify", "attach", "hold", "release",
    "ask", "allow",
)  # fmt: skip
"""Kinds of audit events, see `leaderboard.studies.events`."""

CLIPS = "clips"
"""Folder of the clips' videos in the media folder."""


def new_id() -> str:
    """A new opaque id: 32 random hexadecimal digits."""
    return uuid4().hex


class UTCDateTime(TypeDecorator[datetime]):
    """A time in UTC; SQLite stores it without its zone, Python always gets it with one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a time without a zone is an error of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a zone, got {value}")
        return value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Name a damaged time as a fault of the store."""
        process = super().result_processor(dialect, coltype)
        if process is None:
            return None

        def checked(value: Any) -> Any:
            try:
                return process(value)
            except (TypeError, ValueError) as err:
                raise StoreError(
                    f"the database has a damaged time ({err}); use a copy of it that is sound"
                ) from err

        return checked

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraints have names, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own idiom)
        datetime: UTCDateTime(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


ID = String(32)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({allowed})", name=column)


def _once(source: Source, *columns: str) -> Index:
    """A unique index over the judgments of one source."""
    where = text(f"source = '{source}'")
    name = f"uq_judgment_{source}"
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


class Study(Base):
    """A study and its rules (`leaderboard.studies.rules.StudyRules` as JSON)."""

    __tablename__ = "study"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    rules: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class Agent(Base):
    """A player in a study; its name is unique there, regardless of case and width of letters."""

    __tablename__ = "agent"
    __table_args__ = (UniqueConstraint("study_id", "name_key"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    name: Mapped[str] = mapped_column(String(100))
    name_key: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    created: Mapped[datetime]


class Submission(Base):
    """A verified set of recordings of an agent."""

    __tablename__ = "submission"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"), index=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agent.id"), index=True)
    created: Mapped[datetime]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON, server_default=text("'{}'"))


class Episode(Base):
    """One recording of a submission; its files are in the store's media folder under opaque names.

    `verified` means that a replay of its actions led to the same positions.
    """

    __tablename__ = "episode"
    __table_args__ = (
        UniqueConstraint("agent_id", "task", "seed"),
        Index("ix_episode_pairing", "study_id", "task", "seed"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id"), index=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agent.id"))
    task: Mapped[str] = mapped_column(String(100))
    seed: Mapped[int] = mapped_column(BigInteger)
    steps: Mapped[int]
    ended: Mapped[str] = mapped_column(String(20))
    video_sha256: Mapped[str] = mapped_column(String(64))
    lines_sha256: Mapped[str] = mapped_column(String(64))
    verified: Mapped[bool] = mapped_column(server_default=false())

    agent: Mapped[Agent] = relationship()

    @property
    def media_name(self) -> str:
        """Name of its files in the media folder, without suffix."""
        return f"{self.submission_id}/{self.id}"


ERASED = "erased:"
"""Prefix of the value that replaces an erased rater's hash, so that no secret matches it."""

SECOND = "second:"
"""Prefix of the value in place of a hash for a rater whose browser is somebody else's by its secret; see `Browser`."""


class Rater(Base):
    """A person who judges, identified by the hash of a secret that the person's browser keeps.

    The name can be erased; judgments refer to the opaque id.
    """

    __tablename__ = "rater"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str | None] = mapped_column(String(100))
    created: Mapped[datetime]

    @property
    def erased(self) -> bool:
        """Whether the personal data was erased; the votes are still stored."""
        return self.token_sha256.startswith(ERASED)


class Assignment(Base):
    """A pair of episodes reserved for a rater until it expires; answered by at most one judgment."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index("ix_assignment_open", "study_id", "rater_id", "expires"),
        Index("ix_assignment_expires", "study_id", "expires"),
        CheckConstraint("left_episode_id <> right_episode_id", name="two_episodes"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"))
    left_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    right_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    pair: Mapped[str] = mapped_column(String(65))
    created: Mapped[datetime]
    expires: Mapped[datetime]
    # Its videos are loaded while the rater judges the pair before it.
    ahead: Mapped[bool] = mapped_column(default=False, server_default=false())


class Judgment(Base):
    """One answer about one pair; added once, never changed (a database trigger enforces it)."""

    __tablename__ = "judgment"
    __table_args__ = (
        _one_of("winner", WINNERS),
        _one_of("source", SOURCES),
        _one_of("skip_reason", SKIP_REASONS),
        _one_of("strength", STRENGTHS),
        CheckConstraint("left_episode_id <> right_episode_id", name="two_episodes"),
        _once("human", "rater_id", "pair", "attempt"),
        _once("telemetry", "study_id", "pair"),
        Index("ix_judgment_study", "study_id", "pair"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(ID, unique=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    assignment_id: Mapped[str | None] = mapped_column(ForeignKey("assignment.id"), unique=True)
    rater_id: Mapped[str | None] = mapped_column(ForeignKey("rater.id"))
    left_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    right_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    pair: Mapped[str] = mapped_column(String(65))
    winner: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(10))
    responses: Mapped[dict[str, Any]]
    justification: Mapped[str] = mapped_column(Text)
    video_events: Mapped[list[Any]]
    seconds: Mapped[float | None]
    created: Mapped[datetime]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    watched_left: Mapped[float | None]
    watched_right: Mapped[float | None]
    skip_reason: Mapped[str | None] = mapped_column(String(15))
    strength: Mapped[str | None] = mapped_column(String(10))


class StoreSecret(Base):
    """A random secret of the store, by purpose; its signatures are valid in every process."""

    __tablename__ = "store_secret"

    purpose: Mapped[str] = mapped_column(String(30), primary_key=True)
    value: Mapped[str] = mapped_column(String(64))


class Admin(Base):
    """A person who may see raters and change a study; logs in by password, or by OIDC with an e-mail address."""

    __tablename__ = "admin"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(200), unique=True)
    created: Mapped[datetime]
    read_only: Mapped[bool] = mapped_column(default=False, server_default=false())


class AdminSession(Base):
    """A login session of an admin, identified by the hash of its secret."""

    __tablename__ = "admin_session"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    admin_id: Mapped[str] = mapped_column(ForeignKey("admin.id"))
    expires: Mapped[datetime]


class ApiToken(Base):
    """A secret by which a program acts for an admin over the API; only its hash is stored."""

    __tablename__ = "api_token"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    admin_id: Mapped[str] = mapped_column(ForeignKey("admin.id"), index=True)
    label: Mapped[str] = mapped_column(String(64))
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    read_only: Mapped[bool]
    created: Mapped[datetime]
    expires: Mapped[datetime | None]


class Invite(Base):
    """A link that lets raters into a study; only the hash of its token is stored."""

    __tablename__ = "invite"

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"), index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(100))
    max_raters: Mapped[int | None]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    created: Mapped[datetime]


class Membership(Base):
    """A rater's membership in a study: how they joined, and what they consented to.

    The ids are the crowd platform's, and can be erased: `participant` is the person's (PROLIFIC_PID, workerId),
    `platform_study` the study's (STUDY_ID, hitId), `platform_session` the participation's (SESSION_ID, assignmentId).
    """

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("study_id", "platform", "participant"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"), primary_key=True)
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"), primary_key=True)
    invite_id: Mapped[str | None] = mapped_column(ForeignKey("invite.id"), index=True)
    platform: Mapped[str | None] = mapped_column(String(20))
    participant: Mapped[str | None] = mapped_column(String(100))
    consented: Mapped[datetime | None]
    consent_sha256: Mapped[str | None] = mapped_column(String(64))
    joined: Mapped[datetime]
    platform_study: Mapped[str | None] = mapped_column(String(100))
    platform_session: Mapped[str | None] = mapped_column(String(100))


class Browser(Base):
    """A browser in which a rater takes part in a study, identified by the hash of its secret.

    The rater of a browser is the one who used it last (the highest `used`). A browser without a row here belongs to the
    rater with its secret.
    """

    __tablename__ = "browser"
    __table_args__ = (UniqueConstraint("study_id", "token_sha256", "rater_id"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    token_sha256: Mapped[str] = mapped_column(String(64))
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"), index=True)
    created: Mapped[datetime]
    used: Mapped[datetime]


class Exclusion(Base):
    """A person who may not judge in a study, kept when the personal data is erased.

    `person_hmac` is a keyed hash of the study with the rater's secret, or with the id on a crowd platform. Nothing leads
    from it to the person or to the votes; it only recognises the same person who comes back.
    """

    __tablename__ = "exclusion"
    __table_args__ = (_one_of("reason", ("banned", "failed")),)

    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"), primary_key=True)
    person_hmac: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(10))


class GoldPair(Base):
    """Two episodes with an answer known to an admin, to qualify and check raters.

    `practice` says whether it is a practice pair of the qualification or an attention check; pairs from before there were
    two sets have None, and are used for both.
    """

    __tablename__ = "gold_pair"
    __table_args__ = (_one_of("better", ("left", "right", "draw")),)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"), index=True)
    left_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    right_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    better: Mapped[str] = mapped_column(String(10))
    explanation: Mapped[str] = mapped_column(Text)
    retired: Mapped[datetime | None]
    created: Mapped[datetime]
    practice: Mapped[bool | None]

    left: Mapped[Episode] = relationship(foreign_keys=[left_episode_id])
    right: Mapped[Episode] = relationship(foreign_keys=[right_episode_id])


class AttentionCheck(Base):
    """A pair with a known answer, served to a rater like any other; it never enters a rating."""

    __tablename__ = "attention_check"
    __table_args__ = (
        _one_of("kind", CHECK_KINDS),
        Index("ix_attention_check_rater", "study_id", "rater_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"))
    kind: Mapped[str] = mapped_column(String(15))
    gold_id: Mapped[str | None] = mapped_column(ForeignKey("gold_pair.id"))
    judgment_id: Mapped[str | None] = mapped_column(String(32))
    left_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    right_episode_id: Mapped[str] = mapped_column(ForeignKey("episode.id"))
    expected: Mapped[str] = mapped_column(String(10))
    created: Mapped[datetime]
    expires: Mapped[datetime]
    ahead: Mapped[bool] = mapped_column(default=False, server_default=false())


class CheckAnswer(Base):
    """A rater's answer to an attention check; added once, never changed."""

    __tablename__ = "check_answer"
    __table_args__ = (
        _one_of("winner", WINNERS),
        _one_of("skip_reason", SKIP_REASONS),
        _one_of("strength", STRENGTHS),
        Index("ix_check_answer_rater", "study_id", "rater_id"),
        Index("ix_check_answer_person", "rater_id", "created"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(ID, unique=True, default=new_id)
    check_id: Mapped[str] = mapped_column(ForeignKey("attention_check.id"), unique=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"))
    winner: Mapped[str] = mapped_column(String(10))
    passed: Mapped[bool]
    responses: Mapped[dict[str, Any]]
    justification: Mapped[str] = mapped_column(Text)
    video_events: Mapped[list[Any]]
    seconds: Mapped[float]
    created: Mapped[datetime]
    skip_reason: Mapped[str | None] = mapped_column(String(15))
    strength: Mapped[str | None] = mapped_column(String(10))
    watched_left: Mapped[float | None]
    watched_right: Mapped[float | None]


class Clip(Base):
    """A stretch of an episode that was cut to a video of its own, named by its content."""

    __tablename__ = "clip"
    __table_args__ = (
        UniqueConstraint("study_id", "episode_sha256", "start", "stop"),
        CheckConstraint("0 <= start AND start < stop", name="stretch"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    agent: Mapped[str] = mapped_column(String(1000))
    seed: Mapped[int] = mapped_column(BigInteger)
    episode_sha256: Mapped[str] = mapped_column(String(64))
    start: Mapped[int]
    stop: Mapped[int]
    video_sha256: Mapped[str] = mapped_column(String(64))

    @property
    def steps(self) -> int:
        """Length in steps of 50 ms."""
        return self.stop - self.start

    @property
    def media_name(self) -> str:
        """Name of its video in the media folder."""
        return f"{CLIPS}/{self.video_sha256}.mp4"


class ClipQuestion(Base):
    """Two clips to compare, in a study's queue: the lowest number is asked first.

    `gold` is the known answer, with the first clip on the left; such a question checks raters and is in nobody's
    queue.
    """

    __tablename__ = "clip_question"
    __table_args__ = (
        UniqueConstraint("study_id", "pair"),
        CheckConstraint("first_clip_id <> second_clip_id", name="two_clips"),
        _one_of("gold", ("left", "right", "draw")),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(ID, unique=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    task: Mapped[str] = mapped_column(String(100))
    first_clip_id: Mapped[str] = mapped_column(ForeignKey("clip.id"))
    second_clip_id: Mapped[str] = mapped_column(ForeignKey("clip.id"))
    pair: Mapped[str] = mapped_column(String(65))
    round: Mapped[int | None]
    selector: Mapped[str | None] = mapped_column(String(30))
    selection_probability: Mapped[float | None]
    gold: Mapped[str | None] = mapped_column(String(10))
    created: Mapped[datetime]


class ClipShowing(Base):
    """A question reserved for a rater until it expires, with the sides as shown; answered at most once.

    `repeats` is the rater's earlier answer to the same question, shown again with the sides swapped.
    """

    __tablename__ = "clip_showing"
    __table_args__ = (
        Index("ix_clip_showing_open", "study_id", "expires"),
        CheckConstraint("left_clip_id <> right_clip_id", name="two_clips"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(ID, unique=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    question_id: Mapped[str] = mapped_column(ForeignKey("clip_question.id"))
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"))
    left_clip_id: Mapped[str] = mapped_column(ForeignKey("clip.id"))
    right_clip_id: Mapped[str] = mapped_column(ForeignKey("clip.id"))
    repeats: Mapped[str | None] = mapped_column(String(32))
    created: Mapped[datetime]
    expires: Mapped[datetime]

    left: Mapped[Clip] = relationship(foreign_keys=[left_clip_id])
    right: Mapped[Clip] = relationship(foreign_keys=[right_clip_id])
    question: Mapped[ClipQuestion] = relationship()


class ClipAnswer(Base):
    """A rater's answer to a question; added once, never changed.

    `dropped` says why it does not count; empty if it does.
    """

    __tablename__ = "clip_answer"
    __table_args__ = (
        _one_of("winner", WINNERS),
        _one_of("skip_reason", SKIP_REASONS),
        Index("ix_clip_answer_study", "study_id", "number"),
        Index("ix_clip_answer_rater", "rater_id", "created"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(ID, unique=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.id"))
    showing_id: Mapped[str] = mapped_column(ForeignKey("clip_showing.id"), unique=True)
    rater_id: Mapped[str] = mapped_column(ForeignKey("rater.id"))
    winner: Mapped[str] = mapped_column(String(10))
    dropped: Mapped[str] = mapped_column(String(200))
    seconds: Mapped[float]
    speed: Mapped[float]
    created: Mapped[datetime]
    skip_reason: Mapped[str | None] = mapped_column(String(15))

    showing: Mapped[ClipShowing] = relationship()


class Event(Base):
    """An audit event about a study, a rater or an answer; added, never changed.

    The current state follows from the events in order of `number` (`leaderboard.studies.events`). They contain
    no personal data. `by` is `rater`, `rule` or an admin's name; `data` holds the reason of a ban, or the settings.
    """

    __tablename__ = "event"
    __table_args__ = (
        _one_of("kind", EVENT_KINDS),
        Index("ix_event_study", "study_id", "kind", "number"),
        Index("ix_event_rater", "rater_id", "kind", "number"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    study_id: Mapped[str | None] = mapped_column(ForeignKey("study.id"))
    kind: Mapped[str] = mapped_column(String(15))
    rater_id: Mapped[str | None] = mapped_column(ForeignKey("rater.id"))
    answer_id: Mapped[str | None] = mapped_column(String(32))
    by: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class RefusedAnswer(Base):
    """An answer that was refused (too late, by another rater, malformed), with the reason."""

    __tablename__ = "refused_answer"
    __table_args__ = (Index("ix_refused_answer_rater", "rater_id", "created"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    served_id: Mapped[str] = mapped_column(String(64))
    rater_id: Mapped[str | None] = mapped_column(String(32))
    winner: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime]


_ERASABLE = ("justification", "video_events")
"""Columns of an answer that may be blanked, when a rater's personal data is erased."""

_REFUSE_ON_SQLITE = "BEGIN SELECT RAISE(ABORT, '%(table)ss are append-only'); END"
_REFUSE_ON_POSTGRESQL = "EXECUTE FUNCTION is_append_only()"


def _ddl(statement: str, dialect: str) -> Any:
    return DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]


def _append_only(table: Table) -> None:
    """Let the database refuse changes of a table's rows, except the blanking of erasable columns."""
    fixed = [column for column in table.columns if column.name not in _ERASABLE]
    sqlite, postgresql = "", "FOR EACH STATEMENT"
    if len(fixed) < len(table.columns):
        changed = [f"NEW.{column.name} IS NOT OLD.{column.name}" for column in fixed]
        blanked = "NEW.justification <> '' OR NEW.video_events{} <> '[]'"
        sqlite = f"WHEN {' OR '.join([blanked.format(''), *changed])} "
        # PostgreSQL cannot compare JSON, only its text.
        changed = [
            "NEW.{0}{1} IS DISTINCT FROM OLD.{0}{1}".format(
                column.name, "::text" * isinstance(column.type, JSON)
            )
            for column in fixed
        ]
        postgresql = f"FOR EACH ROW WHEN ({' OR '.join([blanked.format('::text'), *changed])})"
    for dialect, trigger in (
        ("sqlite", f"no_update BEFORE UPDATE ON %(table)s {sqlite}{_REFUSE_ON_SQLITE}"),
        ("sqlite", f"no_delete BEFORE DELETE ON %(table)s {_REFUSE_ON_SQLITE}"),
        (
            "postgresql",
            f"no_update BEFORE UPDATE ON %(table)s {postgresql} {_REFUSE_ON_POSTGRESQL}",
        ),
        (
            "postgresql",
            "append_only BEFORE DELETE OR TRUNCATE ON %(table)s FOR EACH STATEMENT "
            + _REFUSE_ON_POSTGRESQL,
        ),
    ):
        made = _ddl(f"CREATE TRIGGER %(table)s_{trigger}", dialect)
        event.listen(table, "after_create", made)


event.listen(
    Base.metadata,
    "before_create",
    _ddl(
        "CREATE FUNCTION is_append_only() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION "
        "'%% are append-only', TG_TABLE_NAME || 's'; END $$ LANGUAGE plpgsql",
        "postgresql",
    ),
)
for _kept in (Judgment, CheckAnswer, ClipAnswer, Event):
    _append_only(Base.metadata.tables[_kept.__tablename__])


def count(session: Session, *conditions: Any) -> int:
    """Number of rows that meet conditions; conditions on two tables must join them."""
    return session.scalar(sa.select(sa.func.count()).where(*conditions)) or 0


def pair_key(one: str, other: str) -> str:
    """Key of two episodes that does not depend on the sides: both ids in alphabetical order."""
    return "-".join(sorted((one, other)))


def gold_as_shown(gold: Winner | None, *, swapped: bool) -> Winner | None:
    """Known answer of a question of clips with the sides as they were shown; None if it has none.

    Args:
        gold: Known answer with the first clip on the left.
        swapped: Whether the second clip was shown on the left.
    """
    return MIRRORED[gold] if gold and swapped else gold
