"""Step tables: what was done at each frame of a play, one row each, kept as Parquet in the cache.

Reading a play's JSON lines costs some twenty microseconds a line, so it is done once; training reads
the tables.
"""

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from tqdm import tqdm

from basalt.data.bedd import Play
from basalt.data.cursor import cursor_at
from basalt.data.labels import LabelMode, label_play
from basalt.io.atomic import replacing
from basalt.io.paths import cache_dir

_VERSION = 1
"""Part of the tables' names: raise it when labels change."""

_FEW = 32
"""Fewer plays than this are not worth starting processes for."""


def step_table(play: Play, labels: LabelMode = "mended") -> pd.DataFrame:
    """The steps of a play, in order.

    Args:
        play: one demonstration.
        labels: see :func:`basalt.data.labels.label_parts`.

    Returns:
        Columns ``part`` (int16, which file), ``frame`` (int32, frame of that file), ``buttons`` and
        ``camera`` (int16, VPT indices), ``esc``, ``null`` (bool), ``pitch``, ``yaw`` (float32,
        degrees), ``cursor_x``, ``cursor_y`` (float64, where the pointer is to be pasted in the
        1280x720 window; NaN where it is not).

    Raises:
        RecordingError: the lines cannot be read.
    """
    path = _path(play, labels)
    if path.is_file():
        try:
            return parquet.read_table(path).to_pandas()
        except (OSError, pa.ArrowInvalid):
            path.unlink(missing_ok=True)  # damaged; made again below
    table = _make(play.reopened(), labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), unfinished)
    return table


def prepare_step_tables(
    plays: Sequence[Play], labels: LabelMode = "mended", *, jobs: int = 1, progress: bool = True
) -> None:
    """Make the tables that are not in the cache yet.

    Args:
        plays: any number.
        labels: which labels.
        jobs: processes side by side.
        progress: show a bar where that takes a while.

    Raises:
        RecordingError: lines that cannot be read; the tables made before stay.
    """
    todo = [play for play in plays if not _path(play, labels).is_file()]
    few = len(todo) < _FEW
    bar = tqdm(total=len(todo), desc="reading lines", unit="play", disable=few or not progress)
    make = partial(_prepare, labels=labels)
    with bar:
        if few or jobs < 2:
            for play in todo:
                make(play)
                bar.update()
            return
        # Spawned: decoders hold threads, which a fork would break.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(jobs, mp_context=context)
        try:
            for _ in pool.map(make, todo, chunksize=4):
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare(play: Play, labels: LabelMode) -> None:
    step_table(play, labels)


def _make(play: Play, labels: LabelMode) -> pd.DataFrame:
    parts = []
    for number, (made, recording) in enumerate(
        zip(label_play(play, labels), play.parts, strict=True)
    ):
        at = [cursor_at(line) if play.is_bedd else None for line in recording.lines]
        cursor = np.array([place or (np.nan, np.nan) for place in at]).reshape(len(at), 2)
        parts.append(
            pd.DataFrame(
                {
                    "part": np.full(len(made), number, dtype=np.int16),
                    "frame": np.arange(len(made), dtype=np.int32),
                    "buttons": made.indices.buttons.astype(np.int16),
                    "camera": made.indices.camera.astype(np.int16),
                    "esc": made.indices.esc,
                    "null": made.null,
                    "pitch": made.actions.camera[:, 0].astype(np.float32),
                    "yaw": made.actions.camera[:, 1].astype(np.float32),
                    "cursor_x": cursor[:, 0],
                    "cursor_y": cursor[:, 1],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _path(play: Play, labels: LabelMode) -> Path:
    """Where a play's table is kept; its name tells files that were changed from those that were not."""
    facts = [f"{_VERSION}|{labels}|{play.is_bedd}"]
    for part in play.parts:
        state = part.lines_path.stat()
        facts.append(f"{part.lines_path.resolve()}|{state.st_size}|{state.st_mtime_ns}")
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    return cache_dir() / "steps" / f"{name}.parquet"
