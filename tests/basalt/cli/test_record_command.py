"""`basalt record`: demonstrations in bulk, on training seeds only, that resume where they stopped."""

import json

import gymnasium
import pytest

from basalt.cli import record as record_command
from basalt.core.recording import find_recordings
from basalt.core.recording_checks import check_recording
from basalt.io.errors import ConfigError
from tests.support.toy_world import CountingWorld


@pytest.fixture
def record(monkeypatch, tmp_path):
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: CountingWorld())

    def run(*arguments):
        return record_command.main(
            ["agent=random", "+agent.steps=4", f"out={tmp_path / 'demos'}", *arguments]
        )

    return run


def test_a_range_of_seeds_is_recorded_with_a_summary(record, tmp_path, capsys):
    assert record("seeds=100000..100003") == 0
    shown = capsys.readouterr()
    assert "success by telemetry 100%" in shown.out and "distance walked" in shown.out
    assert "seed 100002 (3 of 4)" in shown.err, "progress is shown"
    summary = json.loads((tmp_path / "demos" / "summary.json").read_text())
    assert [row["seed"] for row in summary["episodes"]] == [100000, 100001, 100002, 100003]
    for recording in find_recordings(tmp_path / "demos"):
        check_recording(recording)


def test_the_same_command_goes_on(record, tmp_path, capsys):
    record("seeds=100000..100001")
    first = (tmp_path / "demos" / "seed_100000.mp4").stat().st_mtime_ns
    capsys.readouterr()
    record("seeds=100000..100002")
    assert (tmp_path / "demos" / "seed_100000.mp4").stat().st_mtime_ns == first
    assert "100000" not in capsys.readouterr().err
    assert len(find_recordings(tmp_path / "demos")) == 3


@pytest.mark.parametrize("seeds", ["official", "[100000,14169]", "5", "99999..100001"])
def test_seeds_for_testing_are_refused_before_anything_is_played(record, tmp_path, seeds):
    with pytest.raises(ConfigError, match="recording demonstrations uses seeds from 100000"):
        record(f"seeds={seeds}")
    assert not (tmp_path / "demos").exists()


def test_a_folder_of_before_the_agents_settings_grew_is_resumed(record, tmp_path):
    record("seeds=100000")
    file = tmp_path / "demos" / "rollout.json"
    claim = json.loads(file.read_text())
    assert claim["agent"] == {"name": "random", "seed": 0, "steps": 4, "stop": None}
    file.write_text(json.dumps(claim | {"agent": {"name": "random", "seed": 0}}))
    record("seeds=100000..100001", "agent.steps=200")
    with pytest.raises(ConfigError, match="rollout was made with agent="):
        record("seeds=100000..100002")
