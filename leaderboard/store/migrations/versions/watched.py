"""How much of the videos of an attention check was watched, which answers in older stores do not say."""

from leaderboard.store.migrations.rebuild import rebuild
from leaderboard.store.models import CheckAnswer

revision = "watched"
down_revision = "ahead"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    rebuild(CheckAnswer)
