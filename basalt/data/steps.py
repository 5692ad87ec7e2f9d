"""Step tables: what there is to learn at each frame of a play, one row each, kept as Parquet in the cache.

Parsing a play's JSON lines takes about twenty microseconds a line, so it is done once; training reads
the tables.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from basalt.core.actions import env_to_indices, is_null
from basalt.data.bedd import Play
from basalt.data.cursor import cursor_at
from basalt.data.labels import LabelMode, Labels, label_play
from basalt.io.atomic import replacing
from basalt.io.console import progress_bar
from basalt.io.paths import cache_dir
from basalt.io.processes import spawned_pool

_VERSION = 3
"""Part of the tables' file names: raise it when labels or columns change."""

_FEW = 32
"""Number of plays from which starting processes is worthwhile."""


def step_table(play: Play, labels: LabelMode = "corrected") -> pd.DataFrame:
    """The steps of a play, in order.

    Args:
        play: One demonstration.
        labels: Labelling rules; see `basalt.data.labels.label_parts`.

    Returns:
        Columns `part` (int16, which file), `frame` (int32, frame of that file), `buttons` and `camera`
        (int16, VPT indices), `esc`, `null` (bool), `pitch`, `yaw` (float32, degrees), `labelled` (bool, False
        where the recording's expert has no answer).

    Raises:
        RecordingError: The lines cannot be read.
    """
    return _cached(play.without_cache(), labels, partial(_label, labels=labels))


def pointer_table(play: Play) -> pd.DataFrame:
    """Where the mouse pointer is to be pasted into each frame of a play. Needs no labels.

    Args:
        play: One demonstration.

    Returns:
        Columns `part` (int16, which file), `cursor_x`, `cursor_y` (float64, position in the recorder's
        1280x720 window; NaN where no pointer is pasted).

    Raises:
        RecordingError: The lines cannot be read.
    """
    return _cached(play.without_cache(), "pointer", _pointers)


def _cached(play: Play, kind: str, make: Callable[[Play], pd.DataFrame]) -> pd.DataFrame:
    path = _path(play, kind)
    if path.is_file():
        try:
            return parquet.read_table(path).to_pandas()
        except (OSError, pa.ArrowInvalid):
            path.unlink(missing_ok=True)  # damaged; made again below
    table = make(play)
    with replacing(path) as unfinished:
        parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), unfinished)
    return table


def prepare_step_tables(
    plays: Sequence[Play], labels: LabelMode = "corrected", *, jobs: int = 1
) -> None:
    """Make the tables that are not in the cache yet.

    Args:
        plays: Any number of plays.
        labels: Labelling rules.
        jobs: Number of processes.

    Raises:
        RecordingError: Lines cannot be read; tables made before that stay.
    """
    todo = [play for play in plays if not _path(play, labels).is_file()]
    few = len(todo) < _FEW
    bar = progress_bar(total=len(todo), title="reading lines", unit="play", shown=not few)
    make = partial(_prepare, labels=labels)
    with bar:
        if few or jobs < 2:
            for play in todo:
                make(play)
                bar.update()
            return
        with spawned_pool(jobs) as pool:
            for _ in pool.map(make, todo, chunksize=4):
                bar.update()


def _prepare(play: Play, labels: LabelMode) -> None:
    # One copy parses the lines for both tables; afterwards they are freed with it.
    play = play.without_cache()
    _cached(play, labels, partial(_label, labels=labels))
    _cached(play, "pointer", _pointers)


def _label(play: Play, labels: LabelMode) -> pd.DataFrame:
    return pd.concat(
        [
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
                    "labelled": labelled,
                }
            )
            for number, (made, labelled) in enumerate(_to_learn(play, labels))
        ],
        ignore_index=True,
    )


def _to_learn(play: Play, labels: LabelMode) -> list[tuple[Labels, NDArray[np.bool_]]]:
    """Labels of each recording, and where there are any: an expert's where it labelled the recording.

    Otherwise a learner would be taught what it did itself, or the noise that was put into a demonstration.
    """
    executed = label_play(play, labels)
    found = []
    for recording, done in zip(play.parts, executed, strict=True):
        expert = recording.expert()
        if expert is None:
            found.append((done, np.ones(len(done), dtype=bool)))
        else:
            indices = env_to_indices(expert.actions)
            found.append((Labels(expert.actions, indices, is_null(indices)), expert.labelled))
    return found


def _pointers(play: Play) -> pd.DataFrame:
    parts = [len(recording.lines) for recording in play.parts]
    at = [
        (cursor_at(line) if play.is_bedd else None) or (np.nan, np.nan)
        for recording in play.parts
        for line in recording.lines
    ]
    cursor = np.array(at).reshape(len(at), 2)
    part = np.repeat(np.arange(len(parts), dtype=np.int16), parts)
    return pd.DataFrame({"part": part, "cursor_x": cursor[:, 0], "cursor_y": cursor[:, 1]})


def _path(play: Play, kind: str) -> Path:
    """File of a play's table; its name changes when the files of lines change."""
    facts = [f"{_VERSION}|{kind}|{play.is_bedd}"]
    for part in play.parts:
        state = part.lines_path.stat()
        facts.append(f"{part.lines_path.resolve()}|{state.st_size}|{state.st_mtime_ns}")
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    return cache_dir() / "steps" / f"{name}.parquet"
