"""Who asks to be forgotten leaves no video events either: they may be blanked, as written reasons may."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = {
    "judgment": (
        "number id study_id assignment_id rater_id left_episode_id right_episode_id pair winner "
        "source responses seconds created attempt watched_left watched_right"
    ).split(),
    "check_answer": (
        "number id check_id study_id rater_id winner passed responses seconds created"
    ).split(),
}


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table in _COLUMNS:
        if postgresql:
            _on_postgresql(table)
        else:
            _on_sqlite(table)


def _on_sqlite(table: str) -> None:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _COLUMNS[table])
    op.execute(f"DROP TRIGGER {table}_no_update")
    op.execute(
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"WHEN NEW.justification <> '' OR NEW.video_events <> '[]' OR {changed} "
        f"BEGIN SELECT RAISE(ABORT, '{table}s are append-only'); END"
    )


def _on_postgresql(table: str) -> None:
    changed = " OR ".join(
        "NEW.{0}{1} IS DISTINCT FROM OLD.{0}{1}".format(name, "::text" * (name == "responses"))
        for name in _COLUMNS[table]
    )
    op.execute(f"DROP TRIGGER {table}_no_update ON {table}")
    op.execute(
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW "
        f"WHEN (NEW.justification <> '' OR NEW.video_events::text <> '[]' OR {changed}) "
        "EXECUTE FUNCTION is_append_only()"
    )
