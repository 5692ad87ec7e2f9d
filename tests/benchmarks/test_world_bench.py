"""The benchmark of a world, small."""

import json

import pytest

from basalt.cli.bench import main
from basalt.io.errors import ConfigError
from benchmarks.world import bounded_by
from tests.support.minerl_standin import StandIn

KEYS = {"name", "figures", "peer", "ratio", "machine"}


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
