"""The store opens, migrates, refuses what it cannot read, and keeps judgments as they came."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.store.database import (
    UNRELEASED,
    Store,
    StoreError,
    alembic_config,
    open_store,
    store_exists,
)
from leaderboard.store.models import Base, Judgment, Rater
from leaderboard.studies.rules import StudyInfo, create_study, demo_study, find_study
from leaderboard.submissions.register import submit_recordings
from tests.support import ROOT
from tests.support.filled_store import fill
from tests.support.old_store import make_old_tables
from tests.support.three_players import SEEDS, unwatched_study


def test_migrations_make_exactly_the_models(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t "
    "JOIN pg_class c ON c.oid = tgrelid "
    "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace ORDER BY tgname",
}


def shape(connection: sa.Connection) -> dict[str, Any]:
    """All that the database knows of the tables: columns, keys, constraints, indexes, triggers."""
    inspector = sa.inspect(connection)
    schema = "current schema"
    if is_server(connection):
        schema = str(connection.scalar(sa.text("SELECT current_schema()")))
    triggers = connection.execute(sa.text(TRIGGERS[connection.dialect.name]))
    tables: dict[str, Any] = {
        table: {
            "columns": [str(column) for column in inspector.get_columns(table)],
            "primary": str(inspector.get_pk_constraint(table)),
            "foreign": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "checks": sorted(map(str, inspector.get_check_constraints(table))),
            "indexes": sorted(
                str({key: str(value) for key, value in index.items()} | where(index))
                for index in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }
    made = [str(trigger).replace(f"{schema}.", "") for trigger in triggers]
    return tables | {"triggers": made}


def is_server(connection: sa.Connection) -> bool:
    return connection.dialect.name == "postgresql"


def where(index: Mapping[str, Any]) -> dict[str, object]:
    """The condition of a partial index, as text."""
    options = index.get("dialect_options", {})
    return {"dialect_options": {key: str(value) for key, value in options.items()}}


def test_an_old_store_is_migrated_to_the_tables_of_a_new_one_to_the_last_trigger(
    store: Store,
) -> None:
    with store.engine.connect() as connection:
        made = shape(connection)
        assert len(made["triggers"]) == 8
        connection.rollback()
        # In a transaction that is taken back: on both databases tables are part of it.
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.schema.DropTable(table))
        assert shape(connection) == {"triggers": []}
        if is_server(connection):
            connection.execute(sa.text("DROP FUNCTION is_append_only"))
        make_old_tables(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'initial'"))
        command.upgrade(alembic_config(connection), "head")
        assert shape(connection) == made
        connection.rollback()


def test_a_store_of_the_hand_written_revision_opens_as_it_is(
    store_place: tuple[str, Path], agents: dict[str, Path]
) -> None:
    location, media = store_place
    made = open_store(location, media)
    with made.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.schema.DropTable(table))
        if is_server(connection):
            connection.execute(sa.text("DROP FUNCTION is_append_only"))
        make_old_tables(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'initial'"))
    made.close()
    again = open_store(location, media)
    with again.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert len(shape(connection)["triggers"]) == 8
    study = unwatched_study(again, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(again, study, folder)
    assert judge_by_telemetry(again, study) == 6
    with (
        pytest.raises(sa.exc.DBAPIError, match="judgments are append-only"),
        again.write() as session,
    ):
        session.execute(sa.delete(Judgment))
    again.close()


def test_a_migration_keeps_the_rows_and_goes_on_counting(
    store_place: tuple[str, Path], agents: dict[str, Path]
) -> None:
    location, media = store_place
    made = open_store(location, media)
    study = unwatched_study(made, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(made, study, folder)
    judge_by_telemetry(made, study)

    def judgments(store: Store) -> list[sa.Row[Any]]:
        with store.read() as session:
            return list(session.execute(sa.select(Judgment.__table__).order_by("number")))

    before = judgments(made)
    with made.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'exclusions'"))
    made.close()
    again = open_store(location, media)
    assert judgments(again) == before and len(before) == 6
    rater = register_rater(again, "alice")
    pair = next_pair(again, study, rater)
    assert pair is not None
    answer_pair(again, pair.assignment_id, rater, "left")
    assert [one.number for one in judgments(again)] == [*range(1, 8)]
    again.close()


@pytest.mark.parametrize("revision", UNRELEASED)
def test_a_store_from_before_the_release_is_refused_with_the_commit_that_reads_it(
    store_place: tuple[str, Path], revision: str
) -> None:
    made = open_store(*store_place)
    with made.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    made.close()
    with pytest.raises(
        StoreError, match=rf"before the first release.*{revision}.*548b757"
    ) as caught:
        open_store(*store_place)
    assert "\n" not in str(caught.value)


def test_reopening_keeps_what_was_stored(store_place: tuple[str, Path]) -> None:
    first = open_store(*store_place)
    made = create_study(first, "kept", demo_study({"find_cave": [100_001]}, "test", "1"))
    first.close()
    again = open_store(*store_place)
    assert find_study(again, "kept") == made
    again.close()


def test_a_newer_database_is_refused_and_left_alone(store_place: tuple[str, Path]) -> None:
    made = open_store(*store_place)
    with made.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    made.close()
    with pytest.raises(StoreError, match=r"newer version.*9999"):
        open_store(*store_place)


def test_two_openers_at_once_migrate_once(store_place: tuple[str, Path]) -> None:
    failures: list[BaseException] = []

    def opener() -> None:
        try:
            open_store(*store_place).close()
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=opener) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("change", ["UPDATE judgment SET winner = 'draw'", "DELETE FROM judgment"])
def test_the_database_refuses_to_change_a_judgment(
    store: Store, full_study: StudyInfo, change: str
) -> None:
    judge_by_telemetry(store, full_study)
    with (
        pytest.raises(sa.exc.DBAPIError, match="judgments are append-only"),
        store.write() as session,
    ):
        session.execute(sa.text(change))
    with store.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM judgment")) == 6


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.write() as session:
        session.add(Rater(token_sha256="0" * 64, created=datetime.now(UTC)))
        session.flush()
        raise RuntimeError
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Rater)) == 0


def test_times_come_back_in_utc_whatever_zone_they_came_in(store: Store) -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 123456, timezone(timedelta(hours=5)))
    with store.write() as session:
        session.add(Rater(token_sha256="0" * 64, created=moment))
    with store.read() as session:
        stored = session.scalar(sa.select(Rater.created))
    assert stored == moment
    assert stored is not None and stored.tzinfo is UTC


def test_foreign_keys_hold(store: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError), store.write() as session:
        session.execute(
            sa.text(
                "INSERT INTO submission (id, study_id, agent_id, created) "
                "VALUES ('a', 'no such study', 'no such agent', '2026-01-01')"
            )
        )


# SQLite itself does not wait here: a write out of turn fails at once.
JUDGES = """
import sys, threading
import leaderboard.store.database
leaderboard.store.database.BUSY_SECONDS = 0
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.judging.assignments import next_pair
from leaderboard.studies.rules import find_study

store = leaderboard.store.database.open_store(sys.argv[1])
study = find_study(store, "small")
failures = []

def judge(number):
    try:
        rater = register_rater(store, f"{sys.argv[2]} {number}")
        while pair := next_pair(store, study, rater):
            answer_pair(store, pair.assignment_id, rater, "left")
    except BaseException as err:
        failures.append(err)

threads = [threading.Thread(target=judge, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    raise failures[0]
"""


def test_processes_take_turns_to_write_to_sqlite(tmp_path: Path) -> None:
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    fill(store, agents=3, seeds=4)
    processes = [
        subprocess.Popen([sys.executable, "-c", JUDGES, str(place), name], cwd=ROOT)
        for name in ("app", "api")
    ]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    with store.read() as session:
        rows = session.execute(sa.select(Judgment.rater_id, Judgment.pair)).all()
    store.close()
    raters, pairs = 8, 12
    assert len(rows) == len(set(rows)) == raters * pairs


def test_a_writer_that_was_killed_gives_up_its_turn(tmp_path: Path) -> None:
    place = tmp_path / "leaderboard.sqlite"
    store = open_store(place)
    writer = (
        "import sys, time; from leaderboard.store.database import open_store\n"
        "with open_store(sys.argv[1]).write(): print('writing', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(place)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert register_rater(store, "secret")
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("these are my notes, not a database " * 100)
    with pytest.raises(StoreError, match=r"notes\.sqlite.*cannot be opened as a leaderboard"):
        open_store(path)
    assert path.read_text().startswith("these are my notes")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipe (id INTEGER)")
    with pytest.raises(StoreError, match="is not a leaderboard"):
        open_store(path)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("mysql://host/db", "mysql is not supported"),
        ("sqlite://", "expected the path of a file"),
        ("post gres://", "expected a path or a database URL"),
    ],
)
def test_other_databases_are_refused(location: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(location)


def test_a_server_database_needs_a_media_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASALT_MEDIA", raising=False)
    with pytest.raises(StoreError, match="BASALT_MEDIA"):
        open_store("postgresql://nobody@/nowhere")


def test_existence_is_asked_without_making_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    assert not store_exists(path)
    assert not store_exists(f"sqlite:///{path}")
    assert not path.exists()
    open_store(path).close()
    assert store_exists(f"sqlite:///{path}")
    assert (tmp_path / "new.media").is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        open_store(tmp_path / "file" / "leaderboard.sqlite")


@pytest.mark.parametrize(
    ("one", "other"), [("judge.2024", "judge.2025"), ("judge.db", "judge.sqlite"), ("a.b", "a.c")]
)
def test_two_stores_do_not_share_a_media_folder(tmp_path: Path, one: str, other: str) -> None:
    stores = [open_store(tmp_path / name) for name in (one, other)]
    assert stores[0].media != stores[1].media
    assert all(store.media.is_dir() for store in stores)
    for store in stores:
        store.close()
    again = open_store(tmp_path / other)
    assert again.media == stores[1].media
    again.close()


@pytest.mark.parametrize("names", [("judge", "judge.sqlite"), ("judge.sqlite", "judge")])
def test_a_store_that_would_share_a_media_folder_is_refused(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    open_store(tmp_path / names[0]).close()
    with pytest.raises(StoreError, match=r"would share the folder .*judge\.media.*rename one"):
        open_store(tmp_path / names[1])


def test_the_media_folder_that_a_store_of_before_has_is_kept(tmp_path: Path) -> None:
    first = open_store(tmp_path / "judge.2024")
    first.media.rename(tmp_path / "judge.media")
    first.close()
    again = open_store(tmp_path / "judge.2024")
    assert again.media == tmp_path / "judge.media"
    again.close()
    new = open_store(tmp_path / "judge.2025")
    assert new.media == tmp_path / "judge.2025.media"
    new.close()
