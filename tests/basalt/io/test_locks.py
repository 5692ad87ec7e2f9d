"""Locks are released when their process ends, however it ends."""

import subprocess
import sys
import threading

import pytest

from basalt.io.errors import BusyError
from basalt.io.locks import locked, queued, sole_writer

HOLDER = """
import sys
from pathlib import Path
from basalt.io.locks import sole_writer
with sole_writer(Path(sys.argv[1]), "rollout"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_until_the_first_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(BusyError, match="another rollout is writing to this folder"),
            sole_writer(tmp_path / "out", "rollout"),
        ):
            pass
        holder.kill()
        holder.wait(60)
        with sole_writer(tmp_path / "out", "rollout"):
            pass


def test_the_bodys_own_error_is_not_taken_for_a_busy_folder(tmp_path):
    with pytest.raises(BusyError, match=r"^inner$"), sole_writer(tmp_path, "rollout"):
        raise BusyError("inner")


def test_two_threads_are_two_holders(tmp_path):
    refused = []

    def other():
        try:
            with locked(tmp_path / "lock", timeout=0):
                pass
        except BusyError as err:
            refused.append(err)

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_queue_of_threads_loses_no_update(tmp_path):
    count = tmp_path / "count"
    count.write_text("0")

    def add():
        for _ in range(50):
            with queued(tmp_path / "lock"):
                count.write_text(str(int(count.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "200"
