"""A damaged store is one line on the command line, and never a traceback."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basalt.cli.main import run
from leaderboard.judging.telemetry_judge import judge_by_telemetry
from leaderboard.store.database import StoreError, open_store, store_url
from leaderboard.studies.rules import demo_study
from leaderboard.submissions.register import submit_recordings
from tests.support.small_disk import on_a_read_only_disk
from tests.support.three_players import SEEDS, unwatched_study


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, agents: dict[str, Path]) -> Path:
    """A store with a study that has judgments, in one file."""
    path = tmp_path_factory.mktemp("sound") / "leaderboard.sqlite"
    store = open_store(path)
    study = unwatched_study(store, "small", demo_study({"find_cave": SEEDS}, "test", "1"))
    for folder in agents.values():
        submit_recordings(store, study, folder)
    judge_by_telemetry(store, study)
    store.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def shown(path: Path) -> int:
    return run(["leaderboard", "show", "--replicates", "0", "--store", str(path)])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE study SET rules = '{'",
        "UPDATE study SET rules = '[' || replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE study SET rules = '[]'",
        "UPDATE study SET created = 'yesterday'",
        "UPDATE study SET name = CAST(x'ff' AS TEXT)",
        "DROP TABLE judgment",
        "DROP TABLE study",
    ],
)
def test_a_damaged_table_is_one_line(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "leaderboard.sqlite"
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            file.execute(f"DROP TRIGGER {name}")
        file.execute(damage)
    assert shown(path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("basalt leaderboard: ")


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_pages_are_at_most_one_line(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    """Structure of pages is damaged, not what the cells say: a sound file may say anything."""
    content = bytearray(sound.read_bytes())
    pages = len(content) // 4096
    for _ in range(data.draw(st.integers(1, 3))):
        start = 4096 * data.draw(st.integers(0, pages - 1))
        content[start : start + 64] = data.draw(st.binary(min_size=64, max_size=64))
    path = tmp_path / "leaderboard.sqlite"
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(content)
    capsys.readouterr()
    status = shown(path)
    lines = capsys.readouterr().err.splitlines()
    assert status in (0, 1) and len(lines) == status, lines


COMMAND = "from basalt.cli.main import main; main()"


def test_a_store_on_a_read_only_disk_can_be_shown_and_is_not_written(
    sound: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = folder / "leaderboard.sqlite"
    shutil.copy(sound, path)
    (tmp_path / "elsewhere").mkdir()
    store, out = ["--store", str(path)], str(tmp_path / "elsewhere" / "judgments.csv")
    shown = on_a_read_only_disk(folder, COMMAND, "leaderboard", "show", "--replicates", "0", *store)
    assert (shown.returncode, shown.stderr) == (0, "") and "Find Cave" in shown.stdout
    exported = on_a_read_only_disk(folder, COMMAND, "leaderboard", "export", out, *store)
    assert (exported.returncode, exported.stderr) == (0, "")
    for argv in (
        ["leaderboard", "export", str(folder / "x.csv"), *store],
        ["leaderboard", "admin", "ada", "--email", "ada@lab.example", *store],
    ):
        refused = on_a_read_only_disk(folder, COMMAND, *argv)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert line.startswith("basalt leaderboard: ")
    assert [one.name for one in folder.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "location",
    ["postgresql://u:p@ss@h:zz/x", "postgresql://h:99999999/x", "x" * 5_000, "sqlite://", "mysql://h/x"],
)  # fmt: skip
def test_an_impossible_place_is_one_line(
    capsys: pytest.CaptureFixture[str], location: str, tmp_path: Path
) -> None:
    assert run(["leaderboard", "show", "--store", location]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("basalt leaderboard: ")


def test_a_port_that_is_no_number_is_a_fault_of_the_setting() -> None:
    with pytest.raises(StoreError, match="--store: expected a path or a database URL"):
        store_url("postgresql://host:zz/x")
