"""The decoding benchmark, small: both pipelines give the same pictures and labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from basalt.cli import main as cli
from basalt.data.episodes import load_episodes
from benchmarks import decode
from tests.support.synthetic import write_episodes


class _List:
    """A queue that keeps all."""

    def __init__(self) -> None:
        self.items: list = []

    def put(self, item: object) -> None:
        self.items.append(item)


def test_both_ways_give_the_same(tmp_path: Path) -> None:
    folder = write_episodes(tmp_path, range(100_000, 100_002), 20)
    episodes = load_episodes(folder, cache_gb=0)
    kept = _List()
    decode._peer_worker([e.play for e in episodes], kept, threads=1)
    *frames, end = kept.items
    assert end is None and len(frames) == sum(map(len, episodes))
    for episode in episodes:
        theirs = [item for item in frames if item[0] == episode.name]
        np.testing.assert_array_equal([t[1] for t in theirs], episode.read())
        assert [t[2][0] for t in theirs] == episode.buttons.tolist()
        assert [t[2][2] for t in theirs] == episode.esc.tolist()


@pytest.mark.long
def test_the_measurement_is_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_episodes(tmp_path, range(100_000, 100_002), 60)
    small = ["--data", str(folder), "--frames", "600", "--rounds", "1"]
    assert cli.run(["bench", "decode", *small]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"name", "figures", "peer", "ratio", "machine"}
    assert result["figures"]["memory_mb"]["frames"] >= 600
    assert result["ratio"] > 0
    assert cli.run(["bench", "decode", "--rounds", "0"]) == 1
    assert "begin at 1" in capsys.readouterr().err
