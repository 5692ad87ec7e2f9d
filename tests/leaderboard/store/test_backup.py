"""Backup and restore with the commands of docs/leaderboard.md, as they are written there, while raters judge."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from basalt.core.comparisons import write_comparisons
from leaderboard.http.video_urls import pair_videos, video_of_ticket
from leaderboard.judging.archive import write_archive
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.raters import register_rater
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store, open_store
from leaderboard.store.models import Assignment, Base, Episode, Judgment
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo, demo_study, find_study
from leaderboard.studies.settings import change_settings
from leaderboard.submissions.register import submit_recordings
from tests.support import ROOT
from tests.support.filled_store import fill
from tests.support.old_store import make_old_tables
from tests.support.three_players import SEEDS, unwatched_study

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

ADMIN = command_line_admin()
PATIENCE_S = 300


def documented() -> dict[str, list[str]]:
    """The commands of the documentation by database: to back up, and to restore."""
    text = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    section = text.split("### Backup and restore\n")[1].split("\nIn Python:\n")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return {"sqlite": blocks[:2], "postgresql": blocks[2:]}


@dataclass
class Place:
    """Where a store is, and where its copy goes; commands run in `folder`."""

    kind: str
    folder: Path
    location: str
    restored: str
    variables: dict[str, str] = field(default_factory=dict)

    def open(self) -> Store:
        return open_store(self.location, self.variables.get("BASALT_MEDIA"))

    def back_up(self) -> None:
        self._run(documented()[self.kind][0])

    def restore(self) -> Store:
        said = self._run(documented()[self.kind][1])
        assert self.kind == "sqlite" or "sha256" in said.lower(), said
        media = "restored" if self.kind == "postgresql" else None
        return open_store(self.restored, None if media is None else self.folder / media)

    def _run(self, commands: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.folder,
            env=os.environ | self.variables | {"PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        if shutil.which("sqlite3") is None:
            pytest.skip("SQLite's program is not installed (Debian package sqlite3)")
        (tmp_path / "runs").mkdir()
        names = [str(tmp_path / one / "leaderboard.sqlite") for one in ("runs", "restored")]
        return Place("sqlite", tmp_path, *names)
    server: str = request.getfixturevalue("postgres_server")
    admin = sa.create_engine(
        server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    locations = []
    with admin.connect() as connection:
        for _ in range(2):
            name = f"backup_{uuid4().hex}"
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
            locations.append(server.replace("/postgres?", f"/{name}?"))
    admin.dispose()
    variables = {
        "STORE": locations[0],
        "RESTORED": locations[1],
        "BASALT_MEDIA": str(tmp_path / "media"),
    }
    return Place("postgresql", tmp_path, *locations, variables)


class Judges:
    """Raters who judge without a pause, in threads.

    Attributes:
        said: Their answers that were called stored, by the id of the answer.
    """

    def __init__(self, store: Store, study: StudyInfo) -> None:
        self.said: dict[str, str] = {}
        self.raters = [register_rater(store, name) for name in ("ada", "bob", "eve")]
        self._store, self._study = store, study
        self._done = threading.Event()
        self._failures: list[BaseException] = []

    @contextmanager
    def judging(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._judge, args=(one,)) for one in self.raters]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert not self._failures, self._failures[0]

    def wait_for(self, answers: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self.said) < answers:
            assert not self._failures, self._failures[0]
            assert time.monotonic() < deadline, "the raters do not answer"
            time.sleep(0.01)

    def _judge(self, rater: str) -> None:
        try:
            while not self._done.is_set() and (pair := next_pair(self._store, self._study, rater)):
                winner = "left" if pair.seed % 2 else "draw"
                stored = answer_pair(self._store, pair.assignment_id, rater, winner)
                self.said[stored.id] = winner
        except BaseException as err:
            self._failures.append(err)


def rows(store: Store, table: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table, in the order of its key."""
    with store.read() as session:
        found = session.execute(sa.select(table).order_by(*table.primary_key.columns))
        return [dict(one) for one in found.mappings()]


def exports(store: Store, name: str, folder: Path) -> dict[str, object]:
    """The score tables of a study and what its exports hold."""
    folder.mkdir()
    study = find_study(store, name)
    comparisons = load_comparisons(store, study)
    write_comparisons(folder / "all.csv", comparisons)
    write_archive(folder / "all.zip", store, study, ADMIN)
    with zipfile.ZipFile(folder / "all.zip") as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    return {"tables": rate(comparisons), "csv": (folder / "all.csv").read_bytes(), **files}


def test_a_copy_made_while_raters_judge_is_one_state_and_goes_on_from_there(
    place: Place, agents: dict[str, Path], tmp_path: Path
) -> None:
    store = place.open()
    busy = fill(store, 6, 12, name="busy")
    change_settings(store, busy, ADMIN, answers_per_minute=100_000)
    quiet = unwatched_study(store, "quiet", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(store, quiet, folder)
    guest = register_rater(store, "guest")
    for winner in ("left", "draw", "right"):
        pair = next_pair(store, quiet, guest)
        assert pair is not None
        answer_pair(store, pair.assignment_id, guest, winner)
    pending = next_pair(store, quiet, guest)
    assert pending is not None
    ticket = pair_videos(store, pending).left.rpartition("/")[2]
    judges = Judges(store, busy)
    with judges.judging():
        judges.wait_for(30)
        before = dict(judges.said)
        place.back_up()
        judges.wait_for(len(judges.said) + 30)
    copy = place.restore()

    # One state: whatever was stored before is there, and each row is one of the store's.
    kept = {one["id"]: one["winner"] for one in rows(copy, Judgment.__table__)}
    assert before.items() <= kept.items() and len(kept) < 3 + len(judges.said)
    for table in Base.metadata.sorted_tables:
        mine, theirs = rows(copy, table), rows(store, table)
        if table.name == "assignment":  # it expires when the pair is answered again
            mine, theirs = (
                [{"id": row["id"], "pair": row["pair"]} for row in some] for some in (mine, theirs)
            )
        if table.name not in ("assignment", "judgment"):
            assert mine == theirs, table.name
        assert all(row in theirs for row in mine), table.name
    assert exports(copy, "quiet", tmp_path / "1") == exports(store, "quiet", tmp_path / "2")
    assert rate(load_comparisons(copy, busy)) == rate(
        [one for one in load_comparisons(store, busy) if one.comparison_id in kept]
    )

    # Judging continues from there: the open pair is the same, its video plays, no rater gets a pair again.
    assert next_pair(copy, quiet, guest) == pending
    video = copy.media_file(video_of_ticket(copy, ticket))
    assert copy.media in video.parents and copy.media != store.media
    with copy.read() as session:
        episode = session.get_one(Episode, video.stem)
        last = session.scalar(sa.select(sa.func.max(Judgment.number)))
    assert sha256(video.read_bytes()).hexdigest() == episode.video_sha256
    answer_pair(copy, pending.assignment_id, guest, "left")
    for rater in judges.raters:
        judged = {one["pair"] for one in rows(copy, Judgment.__table__) if one["rater_id"] == rater}
        for _ in range(5):
            pair = next_pair(copy, busy, rater)
            assert pair is not None
            with copy.read() as session:
                key = session.get_one(Assignment, pair.assignment_id).pair
            assert key not in judged
            judged.add(key)
            answer_pair(copy, pair.assignment_id, rater, "right")
    with copy.read() as session:
        numbers = sorted(session.scalars(sa.select(Judgment.number)))
    assert last is not None and len(numbers) == len(kept) + 16 and min(numbers[-16:]) > last
    with (
        pytest.raises(sa.exc.DBAPIError, match="judgments are append-only"),
        copy.write() as session,
    ):
        session.execute(sa.delete(Judgment))
    store.close()
    copy.close()


def test_the_copy_of_an_old_store_is_migrated_when_it_is_opened(
    place: Place, tmp_path: Path
) -> None:
    source = open_store(tmp_path / "source" / "leaderboard.sqlite")
    study = fill(source, 3, 2)
    rater = register_rater(source, "ada")
    for _ in range(3):
        pair = next_pair(source, study, rater)
        assert pair is not None
        answer_pair(source, pair.assignment_id, rater, "left", justification="it was faster")
    old = place.open().engine  # an empty store, whose tables those of the first revision replace
    kept = {}
    with old.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.schema.DropTable(table))
        if place.kind == "postgresql":
            connection.execute(sa.text("DROP FUNCTION is_append_only"))
        make_old_tables(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'initial'"))
        present = sa.inspect(connection).get_table_names()
        for table in Base.metadata.sorted_tables:
            if table.name not in present:
                continue
            names = {one["name"] for one in sa.inspect(connection).get_columns(table.name)}
            columns = [sa.column(one.name, one.type) for one in table.columns if one.name in names]
            found = [
                {name: row[name] for name in row if name in names} for row in rows(source, table)
            ]
            kept[table] = found
            if found:
                connection.execute(sa.insert(sa.table(table.name, *columns)), found)
        if place.kind == "postgresql":
            for name in ("judgment", "event"):
                connection.execute(
                    sa.text(
                        f"SELECT setval(pg_get_serial_sequence('{name}', 'number'), max(number)) FROM {name}"
                    )
                )
    old.dispose()
    place.back_up()
    copy = place.restore()
    with copy.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    for table, expected in kept.items():
        found = rows(copy, table)
        assert [
            {name: row[name] for name in one} for row, one in zip(found, expected, strict=True)
        ] == expected
    assert rate(load_comparisons(copy, study)) == rate(load_comparisons(source, study))
    pair = next_pair(copy, study, rater)
    assert pair is not None
    answer_pair(copy, pair.assignment_id, rater, "left")
    assert [one["number"] for one in rows(copy, Judgment.__table__)] == [1, 2, 3, 4]
    for one in (source, copy):
        one.close()
