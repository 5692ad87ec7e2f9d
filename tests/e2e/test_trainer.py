"""The paths of those who train agents: commands as typed, on the real engine."""

import json

import pytest

from basalt.cli import main as cli
from basalt.core.recording import Recording, find_recordings
from basalt.core.recording_checks import check_recording

pytestmark = pytest.mark.engine


def test_train_then_roll_out_then_submit(tmp_path, capsys):
    """A few steps of each: that the parts fit, not that anything was learned."""
    run, out, store = tmp_path / "bc", tmp_path / "rollout", tmp_path / "board.sqlite"
    train = ["train", "agent=bc", "data=sample", "steps=2", "progress=false", f"out={run}"]
    assert cli.run(train) == 0
    rollout = ["rollout", "agent=bc", f"checkpoint={run}", "max_steps=12", f"out={out}"]
    assert cli.run([*rollout, "seeds=[200000]"]) == 0
    assert "success by telemetry" in capsys.readouterr().out
    recording = Recording.open(out / "seed_200000")
    check_recording(recording)
    assert recording.meta is not None
    assert (recording.meta.player, recording.meta.player_kind) == ("bc", "agent")
    assert recording.meta.step_limit == 12 and recording.meta.world == "luanti"
    assert len(recording.telemetry()) == len(recording) + 1

    written = recording.video_path.stat().st_mtime_ns
    assert cli.run([*rollout, "seeds=[200000]"]) == 0
    assert recording.video_path.stat().st_mtime_ns == written, "a finished episode is not replayed"

    submit = ["submit", str(out), "--study", "official", "--store", str(store)]
    assert cli.run(submit) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert "limit of 12 steps" in error and "no recording with seed 14169" in error


def test_the_sample_is_what_its_readme_says():
    from basalt.io.paths import sample_dir

    recordings = find_recordings(sample_dir())
    readme = (sample_dir() / "README.md").read_text()
    steps = 0
    for seed, recording in enumerate(recordings, start=100_000):
        check_recording(recording)
        meta = recording.meta
        assert meta is not None and meta.seed == seed
        assert (meta.player_kind, meta.ended) == ("scripted", "esc")
        assert meta.final_telemetry is not None and meta.final_telemetry.facts["in_cave"]
        assert meta.world_version in readme
        steps += meta.steps
    assert len(recordings) == 10 and f"{steps:,} steps" in readme
    size = sum(path.stat().st_size for path in sample_dir().iterdir())
    assert size <= 12_000_000


def test_the_demonstrator_moves_as_a_person_could():
    from basalt.io.paths import sample_dir

    for recording in find_recordings(sample_dir()):
        camera = recording.actions().camera
        assert abs(camera).max() <= 10, "no jumps of the camera"
        assert recording.telemetry()[0].facts["in_cave"] is False


@pytest.mark.long
def test_the_demo_goes_round(tmp_path):
    summary = tmp_path / "summary.json"
    assert cli.run(["demo", "--out", str(tmp_path / "demo"), "--json", str(summary)]) == 0
    result = json.loads(summary.read_text())
    assert set(result) == {"training", "recordings", "table", "sae", "seconds"}
    assert len(result["recordings"]) == 8
    for video in result["recordings"]:
        check_recording(Recording.open(video))
    agents = {row["agent"]: row for row in result["table"]}
    assert set(agents) == {"bc", "find_cave-small", "random", "demonstrator"}
    assert all(row["source"] == "telemetry" and row["comparisons"] == 6 for row in agents.values())
    assert set(result["sae"]) >= {"variance_explained", "l0", "dead_share", "bc_loss_change"}
    assert result["training"]["last_loss"] > 0
