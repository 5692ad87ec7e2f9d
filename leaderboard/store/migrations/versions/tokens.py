"""API tokens, and admins who may only read."""

import sqlalchemy as sa
from alembic import op

from leaderboard.store.models import ApiToken

revision = "tokens"
down_revision = "strength"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and add the column, unless this is a new store."""
    ApiToken.__table__.create(op.get_bind(), checkfirst=True)  # type: ignore[attr-defined]
    columns = sa.inspect(op.get_bind()).get_columns("admin")
    if "read_only" not in {column["name"] for column in columns}:
        read_only: sa.Column[bool] = sa.Column(
            "read_only", sa.Boolean(), server_default=sa.false(), nullable=False
        )
        op.add_column("admin", read_only)
