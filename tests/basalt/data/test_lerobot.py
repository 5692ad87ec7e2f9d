"""Recordings become a LeRobot dataset: every row is a step, every film is the recording's, and lerobot itself reads both."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from basalt.cli import main as cli
from basalt.core.recording import Recording, find_recordings
from basalt.core.video import FrameSize
from basalt.data import lerobot
from basalt.data.lerobot import ACTIONS, VIDEO, export_lerobot
from basalt.io.errors import BasaltError, ConfigError
from tests.support.bedd_files import write_video
from tests.support.synthetic import write_episode
from tests.support.three_players import record

READ_BACK = Path(__file__).with_name("read_with_lerobot.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_episode(tmp_path / "plays", 100_001, steps=12)
    write_episode(tmp_path / "plays", 100_002, steps=7, task="make_waterfall")
    record(tmp_path / "plays", 100_003, cave_steps=1)
    return tmp_path / "plays"


def rows(out: Path) -> pd.DataFrame:
    return pd.concat(
        [pq.read_table(file).to_pandas() for file in sorted(out.rglob("data/*/*.parquet"))]
    )


def test_a_row_is_a_step_and_a_film_a_recording(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dataset"
    assert cli.run(["data", "lerobot", str(folder), "--out", str(out), "--json"]) == 0
    steps = [len(one) for one in find_recordings(folder)]
    said = json.loads(capsys.readouterr().out)
    assert said == {"episodes": 3, "steps": sum(steps), "tasks": 2}
    table, episodes = rows(out), pd.read_parquet(out / "meta/episodes/chunk-000/file-000.parquet")
    assert table["index"].tolist() == list(range(sum(steps)))
    tasks = pd.read_parquet(out / "meta/tasks.parquet")
    for number, one in enumerate(find_recordings(folder)):
        mine, row = table[table["episode_index"] == number], episodes.loc[number]
        actions = one.actions()
        expected = np.concatenate([actions.buttons, actions.camera], axis=1)
        assert np.array_equal(np.stack(mine["action"].tolist()), expected.astype(np.float32))
        assert mine["frame_index"].tolist() == list(range(len(one)))
        assert np.allclose(mine["timestamp"], np.arange(len(one)) * 0.05, atol=1e-6)
        assert mine["next.done"].tolist() == [False] * (len(one) - 1) + [True]
        assert (row["dataset_from_index"], row["dataset_to_index"]) == (
            mine["index"].min(), mine["index"].max() + 1,
        )  # fmt: skip
        assert tasks.loc[row["tasks"][0], "task_index"] == mine["task_index"].iloc[0]
        film = out / f"videos/{VIDEO}/chunk-000/file-{number:03d}.mp4"
        assert film.read_bytes() == one.video_path.read_bytes()
        assert one.meta is not None and row["basalt/seed"] == one.meta.seed
    assert sorted(episodes["basalt/success"].dropna()) == [True]


def test_statistics_are_those_of_all_rows(folder: Path, tmp_path: Path) -> None:
    export_lerobot([folder], tmp_path / "dataset")
    stats = json.loads((tmp_path / "dataset/meta/stats.json").read_text())
    actions = np.stack(rows(tmp_path / "dataset")["action"].tolist()).astype(np.float64)
    for name, value in {
        "mean": actions.mean(0),
        "std": actions.std(0),
        "max": actions.max(0),
    }.items():
        assert np.allclose(stats["action"][name], value), name
    assert stats["action"]["count"] == [len(actions)]
    assert np.shape(stats[VIDEO]["mean"]) == (3, 1, 1) and 0 < np.min(stats[VIDEO]["mean"]) < 1


def test_rows_and_films_are_spread_over_files_and_chunks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_lerobot([folder], tmp_path / "one")
    monkeypatch.setattr(lerobot, "DATA_FILE_MB", 0)
    monkeypatch.setattr(lerobot, "FILES_PER_CHUNK", 2)
    export_lerobot([folder], tmp_path / "many")
    names = [
        str(file.relative_to(tmp_path / "many")) for file in sorted(tmp_path.glob("many/data/*/*"))
    ]
    assert names == [f"data/{place}.parquet" for place in (
        "chunk-000/file-000", "chunk-000/file-001", "chunk-001/file-000",
    )]  # fmt: skip
    assert (tmp_path / f"many/videos/{VIDEO}/chunk-001/file-000.mp4").is_file()
    assert rows(tmp_path / "one")["index"].tolist() == rows(tmp_path / "many")["index"].tolist()


def shrink(recording: Recording) -> None:
    write_video(recording.video_path, len(recording) + 1, FrameSize(320, 180))


def test_an_export_that_cannot_be_made_leaves_no_folder(folder: Path, tmp_path: Path) -> None:
    export_lerobot([folder], tmp_path / "there")
    with pytest.raises(ConfigError, match="--out: expected a new folder"):
        export_lerobot([folder], tmp_path / "there")
    shrink(find_recordings(folder)[-1])
    with pytest.raises(ConfigError, match=r"expected 640x360 h264 yuv420p as in .*, got 320x180"):
        export_lerobot([folder], tmp_path / "out")
    with pytest.raises(BasaltError):
        export_lerobot([tmp_path / "missing"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_lerobot_reads_it(folder: Path, tmp_path: Path) -> None:
    """In an environment of its own, since its torch is an older one."""
    export_lerobot([folder], tmp_path / "dataset")
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "lerobot==0.4.4"], check=True)
    read = subprocess.run(
        [python, READ_BACK, tmp_path / "dataset"], capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr[-4000:]
    found = json.loads(read.stdout.splitlines()[-1])
    recordings = find_recordings(folder)
    assert found["frames"] == sum(map(len, recordings)) and found["names"] == list(ACTIONS)
    for one, episode in zip(recordings, found["episodes"], strict=True):
        frames = list(one.frames())
        assert episode["done"] == [False] * (len(one) - 1) + [True]
        for t in range(len(one)):
            assert abs(episode["brightness"][t] - frames[t].mean() / 255) < 0.01, (one.name, t)
