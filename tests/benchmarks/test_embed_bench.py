"""The embedding benchmark, small."""

import json
from pathlib import Path

import pytest

from basalt.cli import main as cli
from tests.support.synthetic import write_episodes


def test_the_measurement_is_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_episodes(tmp_path, range(100_000, 100_002), 60)
    small = ["--size", "small", "--data", str(folder), "--frames", "64", "--rounds", "1"]
    assert cli.run(["bench", "embed", *small, "--long", "200", "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"name", "figures", "peer", "ratio", "machine"}
    assert result["figures"]["long_run"]["frames"] >= 200
    assert result["figures"]["largest_difference_to_single_steps"] < 2e-3
    assert result["ratio"] > 0
    assert cli.run(["bench", "embed", "--rounds", "0"]) == 1
