"""Fifty episodes in a row leave nothing behind: no processes, files, descriptors, shared memory or ports."""

import os
import tempfile
from pathlib import Path

import pytest

from basalt.worlds import make_env
from benchmarks.world import random_actions
from tests.support.world_behaviour import SEED

EPISODES, STEPS = 50, 30


def descendants(pid):
    """All processes below one, by their numbers."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (task / "children").read_text().split())
    return set(children).union(*map(descendants, children))


def sockets_of(pids):
    """Inodes of the sockets that processes hold."""
    held = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                held.add(target.removeprefix("socket:[").removesuffix("]"))
    return held


def udp_ports(inodes):
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return [fields[1] for line in lines if (fields := line.split())[9] in inodes]


def holdings():
    """What this process and its descendants hold now."""
    us = os.getpid()
    pids = {us} | descendants(us)
    maps = Path(f"/proc/{us}/maps").read_text()
    return {
        "processes": len(pids) - 1,
        "descriptors": len(list(Path(f"/proc/{us}/fd").iterdir())),
        "ports": len(udp_ports(sockets_of(pids))),
        "shared memory": maps.count("basalt-frame"),
        "folders": len(list(Path(tempfile.gettempdir()).glob("basalt-luanti-*"))),
        "threads": len(list(Path(f"/proc/{us}/task").iterdir())),
    }


def memory_mb():
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@pytest.mark.engine
@pytest.mark.long
def test_fifty_episodes_leave_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # folders of other runs do not count
    nothing = holdings()
    env = make_env("find_cave", size=(160, 90))
    try:
        held, memory = [], []
        for episode in range(EPISODES):
            env.reset(seed=SEED + episode % 3)
            for action in random_actions(STEPS, seed=episode):
                env.step(action)
            held.append(holdings())
            memory.append(memory_mb())
        assert held[0]["processes"] == 4, "game, X server and their supervisors"
        for kind in nothing:
            growth = [after[kind] for after in held[2:]]
            assert max(growth) <= held[1][kind], f"{kind} grow: {growth}"
        assert memory[-1] - memory[9] < 20, f"memory grows: {memory}"
    finally:
        env.close()
    after = holdings()
    left = {kind: after[kind] - nothing[kind] for kind in nothing if kind != "threads"}
    assert left == dict.fromkeys(left, 0)
