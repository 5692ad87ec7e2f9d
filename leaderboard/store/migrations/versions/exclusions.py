"""The table of exclusions, which stores made before it do not have yet."""

from alembic import op

from leaderboard.store.models import Exclusion

revision = "exclusions"
down_revision = "clips"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; a new store has it from the first revision."""
    Exclusion.__table__.create(op.get_bind(), checkfirst=True)  # type: ignore[attr-defined]
