"""How much better the winner is, which answers in older stores do not say."""

from leaderboard.store.migrations.rebuild import rebuild
from leaderboard.store.models import CheckAnswer, Judgment

revision = "strength"
down_revision = "browsers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to the two tables of answers about pairs."""
    for model in (Judgment, CheckAnswer):
        rebuild(model)
