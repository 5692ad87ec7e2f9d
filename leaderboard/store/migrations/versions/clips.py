"""The tables of clips, which stores made before them do not have yet."""

from alembic import op

from leaderboard.store.models import Clip, ClipAnswer, ClipQuestion, ClipShowing

revision = "clips"
down_revision = "initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables with their triggers; a new store has them from the first revision."""
    for model in (Clip, ClipQuestion, ClipShowing, ClipAnswer):
        model.__table__.create(op.get_bind(), checkfirst=True)  # type: ignore[attr-defined]
