"""The events about a further browser of a participant, which older stores do not know."""

from leaderboard.store.migrations.rebuild import rebuild
from leaderboard.store.models import Event

revision = "browsers"
down_revision = "practice"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow the new kinds of events."""
    rebuild(Event)
