"""Demonstrations are chosen by success; the chosen folder is whole or absent."""

import json
from pathlib import Path

import pytest

from basalt.cli.data import main as cli
from basalt.core.recording import find_recordings
from basalt.core.recording_checks import check_recording
from basalt.data.select import Selection, select_successful
from basalt.io.errors import BasaltError, ConfigError
from tests.support.synthetic import write_episode
from tests.support.three_players import record


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for seed in (100_001, 100_002):
        record(tmp_path / "good", seed, cave_steps=1)
    record(tmp_path / "mixed", 100_003, cave_steps=1)
    record(tmp_path / "mixed", 100_004)
    write_episode(tmp_path / "mixed", 100_005, steps=4)  # its telemetry does not say where it is
    return [tmp_path / "good", tmp_path / "mixed"]


def test_only_recordings_that_succeed_are_kept(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chosen"
    assert cli(["select", *map(str, folders), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"kept": 3, "failed": 1, "unknown": 1}
    found = find_recordings(out)
    assert sorted(one.meta.seed for one in found if one.meta) == [100_001, 100_002, 100_003]
    for one in found:
        check_recording(one)


def test_a_selection_that_cannot_be_made_leaves_no_folder(
    folders: list[Path], tmp_path: Path
) -> None:
    record(tmp_path / "again", 100_001, cave_steps=1)
    refused = {
        "the same name twice": [folders[0], tmp_path / "again"],
        "none that succeeds": [record(tmp_path / "poor", 100_006).video_path.parent],
        "no folder": [tmp_path / "missing"],
    }
    for what, given in refused.items():
        with pytest.raises(BasaltError):
            select_successful(given, tmp_path / "out")
        assert not (tmp_path / "out").exists(), what
    with pytest.raises(ConfigError, match="exists"):
        select_successful(folders, folders[0])
    assert select_successful(folders[:1], tmp_path / "out") == Selection(2, 0, 0)
