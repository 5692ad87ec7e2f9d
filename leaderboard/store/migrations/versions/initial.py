"""All tables. Until the first release a change of the tables edits this revision."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "initial"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, their indexes and the triggers that keep answers as they came."""
    op.create_table(
        "rater",
        _id(),
        _string("token_sha256", 64, unique=True),
        _string("name", 100, nullable=True),
        _time("created"),
    )
    op.create_table(
        "study",
        _id(),
        _string("name", 100, unique=True),
        _column("rules", sa.JSON()),
        _time("created"),
    )
    op.create_table(
        "agent",
        _id(),
        _reference("study"),
        _string("name", 100),
        _string("name_key", 200),
        _string("kind", 20),
        _time("created"),
        sa.UniqueConstraint("study_id", "name_key"),
    )
    op.create_table(
        "submission",
        _id(),
        _reference("study", index=True),
        _reference("agent", index=True),
        _time("created"),
        _column("manifest", sa.JSON(), server_default=sa.text("'{}'")),
    )
    op.create_table(
        "episode",
        _id(),
        _reference("study"),
        _reference("submission", index=True),
        _reference("agent"),
        _string("task", 100),
        _column("seed", sa.BigInteger()),
        _column("steps", sa.Integer()),
        _string("ended", 20),
        _string("video_sha256", 64),
        _string("lines_sha256", 64),
        _column("verified", sa.Boolean(), server_default=sa.false()),
        sa.UniqueConstraint("agent_id", "task", "seed"),
        sa.Index("ix_episode_pairing", "study_id", "task", "seed"),
    )
    op.create_table(
        "assignment",
        _id(),
        _reference("study"),
        _reference("rater"),
        *_two_episodes(),
        _string("pair", 65),
        _time("created"),
        _time("expires"),
        sa.CheckConstraint("left_episode_id <> right_episode_id", name="two_episodes"),
        sa.Index("ix_assignment_open", "study_id", "rater_id", "expires"),
    )
    op.create_table(
        "judgment",
        _number(),
        _string("id", 32, unique=True),
        _reference("study"),
        _reference("assignment", unique=True, nullable=True),
        _reference("rater", nullable=True),
        *_two_episodes(),
        _string("pair", 65),
        _string("winner", 10),
        _string("source", 10),
        _column("responses", sa.JSON()),
        _column("justification", sa.Text()),
        _column("video_events", sa.JSON()),
        _column("seconds", sa.Double(), nullable=True),
        _time("created"),
        _column("attempt", sa.Integer(), server_default=sa.text("0")),
        _column("watched_left", sa.Double(), nullable=True),
        _column("watched_right", sa.Double(), nullable=True),
        _one_of("winner", _WINNERS),
        _one_of("source", "human bedd telemetry model"),
        sa.CheckConstraint("left_episode_id <> right_episode_id", name="two_episodes"),
        sa.Index("ix_judgment_study", "study_id", "pair"),
        _once("human", "rater_id", "pair", "attempt"),
        _once("telemetry", "study_id", "pair"),
    )
    op.create_table(
        "store_secret",
        _string("purpose", 30, primary_key=True),
        _string("value", 64),
    )
    op.create_table(
        "admin",
        _id(),
        _string("name", 100, unique=True),
        _string("password_hash", 200, nullable=True),
        _string("email", 200, nullable=True, unique=True),
        _time("created"),
    )
    op.create_table(
        "admin_session",
        _string("token_sha256", 64, primary_key=True),
        _reference("admin"),
        _time("expires"),
    )
    op.create_table(
        "invite",
        _id(),
        _reference("study", index=True),
        _string("token_sha256", 64, unique=True),
        _string("label", 100),
        _column("max_raters", sa.Integer(), nullable=True),
        _time("expires", nullable=True),
        _time("revoked", nullable=True),
        _time("created"),
    )
    op.create_table(
        "membership",
        _reference("study", primary_key=True),
        _reference("rater", primary_key=True),
        _reference("invite", nullable=True, index=True),
        _string("platform", 20, nullable=True),
        _string("participant", 100, nullable=True),
        _time("consented", nullable=True),
        _string("consent_sha256", 64, nullable=True),
        _time("joined"),
        sa.UniqueConstraint("study_id", "platform", "participant"),
    )
    op.create_table(
        "gold_pair",
        _id(),
        _reference("study", index=True),
        *_two_episodes(),
        _string("better", 10),
        _column("explanation", sa.Text()),
        _time("retired", nullable=True),
        _time("created"),
        _one_of("better", "left right draw"),
    )
    op.create_table(
        "attention_check",
        _id(),
        _reference("study"),
        _reference("rater"),
        _string("kind", 15),
        _reference("gold_pair", name="gold_id", nullable=True),
        _string("judgment_id", 32, nullable=True),
        *_two_episodes(),
        _string("expected", 10),
        _time("created"),
        _time("expires"),
        _one_of("kind", "qualification gold repeat self"),
        sa.Index("ix_attention_check_rater", "study_id", "rater_id"),
    )
    op.create_table(
        "check_answer",
        _number(),
        _string("id", 32, unique=True),
        _reference("attention_check", name="check_id", unique=True),
        _reference("study"),
        _reference("rater"),
        _string("winner", 10),
        _column("passed", sa.Boolean()),
        _column("responses", sa.JSON()),
        _column("justification", sa.Text()),
        _column("video_events", sa.JSON()),
        _column("seconds", sa.Double()),
        _time("created"),
        _one_of("winner", _WINNERS),
        sa.Index("ix_check_answer_rater", "study_id", "rater_id"),
    )
    op.create_table(
        "event",
        _number(),
        _reference("study", nullable=True),
        _string("kind", 15),
        _reference("rater", nullable=True),
        _string("answer_id", 32, nullable=True),
        _string("by", 40),
        _column("data", sa.JSON()),
        _time("created"),
        _one_of("kind", "settings ban unban withdraw erase requalify"),
        sa.Index("ix_event_study", "study_id", "kind", "number"),
    )
    op.create_table(
        "refused_answer",
        _number(),
        _string("served_id", 64),
        _string("rater_id", 32, nullable=True),
        _string("winner", 20),
        _column("reason", sa.Text()),
        _time("created"),
        sa.Index("ix_refused_answer_rater", "rater_id", "created"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _append_only_on_postgresql()
    else:
        _append_only_on_sqlite()


_WINNERS = "left right draw both_bad skip"


def _column(name: str, kind: Any, *rest: Any, **options: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, *rest, **({"nullable": False} | options))


def _string(name: str, length: int, **options: Any) -> "sa.Column[Any]":
    return _column(name, sa.String(length), **options)


def _time(name: str, **options: Any) -> "sa.Column[Any]":
    return _column(name, sa.DateTime(timezone=True), **options)


def _id() -> "sa.Column[Any]":
    return _string("id", 32, primary_key=True)


def _number() -> "sa.Column[Any]":
    return _column("number", sa.Integer(), primary_key=True, autoincrement=True)


def _reference(table: str, name: str | None = None, **options: Any) -> "sa.Column[Any]":
    key = sa.ForeignKey(f"{table}.id")
    return _column(name or f"{table}_id", sa.String(32), key, **options)


def _two_episodes() -> "list[sa.Column[Any]]":
    return [_reference("episode", name=f"{side}_episode_id") for side in ("left", "right")]


def _one_of(column: str, values: str) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values.split())
    return sa.CheckConstraint(f"{column} in ({allowed})", name=column)


def _once(source: str, *columns: str) -> sa.Index:
    where = sa.text(f"source = '{source}'")
    name = f"uq_judgment_{source}"
    return sa.Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


# Judgments, answers to attention checks and events never change. When a rater asks for erasure, the
# written reason and the video events of an answer may be blanked; these other columns stay fixed.
_FIXED = {
    "judgment": "number id study_id assignment_id rater_id left_episode_id right_episode_id pair "
    "winner source responses seconds created attempt watched_left watched_right",
    "check_answer": "number id check_id study_id rater_id winner passed responses seconds created",
    "event": "",
}


def _append_only_on_sqlite() -> None:
    for table, fixed in _FIXED.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table}s are append-only'); END"
        changed = [f"NEW.{name} IS NOT OLD.{name}" for name in fixed.split()]
        unblanked = "NEW.justification <> '' OR NEW.video_events <> '[]'"
        when = f"WHEN {' OR '.join([unblanked, *changed])} " if fixed else ""
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {when}{refuse}")
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")


def _append_only_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION is_append_only() RETURNS trigger AS $$ "
        "BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME || 's'; END $$ LANGUAGE plpgsql"
    )
    refuse = "EXECUTE FUNCTION is_append_only()"
    for table, fixed in _FIXED.items():
        # PostgreSQL cannot compare JSON, only its text.
        changed = [
            "NEW.{0}{1} IS DISTINCT FROM OLD.{0}{1}".format(name, "::text" * (name == "responses"))
            for name in fixed.split()
        ]
        unblanked = "NEW.justification <> '' OR NEW.video_events::text <> '[]'"
        each = f"ROW WHEN ({' OR '.join([unblanked, *changed])})" if fixed else "STATEMENT"
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH {each} {refuse}"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT {refuse}"
        )
