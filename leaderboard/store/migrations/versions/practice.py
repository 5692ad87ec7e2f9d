"""Which gold pairs are for practice and which for attention checks; older stores do not say."""

import sqlalchemy as sa
from alembic import op

revision = "practice"
down_revision = "participants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, unless this is a new store."""
    columns = sa.inspect(op.get_bind()).get_columns("gold_pair")
    if "practice" not in {column["name"] for column in columns}:
        op.add_column("gold_pair", sa.Column("practice", sa.Boolean()))
