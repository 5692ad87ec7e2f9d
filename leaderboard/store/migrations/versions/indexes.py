"""Indexes of large studies: open reservations, a rater's events and answers."""

import sqlalchemy as sa
from alembic import op

from leaderboard.store.models import Assignment, CheckAnswer, ClipAnswer, Event

revision = "indexes"
down_revision = "watched"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add those that are missing; a new store has them."""
    connection = op.get_bind()
    for model in (Assignment, CheckAnswer, ClipAnswer, Event):
        table = model.metadata.tables[model.__tablename__]
        present = {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in present:
                index.create(connection)
