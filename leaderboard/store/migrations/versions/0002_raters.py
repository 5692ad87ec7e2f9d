"""Rater accounts, invites, checks of attention, events, admins; what a submission says of itself."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admin",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("email", sa.String(length=200), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_admin"),
        sa.UniqueConstraint("email", name="uq_admin_email"),
        sa.UniqueConstraint("name", name="uq_admin_name"),
    )
    op.create_table(
        "refused_answer",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("served_id", sa.String(length=64), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=True),
        sa.Column("winner", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_refused_answer"),
    )
    op.create_index(
        "ix_refused_answer_rater", "refused_answer", ["rater_id", "created"], unique=False
    )
    op.create_table(
        "store_secret",
        sa.Column("purpose", sa.String(length=30), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name="pk_store_secret"),
    )
    op.create_table(
        "admin_session",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("admin_id", sa.String(length=32), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["admin_id"], ["admin.id"], name="fk_admin_session_admin_id"),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_admin_session"),
    )
    op.create_table(
        "event",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=15), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=True),
        sa.Column("answer_id", sa.String(length=32), nullable=True),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind in ('settings', 'ban', 'unban', 'withdraw', 'erase', 'requalify')",
            name="ck_event_kind",
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_event_rater_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_event_study_id"),
        sa.PrimaryKeyConstraint("number", name="pk_event"),
    )
    op.create_index("ix_event_study", "event", ["study_id", "kind", "number"], unique=False)
    op.create_table(
        "invite",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("max_raters", sa.Integer(), nullable=True),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_invite_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_invite"),
        sa.UniqueConstraint("token_sha256", name="uq_invite_token_sha256"),
    )
    op.create_index("ix_invite_study_id", "invite", ["study_id"], unique=False)
    op.create_table(
        "membership",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=False),
        sa.Column("invite_id", sa.String(length=32), nullable=True),
        sa.Column("platform", sa.String(length=20), nullable=True),
        sa.Column("participant", sa.String(length=100), nullable=True),
        sa.Column("consented", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_sha256", sa.String(length=64), nullable=True),
        sa.Column("joined", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invite_id"], ["invite.id"], name="fk_membership_invite_id"),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_membership_rater_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_membership_study_id"),
        sa.PrimaryKeyConstraint("study_id", "rater_id", name="pk_membership"),
        sa.UniqueConstraint(
            "study_id",
            "platform",
            "participant",
            name="uq_membership_study_id_platform_participant",
        ),
    )
    op.create_index("ix_membership_invite_id", "membership", ["invite_id"], unique=False)
    op.create_table(
        "gold_pair",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("left_episode_id", sa.String(length=32), nullable=False),
        sa.Column("right_episode_id", sa.String(length=32), nullable=False),
        sa.Column("better", sa.String(length=10), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("retired", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("better in ('left', 'right', 'draw')", name="ck_gold_pair_better"),
        sa.ForeignKeyConstraint(
            ["left_episode_id"], ["episode.id"], name="fk_gold_pair_left_episode_id"
        ),
        sa.ForeignKeyConstraint(
            ["right_episode_id"], ["episode.id"], name="fk_gold_pair_right_episode_id"
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_gold_pair_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gold_pair"),
    )
    op.create_index("ix_gold_pair_study_id", "gold_pair", ["study_id"], unique=False)
    op.create_table(
        "attention_check",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=15), nullable=False),
        sa.Column("gold_id", sa.String(length=32), nullable=True),
        sa.Column("judgment_id", sa.String(length=32), nullable=True),
        sa.Column("left_episode_id", sa.String(length=32), nullable=False),
        sa.Column("right_episode_id", sa.String(length=32), nullable=False),
        sa.Column("expected", sa.String(length=10), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind in ('qualification', 'gold', 'repeat', 'self')", name="ck_attention_check_kind"
        ),
        sa.ForeignKeyConstraint(["gold_id"], ["gold_pair.id"], name="fk_attention_check_gold_id"),
        sa.ForeignKeyConstraint(
            ["left_episode_id"], ["episode.id"], name="fk_attention_check_left_episode_id"
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_attention_check_rater_id"),
        sa.ForeignKeyConstraint(
            ["right_episode_id"], ["episode.id"], name="fk_attention_check_right_episode_id"
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_attention_check_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attention_check"),
    )
    op.create_index(
        "ix_attention_check_rater", "attention_check", ["study_id", "rater_id"], unique=False
    )
    op.create_table(
        "check_answer",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("check_id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=False),
        sa.Column("winner", sa.String(length=10), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("responses", sa.JSON(), nullable=False),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("video_events", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "winner in ('left', 'right', 'draw', 'both_bad', 'skip')", name="ck_check_answer_winner"
        ),
        sa.ForeignKeyConstraint(
            ["check_id"], ["attention_check.id"], name="fk_check_answer_check_id"
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_check_answer_rater_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_check_answer_study_id"),
        sa.PrimaryKeyConstraint("number", name="pk_check_answer"),
        sa.UniqueConstraint("check_id", name="uq_check_answer_check_id"),
        sa.UniqueConstraint("id", name="uq_check_answer_id"),
    )
    op.create_index("ix_check_answer_rater", "check_answer", ["study_id", "rater_id"], unique=False)
    op.add_column(
        "episode", sa.Column("verified", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "judgment", sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("judgment", sa.Column("watched_left", sa.Double(), nullable=True))
    op.add_column("judgment", sa.Column("watched_right", sa.Double(), nullable=True))
    op.drop_index(
        "uq_judgment_human",
        table_name="judgment",
        sqlite_where=sa.text("source = 'human'"),
        postgresql_where=sa.text("source = 'human'"),
    )
    op.create_index(
        "uq_judgment_human",
        "judgment",
        ["rater_id", "pair", "attempt"],
        unique=True,
        sqlite_where=sa.text("source = 'human'"),
        postgresql_where=sa.text("source = 'human'"),
    )
    op.add_column(
        "submission",
        sa.Column("manifest", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
    )

    _keep_as_they_came()


# What a rater wrote may be blanked when the rater asks to be forgotten; nothing else ever changes.
_COLUMNS = {
    "judgment": (
        "number id study_id assignment_id rater_id left_episode_id right_episode_id pair winner "
        "source responses video_events seconds created attempt watched_left watched_right"
    ).split(),
    "check_answer": (
        "number id check_id study_id rater_id winner passed responses video_events seconds created"
    ).split(),
}
_JSON = {"responses", "video_events"}


def _keep_as_they_came() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _on_postgresql()
    else:
        _on_sqlite()


def _on_sqlite() -> None:
    op.execute("DROP TRIGGER judgment_no_update")
    for table in ("judgment", "check_answer"):
        changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _COLUMNS[table])
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"WHEN NEW.justification <> '' OR {changed} "
            f"BEGIN SELECT RAISE(ABORT, '{table}s are append-only'); END"
        )
    op.execute(
        "CREATE TRIGGER event_no_update BEFORE UPDATE ON event "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
    )
    for table in ("check_answer", "event"):
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table}s are append-only'); END"
        )


def _on_postgresql() -> None:
    op.execute("DROP TRIGGER judgment_append_only ON judgment")
    op.execute("DROP FUNCTION judgment_is_append_only()")
    op.execute(
        "CREATE FUNCTION is_append_only() RETURNS trigger AS $$ "
        "BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME || 's'; END $$ LANGUAGE plpgsql"
    )
    for table in ("judgment", "check_answer", "event"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION is_append_only()"
        )
    op.execute(
        "CREATE TRIGGER event_no_update BEFORE UPDATE ON event "
        "FOR EACH STATEMENT EXECUTE FUNCTION is_append_only()"
    )
    for table in ("judgment", "check_answer"):
        changed = " OR ".join(
            "NEW.{0}{1} IS DISTINCT FROM OLD.{0}{1}".format(name, "::text" * (name in _JSON))
            for name in _COLUMNS[table]
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN (NEW.justification <> '' OR {changed}) "
            "EXECUTE FUNCTION is_append_only()"
        )
