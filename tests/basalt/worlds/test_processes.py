"""Programs of a world are killed with everything they started when this process ends, however it ends."""

import gc
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from basalt.worlds import supervisor
from basalt.worlds.processes import SupervisedProcess, free_port


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# A program that starts another one, and says the numbers of both.
FAMILY = ["sh", "-c", "sleep 60 & echo $$ $!; wait"]


def numbers(log):
    wait_until(lambda: log.is_file() and len(log.read_text().split()) == 2)
    return [int(word) for word in log.read_text().split()]


@pytest.mark.parametrize(
    ("script", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0), ("nonsense", 127)]
)
def test_the_exit_status_is_the_programs(tmp_path, script, status):
    assert SupervisedProcess(["sh", "-c", script], tmp_path / "log").wait(20) == status


def test_a_missing_program_is_named_in_the_log(tmp_path):
    process = SupervisedProcess(["no-such-program"], tmp_path / "log")
    assert process.wait(20) == 127 and not process.running and process.pid is None
    assert process.last_error() == "no-such-program: No such file or directory"


@pytest.mark.parametrize("grace_s", [0.0, 5.0])
def test_ending_a_program_ends_what_it_started(tmp_path, grace_s):
    process = SupervisedProcess(FAMILY, tmp_path / "log", grace_s=grace_s)
    pids = numbers(tmp_path / "log")
    assert process.pid == pids[0] and process.running
    process.end()
    assert not any(map(psutil.pid_exists, pids)), "neither runs, nor is it left as a zombie"
    assert not process.running


def test_a_forked_child_does_not_delay_the_end(tmp_path):
    program = SupervisedProcess(["sleep", "600"], tmp_path / "log")
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    program._release()  # what `end` does first; the child still runs
    assert program.wait(10) != 0
    child.kill()
    child.join()


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(tmp_path):
    script = "trap '' TERM; echo 1 1; while true; do sleep 0.1; done"
    process = SupervisedProcess(["sh", "-c", script], tmp_path / "log", grace_s=0.5)
    numbers(tmp_path / "log")
    pid = process.pid
    began = time.monotonic()
    process.end()
    assert not alive(pid) and 0.5 <= time.monotonic() - began < 10


def test_what_a_program_left_behind_ends_with_it(tmp_path):
    process = SupervisedProcess(["sh", "-c", "sleep 60 & echo $$ $!"], tmp_path / "log")
    left_behind = numbers(tmp_path / "log")[1]
    assert process.wait(20) == 0
    wait_until(lambda: not alive(left_behind))


def test_a_forgotten_program_is_ended_and_its_folder_removed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = SupervisedProcess(FAMILY, tmp_path / "log", folder=folder)
    pids = numbers(tmp_path / "log")
    del process
    gc.collect()
    wait_until(lambda: not any(map(alive, pids)) and not folder.exists())


def test_a_folder_outlives_its_program_as_long_as_the_parent_uses_it(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = SupervisedProcess(["true"], tmp_path / "log", folder=folder)
    wait_until(lambda: process.program is None)
    time.sleep(0.3)
    assert folder.is_dir()
    process.end()
    assert not folder.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_takes_all_along(tmp_path, how):
    folder = tmp_path / "folder"
    folder.mkdir()
    code = f"""
        import sys, time
        from pathlib import Path
        from basalt.worlds.processes import SupervisedProcess
        process = SupervisedProcess({FAMILY!r}, Path(sys.argv[1]), folder=Path(sys.argv[2]))
        time.sleep(60)
    """
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), log, folder])
    pids = numbers(log)
    supervisor = psutil.Process(pids[0]).ppid()
    os.kill(parent.pid, how)
    parent.wait(20)
    wait_until(lambda: not any(map(alive, [*pids, supervisor])) and not folder.exists())


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel does it")
def test_a_killed_supervisor_takes_its_program_along(tmp_path):
    process = SupervisedProcess(["sleep", "60"], tmp_path / "log")
    wait_until(lambda: process.pid is not None)
    pid = process.pid
    os.kill(process.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def test_the_programs_channel_closes_when_it_exits(tmp_path):
    ours, theirs = os.pipe()
    process = SupervisedProcess(
        ["sh", "-c", f"echo hello >/dev/fd/{theirs}"], tmp_path / "log", pass_fds=(theirs,)
    )
    os.close(theirs)
    assert os.read(ours, 64) == b"hello\n" and os.read(ours, 64) == b""
    os.close(ours)
    process.end()


def test_a_free_port_can_be_bound():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as one:
            one.bind(("127.0.0.1", free_port(kind)))


def test_a_folder_that_another_program_still_writes_to_is_removed_all_the_same(
    tmp_path, monkeypatch
):
    failures, remove = ["not empty", "not empty"], shutil.rmtree
    monkeypatch.setattr(
        shutil, "rmtree", lambda *a, **k: failures.pop() if failures else remove(*a, **k)
    )
    supervisor._remove(str(tmp_path), patience_s=10)
    assert not tmp_path.exists()
