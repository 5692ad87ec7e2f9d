"""The tables of a store as the first revision made them."""

import sqlalchemy as sa

from tests.support import ROOT

GOLDEN = ROOT / "tests" / "golden"


def make_old_tables(connection: sa.Connection) -> None:
    """Make the tables as the first revision made them when it was written by hand."""
    script = (GOLDEN / f"leaderboard_{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in script.split(";\n\n"):
        connection.execute(sa.text(statement))
