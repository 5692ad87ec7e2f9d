"""Jobs on a Ray cluster: a head and two workers, each a process of its own with one CPU."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from basalt.cli import main as cli
from basalt.data.embeddings import find_shards
from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.runners.jobs import FOLDER, run_jobs
from basalt.runners.local import LocalRunner
from basalt.runners.ray_cluster import RayRunner
from tests.basalt.runners.fake_jobs import done, job_list
from tests.support.synthetic import write_episodes
from tests.support.tiny_policy import tiny_run

ROOT = Path(__file__).parents[3]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"ray is not installed; fix: pip install"):
        RayRunner().connect()


def test_an_address_that_does_not_answer_is_one_error(monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.raises(
        ConfigError, match=r"runner.address: no Ray cluster answers at '127.0.0.1:1'"
    ):
        RayRunner(address="127.0.0.1:1").connect()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster of a head and two machines ("nodes") with one CPU each."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    # A busy machine starts Ray slowly, and it need not guard a local test.
    patient = {"RAY_raylet_start_wait_time_s": "300", "RAY_AUTH_MODE": "disabled"}
    os.environ |= patient
    logs = tmp_path_factory.mktemp("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []

    def start(*arguments):
        log = logs / f"{len(nodes)}.log"
        command = [Path(sys.executable).with_name("ray"), "start", "--block", *arguments]
        with log.open("w") as file:
            nodes.append(
                subprocess.Popen(
                    [*map(str, command), "--object-store-memory=80000000"],
                    env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"},
                    stdout=file, stderr=file,
                )
            )  # fmt: skip
        deadline = time.monotonic() + 300
        while "Ray runtime started" not in log.read_text():
            assert nodes[-1].poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    try:
        start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(2):  # one after the other, or both would take the same socket
            start(f"--address=127.0.0.1:{port}", "--num-cpus=1")
        yield f"127.0.0.1:{port}"
    finally:
        import ray

        ray.shutdown()
        for node in reversed(nodes):
            node.terminate()
            node.wait(120)
        for name in patient:
            del os.environ[name]


@pytest.mark.long
def test_one_of_two_workers_is_killed_and_nothing_is_lost_or_doubled(cluster, tmp_path):
    names = [f"job{number}" for number in range(30)]
    todo = job_list(tmp_path, *(f"{name} is slow" for name in names))
    killed, ended = None, []
    for _, end in run_jobs(todo, RayRunner(address=cluster), 2):
        ended.append(end.outcome())
        opened = [int(path.name) for path in (tmp_path / "opened").iterdir()]
        if killed is None and len(opened) == 2:
            killed = opened[0]
            os.kill(killed, signal.SIGKILL)
    assert killed is not None, "both workers worked"
    assert sorted(ended) == sorted(names) and done(tmp_path) == sorted(names)
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.long
def test_a_cluster_embeds_what_one_machine_does(cluster, tmp_path, capsys):
    folder = write_episodes(tmp_path / "data", range(100_000, 100_005), 30)
    run = tiny_run(tmp_path / "run")
    command = ["embed", "shards=4", f"policy={run}", "workers=0", "data=folder"]
    command += [f"data.source={folder}", "device=cpu", "progress=false"]
    there = ["runner=ray", f"runner.address={cluster}", f"out={tmp_path / 'ray'}", "jobs=2"]
    assert cli.run([*command, "jobs=2", f"out={tmp_path / 'local'}"]) == 0
    assert cli.run([*command, *there]) == 0
    ours, theirs = (find_shards(tmp_path / name) for name in ("local", "ray"))
    assert len(ours) == len(theirs) == 5
    for one, other in zip(ours, theirs, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
    capsys.readouterr()
    assert cli.run([*command, *there]) == 0
    assert "0 plays embedded" in capsys.readouterr().out
    assert cli.run([*command, *there, "dtype=float32"]) == 1
    assert "dtype" in capsys.readouterr().err


@pytest.mark.long
def test_jobs_that_fail_there_fail_like_here(cluster, tmp_path):
    whats = ("a fails", "b", "c is full")
    ends = [
        dict(run_jobs(job_list(tmp_path / where, *whats), runner, 2))
        for where, runner in (("here", LocalRunner()), ("there", RayRunner(address=cluster)))
    ]
    assert ends[0] == ends[1]
