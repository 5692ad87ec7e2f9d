"""A file is replaced as a whole; what killed writers left goes, what others are writing stays."""

import platform
import shutil
import subprocess
import sys

import pytest

from basalt.io import atomic as files
from basalt.io.atomic import replacing, replacing_folder, write_json
from basalt.io.errors import WriteError

KILLED = """
import os, signal, sys
from pathlib import Path
from basalt.io.atomic import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print(partial.name, flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(path, fate):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), fate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, path.parent / process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def fresh():
    files._remove_leftovers_once.cache_clear()


def test_what_a_killed_writer_left_goes_and_a_living_ones_stays(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    dead, left = writer(path, "killed")
    assert dead.wait(60) < 0 and left.read_text() == "half" and path.read_text() == "1\n"
    alive, unfinished = writer(tmp_path / "b.json", "alive")
    files._remove_leftovers_once.cache_clear()
    write_json(path, 2)
    assert path.read_text() == "2\n" and not left.exists() and unfinished.exists()
    alive.communicate("", timeout=60)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_number_that_is_not_a_process_id_stops_no_writer(tmp_path):
    left = tmp_path / f".b.json.{platform.node()}-99999999999999999999.partial"
    left.write_text("half")
    write_json(tmp_path / "a.json", 1)
    assert not left.exists()


def test_a_writer_of_another_machine_is_left_alone(tmp_path):
    foreign = tmp_path / ".a.json.elsewhere-999999999.partial"
    foreign.write_text("half")
    write_json(tmp_path / "a.json", 1)
    assert foreign.exists()


def test_a_failed_writer_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "1\n" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "run"
    with replacing_folder(path) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(path) as partial:
        (partial / "a").write_text("2")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["run"] and (path / "a").read_text() == "1"
    with replacing_folder(path) as partial:
        (partial / "b").write_text("3")
    assert [p.name for p in path.iterdir()] == ["b"]


def test_nobody_sees_the_old_folder_half_removed(tmp_path, monkeypatch):
    path, seen, remove = tmp_path / "folder", [], shutil.rmtree

    def watched(folder, **options):
        seen.append([file.name for file in path.iterdir()])
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    for name in ("before", "after"):
        with replacing_folder(path) as partial:
            (partial / name).touch()
    assert seen == [["after"]] and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="file: expected a folder, got a file; remove it"):
        write_json(tmp_path / "file" / "a.json", 1)


def test_an_error_of_another_file_is_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "a"):
        (tmp_path / "elsewhere").read_text()
