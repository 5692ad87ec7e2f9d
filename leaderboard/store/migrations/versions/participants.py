"""Browsers of participants, ids of their platform, and the events about them, which older stores do not have."""

from alembic import op

from leaderboard.store.migrations.rebuild import rebuild
from leaderboard.store.models import Browser, Event, Membership

revision = "participants"
down_revision = "skips"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, add the columns, and allow the new kinds of events."""
    Browser.__table__.create(op.get_bind(), checkfirst=True)  # type: ignore[attr-defined]
    for model in (Membership, Event):
        rebuild(model)
