"""Tables made again as the models say, with the rows that they had."""

import sqlalchemy as sa
from alembic import op

_COPY = "copied_rows"


def rebuild(model: type) -> None:
    """Make a table again with the columns, constraints, indexes and triggers of its model; new columns are empty.

    SQLite cannot change the constraints of a table, and the triggers that keep answers name all columns. No other
    table may refer to this one.

    Args:
        model: Class of the table, of `leaderboard.store.models`.
    """
    table: sa.Table = model.__table__  # type: ignore[attr-defined]
    connection = op.get_bind()
    kept = [column["name"] for column in sa.inspect(connection).get_columns(table.name)]
    names = ", ".join(kept)
    connection.execute(sa.text(f"CREATE TABLE {_COPY} AS SELECT {names} FROM {table.name}"))
    connection.execute(sa.schema.DropTable(table))
    table.create(connection)
    connection.execute(sa.text(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_COPY}"))
    connection.execute(sa.text(f"DROP TABLE {_COPY}"))
    if connection.dialect.name == "postgresql" and "number" in kept:
        last = f"(SELECT coalesce(max(number), 0) + 1 FROM {table.name})"
        sequence = f"pg_get_serial_sequence('{table.name}', 'number')"
        connection.execute(sa.text(f"SELECT setval({sequence}, {last}, false)"))
