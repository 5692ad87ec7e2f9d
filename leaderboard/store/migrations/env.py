"""Runs migrations over the connection that `leaderboard.store.database` has opened."""

from alembic import context

from leaderboard.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
