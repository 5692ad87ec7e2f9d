"""`basalt bench rating` measures what it says: the same ratings by two ways."""

import json

import pytest

from basalt.cli import main as cli


def test_the_measurement_is_one_json_object_and_both_ways_agree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = [
        "--comparisons",
        "60",
        "--replicates",
        "20",
        "--peer-replicates",
        "2",
        "--board",
        "300",
    ]
    assert cli.run(["bench", "rating", *small, "--repeats", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"name", "figures", "peer", "ratio", "machine"}
    assert result["figures"]["largest_difference"] < 1e-9
    assert result["figures"]["replicates"] == 20
    assert result["figures"]["next_pair_tasks_agents_seeds"] == [4, 100, 11]
    assert 0 < min(result["figures"]["next_pair_ms_all"]) <= result["figures"]["next_pair_ms"]
    figures = result["figures"]
    assert figures["board_judgments"] == 300 and figures["board_agents"] <= 200
    assert figures["board_s"] > 0 and figures["board_limit_s"] == 2.0
    assert set(figures["board_peers"]) == {"evalica", "arena-rank"}
    for peer in figures["board_peers"].values():
        assert (peer["seconds"] is None) == ("not installed" in peer.get("reason", ""))
    assert result["peer"].startswith("trueskill ")


def test_a_wrong_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "rating", "--replicates", "0"]) == 1
    assert "expected at least 1" in capsys.readouterr().err
