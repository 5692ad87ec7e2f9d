"""All tables, as the models say.

Until the first release a change of the models changes this revision. With that release it is frozen: it then
gets the tables of that moment written out, and each later change of the models a revision of its own.
"""

from alembic import op

from leaderboard.store.models import Base

revision = "initial"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, their indexes and the triggers that keep answers as they came."""
    Base.metadata.create_all(op.get_bind())
