"""The first tables: studies, agents, their episodes, raters, assignments and judgments."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rater",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rater"),
        sa.UniqueConstraint("token_sha256", name="uq_rater_token_sha256"),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", name="uq_study_name"),
    )
    op.create_table(
        "agent",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("name_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_agent_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_agent"),
        sa.UniqueConstraint("study_id", "name_key", name="uq_agent_study_id_name_key"),
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("agent_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name="fk_submission_agent_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_submission_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_submission"),
    )
    op.create_index("ix_submission_agent_id", "submission", ["agent_id"], unique=False)
    op.create_index("ix_submission_study_id", "submission", ["study_id"], unique=False)
    op.create_table(
        "episode",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("submission_id", sa.String(length=32), nullable=False),
        sa.Column("agent_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=100), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("ended", sa.String(length=20), nullable=False),
        sa.Column("video_sha256", sa.String(length=64), nullable=False),
        sa.Column("lines_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name="fk_episode_agent_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_episode_study_id"),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name="fk_episode_submission_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_episode"),
        sa.UniqueConstraint("agent_id", "task", "seed", name="uq_episode_agent_id_task_seed"),
    )
    op.create_index("ix_episode_pairing", "episode", ["study_id", "task", "seed"], unique=False)
    op.create_index("ix_episode_submission_id", "episode", ["submission_id"], unique=False)
    op.create_table(
        "assignment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("rater_id", sa.String(length=32), nullable=False),
        sa.Column("left_episode_id", sa.String(length=32), nullable=False),
        sa.Column("right_episode_id", sa.String(length=32), nullable=False),
        sa.Column("pair", sa.String(length=65), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "left_episode_id <> right_episode_id", name="ck_assignment_two_episodes"
        ),
        sa.ForeignKeyConstraint(
            ["left_episode_id"], ["episode.id"], name="fk_assignment_left_episode_id"
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_assignment_rater_id"),
        sa.ForeignKeyConstraint(
            ["right_episode_id"], ["episode.id"], name="fk_assignment_right_episode_id"
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_assignment_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_assignment"),
    )
    op.create_index(
        "ix_assignment_open", "assignment", ["study_id", "rater_id", "expires"], unique=False
    )
    op.create_table(
        "judgment",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("assignment_id", sa.String(length=32), nullable=True),
        sa.Column("rater_id", sa.String(length=32), nullable=True),
        sa.Column("left_episode_id", sa.String(length=32), nullable=False),
        sa.Column("right_episode_id", sa.String(length=32), nullable=False),
        sa.Column("pair", sa.String(length=65), nullable=False),
        sa.Column("winner", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("responses", sa.JSON(), nullable=False),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("video_events", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "source in ('human', 'bedd', 'telemetry', 'model')", name="ck_judgment_source"
        ),
        sa.CheckConstraint(
            "winner in ('left', 'right', 'draw', 'both_bad', 'skip')", name="ck_judgment_winner"
        ),
        sa.CheckConstraint("left_episode_id <> right_episode_id", name="ck_judgment_two_episodes"),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignment.id"], name="fk_judgment_assignment_id"
        ),
        sa.ForeignKeyConstraint(
            ["left_episode_id"], ["episode.id"], name="fk_judgment_left_episode_id"
        ),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name="fk_judgment_rater_id"),
        sa.ForeignKeyConstraint(
            ["right_episode_id"], ["episode.id"], name="fk_judgment_right_episode_id"
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_judgment_study_id"),
        sa.PrimaryKeyConstraint("number", name="pk_judgment"),
        sa.UniqueConstraint("assignment_id", name="uq_judgment_assignment_id"),
        sa.UniqueConstraint("id", name="uq_judgment_id"),
    )
    op.create_index("ix_judgment_study", "judgment", ["study_id", "pair"], unique=False)
    op.create_index(
        "uq_judgment_human",
        "judgment",
        ["rater_id", "pair"],
        unique=True,
        sqlite_where=sa.text("source = 'human'"),
        postgresql_where=sa.text("source = 'human'"),
    )
    op.create_index(
        "uq_judgment_telemetry",
        "judgment",
        ["study_id", "pair"],
        unique=True,
        sqlite_where=sa.text("source = 'telemetry'"),
        postgresql_where=sa.text("source = 'telemetry'"),
    )

    _refuse_changes_of_judgments()


def _refuse_changes_of_judgments() -> None:
    """Judgments are the only truth about quality: the database itself keeps them as they came."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION judgment_is_append_only() RETURNS trigger AS $$ "
            "BEGIN RAISE EXCEPTION 'judgments are append-only'; END $$ LANGUAGE plpgsql"
        )
        op.execute(
            "CREATE TRIGGER judgment_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON judgment "
            "FOR EACH STATEMENT EXECUTE FUNCTION judgment_is_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER judgment_no_{change.lower()} BEFORE {change} ON judgment "
            "BEGIN SELECT RAISE(ABORT, 'judgments are append-only'); END"
        )
