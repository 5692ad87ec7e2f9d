"""Pairs that are reserved before they are shown, which older stores do not have."""

import sqlalchemy as sa
from alembic import op

revision = "ahead"
down_revision = "tokens"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to both tables of reservations, unless this is a new store."""
    for table in ("assignment", "attention_check"):
        columns = sa.inspect(op.get_bind()).get_columns(table)
        if "ahead" not in {column["name"] for column in columns}:
            ahead: sa.Column[bool] = sa.Column(
                "ahead", sa.Boolean(), server_default=sa.false(), nullable=False
            )
            op.add_column(table, ahead)
