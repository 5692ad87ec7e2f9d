"""The benchmark of a world, small."""

import contextlib
import json
from pathlib import Path

import pytest

from basalt.cli.bench import main
from basalt.io.errors import ConfigError, WorldError
from benchmarks import world as bench
from benchmarks.world import bounded_by, checkout, measure_craftium
from tests.support.minerl_standin import StandIn

KEYS = {"name", "figures", "peer", "ratio", "machine"}


@pytest.mark.long
@pytest.mark.engine
def test_a_task_is_measured(capsys):
    assert main(["world", "--task", "find_cave", "--steps", "10", "--determinism-steps", "10"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == KEYS
    figures = report["figures"]["find_cave"]
    for name in ("real_time", "steps_per_s", "cpu_ms", "server_wait_ms", "reset_s", "memory_mb"):
        assert figures[name] > 0
    assert set(figures["within_limits"]) == {"reset_s", "memory_mb"}
    assert figures["determinism"]["equal_steps"] == 1.0
    assert "% of a step" in figures["bounded_by"] and report["ratio"] == figures["real_time"]


def test_minecraft_is_measured_by_name(capsys):
    with StandIn() as standin:
        arguments = ["world=minerl", f"address={standin.address}", "--task", "find_cave"]
        assert main(["world", *arguments, "--steps", "10"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == KEYS
    figures = report["figures"]["find_cave"]
    assert figures["steps_per_s"] > 0 and figures["cpu_ms"] > 0 and report["ratio"] > 0


def test_what_bounds_a_step_is_the_largest_part():
    parts = dict.fromkeys(("frame_ms", "pixels_ms", "client_wait_ms", "environment_ms"), 1.0)
    said = bounded_by({**parts, "server_wait_ms": 6.0, "wall_ms": 10.0, "cpu_ms": 9.0})
    assert "the server's step" in said and "60%" in said and "90%" in said


def test_an_unknown_setting_is_named():
    with pytest.raises(ConfigError, match="unknown setting 'adress'; available: world, address"):
        main(["world", "adress=here:1"])


def test_a_commit_is_checked_out_or_the_reason_given():
    with checkout("HEAD") as (folder, reason):
        assert reason or (folder is not None and (folder / "benchmarks" / "world.py").is_file())
    with checkout("no-such-commit") as (folder, reason):
        assert folder is None and "no-such-commit" in reason


@pytest.mark.parametrize("place", ["basalt/bench", "benchmarks"])
def test_a_baseline_is_measured_by_its_own_benchmark(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (tmp_path / "basalt").mkdir(exist_ok=True)
    (tmp_path / "basalt" / "__init__.py").touch()
    (folder / "world.py").write_text(
        "def measure_speed(task, size, n_steps):\n"
        "    print('noise')\n"
        "    return {'steps_per_s': size[0] * n_steps}\n"
        "def measure_two(task, size, n_steps):\n"
        "    return {'steps_per_s': len(task)}\n"
    )
    speed = bench.measure_baseline(tmp_path, "find_cave", (128, 72), 2)
    assert speed == {"one": 256, "two": 9}


def test_sizes_are_compared_with_an_earlier_commit(monkeypatch, capsys):
    """Twice as fast at every size, three times with two instances; the first task gains least."""
    parts = dict.fromkeys(
        ("frame_ms", "pixels_ms", "client_wait_ms", "server_wait_ms", "environment_ms"), 2.0
    )
    speed = {"steps_per_s": 100.0, "wall_ms": 10.0, "cpu_ms": 10.0, "began": 0.0, "ended": 1.0}
    monkeypatch.setattr(bench, "measure_speed", lambda *_: speed | parts)
    monkeypatch.setattr(bench, "measure_two", lambda *_: {"steps_per_s": 180.0})
    monkeypatch.setattr(bench, "measure_task", lambda *_: {"real_time": 5.0})
    gains = {"find_cave": 2.0, "make_waterfall": 4.0}
    monkeypatch.setattr(
        bench, "measure_baseline", lambda _, task, *__: {"one": 100.0 / gains[task], "two": 60.0}
    )
    monkeypatch.setattr(bench, "checkout", lambda _: contextlib.nullcontext((Path("/"), "")))
    tasks = ["--task", "find_cave", "--task", "make_waterfall"]
    assert main(["world", *tasks, "--sizes"]) == 0
    report = json.loads(capsys.readouterr().out)
    sizes = report["figures"]["sizes"]["find_cave"]
    assert sizes["128x72"]["one"]["steps_per_s"] == 100.0
    assert sizes["128x72"]["two"]["steps_per_s"] == 180.0
    assert sizes["640x360"]["ratio"] == {"one": 2.0, "two": 3.0} and report["ratio"] == 2.0

    def fails_once(_, task, *__):
        if task == "make_waterfall":
            raise WorldError("the baseline cannot be measured: it fell over")
        return {"one": 50.0, "two": 60.0}

    monkeypatch.setattr(bench, "measure_baseline", fails_once)
    assert main(["world", *tasks, "--sizes"]) == 0
    report = json.loads(capsys.readouterr().out)
    failed = report["figures"]["sizes"]["make_waterfall"]["640x360"]
    assert failed["ratio"] is None and failed["one"]["steps_per_s"] == 100.0
    assert report["ratio"] is None and report["peer"].endswith("it fell over")

    monkeypatch.setattr(bench, "checkout", lambda _: contextlib.nullcontext((None, "no history")))
    assert main(["world", *tasks, "--sizes"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ratio"] is None and "no history" in report["peer"]


def test_a_peer_that_is_not_installed_is_null_with_the_reason():
    figures = measure_craftium((128, 72), 10)
    assert figures["steps_per_s"] is None and "not installed" in figures["reason"]
