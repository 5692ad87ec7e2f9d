"""`basalt bench decode`: training frames per second from recordings on disk.

Ours is what training reads (`basalt.data.dataset.single_pass` without the cache of decoded frames).
The peer does the same work the way published loaders do: an OpenCV `VideoCapture` loop in worker
processes that hand over frames through queues, one at a time. Both give 128x128 pictures equal bit for
bit, and the same labels. The limit is the bare H.264 decoder, nothing converted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from basalt.core.published import data_folder
from basalt.data.bedd import Play, find_plays
from basalt.data.cursor import paste_cursor
from basalt.data.dataset import single_pass
from basalt.data.episodes import DEFAULT_INPUT_SIZE, Episode, load_episodes
from basalt.data.steps import pointer_table, step_table
from basalt.io.errors import ConfigError
from benchmarks.processes import Usage, measure

SIZE = DEFAULT_INPUT_SIZE
ROWS, LENGTH = 8, 32
QUEUED = 128
"""Frames the peer's queue holds."""


def ours(folder: Path, passes: int, workers: int) -> Iterator[int]:
    """Read recordings as training does; yields the frames of each batch."""
    episodes = load_episodes(folder, size=SIZE, cache_gb=0)
    for batch in single_pass([*episodes] * passes, ROWS, LENGTH, workers):
        yield int(batch.valid.sum())


def peer(folder: Path, passes: int, workers: int, threads: int) -> Iterator[int]:
    """Read recordings as published loaders do; yields 1 for each frame.

    Args:
        folder: The folder with recordings.
        passes: How often each recording is read.
        workers: The number of processes.
        threads: The number of threads of each decoder; 0 for OpenCV's choice, as in the published loaders.
    """
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue(QUEUED // workers) for _ in range(workers)]
    plays = find_plays(folder) * passes
    processes = [
        context.Process(target=_peer_worker, args=(plays[w::workers], queue, threads), daemon=True)
        for w, queue in enumerate(queues)
    ]
    for process in processes:
        process.start()
    try:
        open_queues = list(queues)
        while open_queues:
            for queue in list(open_queues):
                if queue.get() is None:
                    open_queues.remove(queue)
                else:
                    yield 1
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _peer_worker(plays: Sequence[Play], queue: Any, threads: int) -> None:
    if threads:
        cv2.setNumThreads(threads)
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"threads;{threads}"
    for play in plays:
        steps = step_table(play).join(pointer_table(play)[["cursor_x", "cursor_y"]])
        rows = zip(
            *(steps[name] for name in ("buttons", "camera", "esc", "null")),
            *(steps[name] for name in ("cursor_x", "cursor_y")),
            strict=True,
        )
        for part in play.parts:
            video = cv2.VideoCapture(str(part.video_path))
            for _ in range(len(steps[steps["part"] == play.parts.index(part)])):
                whole, frame = video.read()
                *labels, x, y = next(rows)
                if not whole:
                    break
                picture = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                if not np.isnan(x):
                    paste_cursor(np.asarray(picture, dtype=np.uint8), x, y)
                small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_LINEAR)
                queue.put((play.name, small, labels))
            video.release()
    queue.put(None)


def bare(plays: Sequence[Play]) -> tuple[int, float]:
    """Frames and processor seconds of decoding alone, one thread."""
    frames, began = 0, time.process_time()
    for play in plays:
        for part in play.parts:
            with av.open(str(part.video_path)) as container:
                stream = container.streams.video[0]
                stream.thread_count = 1
                frames += sum(1 for _ in container.decode(stream))
    return frames, time.process_time() - began


def exact(episodes: Sequence[Episode]) -> tuple[int, float]:
    """Frames and processor seconds of decoding with the exact resize, one thread."""
    frames, began = 0, time.process_time()
    for episode in episodes:
        with closing(episode.source.open()) as reader:
            for start in range(0, len(episode), LENGTH):
                kept = episode.kept[start : start + LENGTH]
                reader.read_into(np.empty((len(kept), *episode.source.shape), np.uint8), kept)
                frames += len(kept)
    return frames, time.process_time() - began


def reading_labels(folder: Path) -> tuple[int, float]:
    """Steps and processor seconds of making the step tables of a folder for the first time."""
    with _own_cache():
        began = time.process_time()
        steps = sum(len(step_table(play)) for play in find_plays(folder))
        return steps, time.process_time() - began


class _own_cache:  # noqa: N801 (used like a function)
    """A fresh cache folder, so that nothing read before helps."""

    def __enter__(self) -> None:
        self._before = os.environ.get("BASALT_CACHE")
        self._folder = tempfile.TemporaryDirectory(prefix="basalt-bench-")
        os.environ["BASALT_CACHE"] = self._folder.name

    def __exit__(self, *_error: object) -> None:
        if self._before is None:
            del os.environ["BASALT_CACHE"]
        else:
            os.environ["BASALT_CACHE"] = self._before
        self._folder.cleanup()


def run(argv: list[str]) -> dict[str, Any]:
    """All measurements, ready to be printed as JSON.

    Raises:
        ConfigError: numbers below 1.
        RecordingError: no usable recordings in the folder.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench decode", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--data", default="sample", help="folder of recordings (the sample)")
    parser.add_argument("--frames", type=int, default=12_000, help="frames of the long run")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the best of each counts")
    options = parser.parse_args(argv)
    if options.frames < 1 or options.rounds < 1:
        raise ConfigError("bench decode: --frames and --rounds begin at 1")
    folder = data_folder(options.data)
    cv2.setNumThreads(1)
    with _own_cache():
        return _run(folder, options.frames, options.rounds)


def _run(folder: Path, frames: int, rounds: int) -> dict[str, Any]:
    plays = find_plays(folder)
    episodes = load_episodes(folder, size=SIZE, cache_gb=0)
    steps = sum(map(len, episodes))
    short = max(frames // 4, 1)
    passes = -(-(frames + ROWS * LENGTH) // steps) + 1
    pipelines: dict[str, Callable[[], Iterator[int]]] = {}
    for workers in (1, 2):
        pipelines |= {
            f"ours_{workers}": partial(ours, folder, passes, workers),
            f"peer_{workers}": partial(peer, folder, passes, workers, 0),
            f"peer_one_thread_{workers}": partial(peer, folder, passes, workers, 1),
        }
    best: dict[str, Usage] = {}
    alone: dict[str, list[float]] = {"bare": [], "exact": [], "labels": []}
    for _ in range(rounds):
        # In turn, so that other work on the machine troubles all alike.
        for name, pipeline in pipelines.items():
            usage = measure(pipeline(), short)
            best[name] = min(best.get(name, usage), usage, key=lambda u: u.cpu_ms)
        for name, (count, seconds) in (
            ("bare", bare(plays)),
            ("exact", exact(episodes)),
            ("labels", reading_labels(folder)),
        ):
            alone[name].append(1e3 * seconds / count)
    long = measure(ours(folder, passes, 2), frames)
    cpu_ms = {name: min(values) for name, values in alone.items()}
    figures: dict[str, Any] = {
        name: {"frames_per_s": round(usage.per_s, 1), "cpu_ms": round(usage.cpu_ms, 3)}
        for name, usage in best.items()
    }
    size = sum(part.video_path.stat().st_size for play in plays for part in play.parts)
    figures |= {
        "megabit_per_s": round(8e-6 * size / (steps / 20), 2),
        "bare_decoder_cpu_ms": round(cpu_ms["bare"], 3),
        "decode_and_resize_cpu_ms": round(cpu_ms["exact"], 3),
        "labels_once_cpu_ms": round(cpu_ms["labels"], 3),
        "share_of_decoders_limit": {
            "decode_and_resize": round(cpu_ms["bare"] / cpu_ms["exact"], 3),
            "whole_pipeline_1_worker": round(cpu_ms["bare"] / best["ours_1"].cpu_ms, 3),
            "whole_pipeline_2_workers": round(cpu_ms["bare"] / best["ours_2"].cpu_ms, 3),
        },
        "memory_mb": {"frames": long.count, "early": long.early_mb, "peak": long.peak_mb},
    }
    for workers in (1, 2):
        mine = best[f"ours_{workers}"]
        rivals = [best[f"{name}_{workers}"] for name in ("peer", "peer_one_thread")]
        figures[f"ratio_{workers}"] = {
            "processor_time": round(min(r.cpu_ms for r in rivals) / mine.cpu_ms, 2),
            "frames_per_s": round(mine.per_s / max(r.per_s for r in rivals), 2),
        }
    return {
        "name": "decode",
        "figures": figures,
        "peer": f"OpenCV {cv2.__version__} VideoCapture in worker processes, frames by queue, the "
        "better of its default threads and one; ratio at 2 workers by processor time, which other work "
        "on the machine does not change",
        "ratio": figures["ratio_2"]["processor_time"],
    }
