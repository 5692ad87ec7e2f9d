"""The reason of a skip, which answers in stores made before it do not have."""

from leaderboard.store.migrations.rebuild import rebuild
from leaderboard.store.models import CheckAnswer, ClipAnswer, Judgment

revision = "skips"
down_revision = "exclusions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to the three tables of answers."""
    for model in (Judgment, CheckAnswer, ClipAnswer):
        rebuild(model)
