"""Recordings as a LeRobot dataset, version 3.0 of its format.

    OUT/meta/info.json                           features, sizes, number of episodes
    OUT/meta/stats.json                          mean, spread and range of each feature
    OUT/meta/tasks.parquet                       each task's instruction and its number
    OUT/meta/episodes/chunk-000/file-000.parquet a row per episode: where its rows and its film are, its seed and player
    OUT/data/chunk-000/file-000.parquet          a row per step: action, time, numbers, how the episode ended
    OUT/videos/observation.images.pov/chunk-000/file-000.mp4   one film per episode, copied and not encoded again

The layout follows lerobot 0.4.4 (https://github.com/huggingface/lerobot, `src/lerobot/datasets`). An episode of n steps has n rows, whose
frames are those before each step; the film's last frame, after the last step, is in no row. Telemetry is left out: it
is the referee's, and a policy that was trained on it could not play.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from basalt.core.actions import BUTTONS
from basalt.core.key_frames import open_video
from basalt.core.recording import Recording
from basalt.core.tasks import STEPS_PER_SECOND, get_task
from basalt.core.video import VideoInfo, probe
from basalt.data.bedd import find_plays, player_of, task_of
from basalt.data.select import succeeds
from basalt.io.atomic import replacing_folder
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError, RecordingError

CODEBASE_VERSION = "v3.0"
VIDEO = "observation.images.pov"
FILES_PER_CHUNK = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
"""Largest size of a file of rows; and of a film, which is only stated: an episode is one film."""

ACTIONS = (*BUTTONS, "camera.pitch", "camera.yaw")
"""Names of the 25 numbers of an action: 1 where a button is held, then degrees per step."""

_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_EPISODES = "meta/episodes/chunk-000/file-000.parquet"

_ROWS = pa.schema(
    [
        ("action", pa.list_(pa.float32(), len(ACTIONS))),
        ("next.done", pa.bool_()),
        ("timestamp", pa.float32()),
        ("frame_index", pa.int64()),
        ("episode_index", pa.int64()),
        ("index", pa.int64()),
        ("task_index", pa.int64()),
    ]
)
_ROW_BYTES = 4 * len(ACTIONS) + 1 + 4 + 4 * 8

Stats = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        episodes: Number of episodes, one per recording.
        steps: Number of steps, which are the dataset's frames.
        tasks: Number of tasks.
    """

    episodes: int
    steps: int
    tasks: int


def export_lerobot(folders: Iterable[str | Path], out: Path, *, progress: bool = True) -> Exported:
    """Write recordings as a LeRobot dataset.

    Args:
        folders: Folders of recordings.
        out: New folder. It appears when it is complete.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        ConfigError: `out` exists, or a recording's task is unknown, its frames have another size than the others', or its
            frames do not follow one another by 50 ms.
        RecordingError: A recording cannot be read or has no steps.
        OSError: `out` cannot be written.
    """
    if out.exists():
        raise ConfigError(f"--out: expected a new folder, got {out}, which exists; choose another")
    recordings = [one for folder in folders for play in find_plays(folder) for one in play.parts]
    videos = _checked_videos(recordings)
    instructions = sorted({get_task(_task(one)).instruction for one in recordings})
    with replacing_folder(out) as folder:
        rows, episodes, stats = _RowWriter(folder), [], []
        with progress_bar(
            total=len(recordings), title="export", unit="recording", shown=progress
        ) as bar:
            for number, (one, video) in enumerate(zip(recordings, videos, strict=True)):
                instruction = get_task(_task(one)).instruction
                place = rows.write(number, instructions.index(instruction), _action_rows(one))
                film = _copy_film(one, folder, number)
                of_episode = _stats(one, place["length"])
                stats.append(of_episode)
                episodes.append(
                    {
                        "episode_index": number,
                        "tasks": [instruction],
                        **place,
                        **film,
                        f"videos/{VIDEO}/from_timestamp": video.start,
                        f"videos/{VIDEO}/to_timestamp": video.start
                        + place["length"] / STEPS_PER_SECOND,
                        **_facts(one),
                        **_flat(of_episode),
                        "meta/episodes/chunk_index": 0,
                        "meta/episodes/file_index": 0,
                    }
                )
                bar.update(1)
        rows.close()
        table = pd.DataFrame(episodes)
        (folder / _EPISODES).parent.mkdir(parents=True)
        table.to_parquet(folder / _EPISODES, index=False)
        _write_meta(folder, table, instructions, videos[0], _together(stats))
    return Exported(len(recordings), int(table["length"].sum()), len(instructions))


def _task(recording: Recording) -> str:
    name = task_of(recording)
    if name is None:
        raise ConfigError(
            f"{recording.stem}: expected a task in {recording.meta_path.name} or a folder of BEDD's; put it in one"
        )
    return name


def _checked_videos(recordings: list[Recording]) -> list[VideoInfo]:
    """Properties of the films, which have to be alike, since a dataset states them once."""
    videos = []
    for one in recordings:
        info = probe(one.video_path)
        if info.uneven or info.hidden:
            raise ConfigError(
                f"{one.video_path}: expected a frame every {1000 // STEPS_PER_SECOND} ms, got {info.uneven + info.hidden} "
                "that are not; encode it again, or leave it out"
            )
        videos.append(info)
        first = videos[0]
        alike = (info.width, info.height, info.codec, info.pixel_format)
        if alike != (first.width, first.height, first.codec, first.pixel_format):
            raise ConfigError(
                f"{one.video_path}: expected {first.width}x{first.height} {first.codec} {first.pixel_format} as in "
                f"{recordings[0].video_path}, got {info.width}x{info.height} {info.codec} {info.pixel_format}; export "
                "them apart"
            )
    return videos


def _action_rows(recording: Recording) -> NDArray[np.float32]:
    """The executed actions of a recording, float32 [n, 25]; columns are `ACTIONS`."""
    actions = recording.actions()
    if not len(actions):
        raise RecordingError(f"{recording.lines_path}: expected at least one step, got none")
    return np.concatenate([actions.buttons, actions.camera], axis=1).astype(np.float32)


class _RowWriter:
    """Writes the rows of episodes, one after the other, into files of limited size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._bytes = 0
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, episode: int, task: int, actions: NDArray[np.float32]) -> dict[str, int]:
        """Write an episode, and return where it is.

        Args:
            episode: Number of the episode.
            task: Number of its task.
            actions: float32 [n, 25].
        """
        steps = len(actions)
        size = steps * _ROW_BYTES
        if self._writer is None or self._bytes + size > DATA_FILE_MB * 2**20:
            self._next_file()
        columns = {
            "action": pa.FixedSizeListArray.from_arrays(pa.array(actions.ravel()), len(ACTIONS)),
            "next.done": np.arange(steps) == steps - 1,
            "timestamp": (np.arange(steps) / STEPS_PER_SECOND).astype(np.float32),
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, episode),
            "index": np.arange(self._rows, self._rows + steps),
            "task_index": np.full(steps, task),
        }
        assert self._writer is not None
        self._writer.write_table(pa.table(columns, schema=_ROWS))
        self._bytes += size
        self._rows += steps
        chunk, file = divmod(self._number, FILES_PER_CHUNK)
        return {
            "length": steps,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._rows - steps,
            "dataset_to_index": self._rows,
        }

    def _next_file(self) -> None:
        self.close()
        self._number += 1
        self._bytes = 0
        chunk, file = divmod(self._number, FILES_PER_CHUNK)
        path = self._folder / _DATA.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, _ROWS)

    def close(self) -> None:
        """Complete the file that is being written."""
        if self._writer is not None:
            self._writer.close()


def _copy_film(recording: Recording, folder: Path, number: int) -> dict[str, int]:
    chunk, file = divmod(number, FILES_PER_CHUNK)
    path = folder / _VIDEOS.format(video_key=VIDEO, chunk_index=chunk, file_index=file)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(recording.video_path, path)
    return {f"videos/{VIDEO}/chunk_index": chunk, f"videos/{VIDEO}/file_index": file}


def _facts(recording: Recording) -> dict[str, Any]:
    """What else is known of an episode: these columns are not LeRobot's."""
    meta = recording.meta
    return {
        "basalt/recording": recording.name,
        "basalt/player": player_of(recording),
        "basalt/player_kind": "human" if meta is None else meta.player_kind,
        "basalt/seed": None if meta is None else meta.seed,
        "basalt/world_version": None if meta is None else meta.world_version,
        "basalt/ended": None if meta is None else meta.ended,
        "basalt/success": succeeds(recording),
    }


def _stats(recording: Recording, steps: int) -> dict[str, Stats]:
    """Statistics of an episode: of the actions exactly, of each colour in [0, 1] from every fourth row and column of key frames."""
    frames = _key_frames(recording.video_path)
    colours = np.stack([frame[::4, ::4] for frame in frames]).reshape(-1, 3) / 255
    of_pixels = {name: value.reshape(3, 1, 1) for name, value in _describe(colours).items()}
    return {
        "action": _counted(_describe(_action_rows(recording)), steps),
        VIDEO: _counted(of_pixels, len(frames)),
    }


def _key_frames(path: Path) -> list[NDArray[np.uint8]]:
    """Frames that can be decoded alone, uint8 [H, W, 3], RGB; the first frame of a film is always one."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        try:
            decoded = container.decode(stream)
            return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]
        except av.FFmpegError as err:
            raise RecordingError(f"{path}: damaged video ({err}); record it again") from err


def _describe(values: NDArray[np.floating]) -> Stats:
    """Least, largest, mean and spread of each column of [n, k]; float64 [k] each."""
    values = values.astype(np.float64)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
    }


def _counted(stats: Stats, count: int) -> Stats:
    return stats | {"count": np.array([count], np.float64)}


def _together(parts: list[dict[str, Stats]]) -> dict[str, Stats]:
    """Statistics of all episodes from those of each."""
    whole = {}
    for feature in parts[0]:
        each = [part[feature] for part in parts]
        counts = np.array([one["count"][0] for one in each])
        share = (counts / counts.sum()).reshape(-1, *[1] * each[0]["mean"].ndim)
        mean = (share * np.stack([one["mean"] for one in each])).sum(0)
        square = (share * np.stack([one["std"] ** 2 + one["mean"] ** 2 for one in each])).sum(0)
        whole[feature] = {
            "min": np.min([one["min"] for one in each], axis=0),
            "max": np.max([one["max"] for one in each], axis=0),
            "mean": mean,
            "std": np.sqrt(np.maximum(square - mean**2, 0)),
            "count": np.array([counts.sum()]),
        }
    return whole


def _flat(stats: dict[str, Stats]) -> dict[str, Any]:
    return {
        f"stats/{feature}/{name}": value.tolist()
        for feature, values in stats.items()
        for name, value in values.items()
    }


def _write_meta(
    folder: Path,
    episodes: pd.DataFrame,
    instructions: list[str],
    video: VideoInfo,
    stats: dict[str, Stats],
) -> None:
    numbers = {"dtype": "int64", "shape": [1], "names": None}
    info = {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": int(episodes["length"].sum()),
        "total_tasks": len(instructions),
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": VIDEO_FILE_MB,
        "fps": STEPS_PER_SECOND,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": _DATA,
        "video_path": _VIDEOS,
        "features": {
            VIDEO: {
                "dtype": "video",
                "shape": [video.height, video.width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": video.height,
                    "video.width": video.width,
                    "video.codec": video.codec,
                    "video.pix_fmt": video.pixel_format,
                    "video.is_depth_map": False,
                    "video.fps": STEPS_PER_SECOND,
                    "video.channels": 3,
                    "has_audio": False,
                },
            },
            "action": {"dtype": "float32", "shape": [len(ACTIONS)], "names": list(ACTIONS)},
            "next.done": {"dtype": "bool", "shape": [1], "names": None},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), numbers),
        },
    }
    shown = {
        feature: {name: value.tolist() for name, value in values.items()}
        for feature, values in stats.items()
    }
    for name, content in (("info", info), ("stats", shown)):
        (folder / "meta" / f"{name}.json").write_text(json.dumps(content, indent=4))
    tasks = pd.DataFrame({"task_index": range(len(instructions))}, index=instructions)
    tasks.to_parquet(folder / "meta" / "tasks.parquet")
