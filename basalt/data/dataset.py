"""Training sequences from recordings: chunks in episode order, many episodes side by side.

A row of a batch is an endless concatenation of episodes; ``first`` marks where one begins, wherever in
the chunk that is, so nothing is padded and the policy's memory is carried from chunk to chunk.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.actions import VPTActions, env_to_indices, is_null
from basalt.data.frames import decoded_frames
from basalt.data.mirror import mirror_actions, mirror_frames
from basalt.errors import ConfigError
from basalt.paths import sample_dir
from basalt.recording import Recording, find_recordings
from basalt.tasks import Task, refuse_official


class Batch(NamedTuple):
    """T frames for each of B rows, with what the player did at each.

    Attributes:
        img: uint8 [B, T, height, width, 3] RGB.
        first: bool [B, T], an episode begins at this frame.
        valid: bool [B, T], False for padding behind the last episode of a finite pass.
        buttons: int64 [B, T] below 8641.
        camera: int64 [B, T] below 121.
        esc: bool [B, T].
        episode: int64 [B, T], position in the list of episodes; -1 for padding.
        position: int64 [B, T], position among the episode's used frames.
        frame: int64 [B, T], frame of the recording.
    """

    img: NDArray[np.uint8]
    first: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]
    episode: NDArray[np.int64]
    position: NDArray[np.int64]
    frame: NDArray[np.int64]


@dataclass(frozen=True)
class Episode:
    """One recording as training data.

    Attributes:
        recording: the files.
        actions: VPT indices of the frames used.
        kept: int64 [n], which frames of the recording are used, in order.
        size: (height, width) of the frames.
    """

    recording: Recording
    actions: VPTActions
    kept: NDArray[np.int64]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def name(self) -> str:
        """The recording's file name without suffix."""
        return self.recording.name

    @property
    def place(self) -> str:
        """What two recordings share when they show the same ground: task and seed, else the name."""
        meta = self.recording.meta
        return f"{meta.task}:{meta.seed}" if meta else self.name

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """uint8 [frames of the recording, height, width, 3], memory-mapped."""
        return decoded_frames(self.recording, self.size)


def load_episodes(
    source: str | Path,
    *,
    task: Task | None = None,
    size: tuple[int, int] = (128, 128),
    drop_null: bool = False,
) -> list[Episode]:
    """Episodes of a folder of recordings, in order of path. Frames are decoded when first used.

    Args:
        source: a folder, or ``sample`` for the recordings that ship with the package.
        task: keep this task's recordings only. Recordings that do not say their task are kept.
        size: (height, width) of the policy's picture.
        drop_null: leave out frames without any action. Judged after quantisation: a mouse movement
            too small for the camera's bins is no action. A frame with ESC stays.

    Raises:
        RecordingError: a recording is damaged, or the folder holds none.
        ConfigError: none is of this task, one was played on an official evaluation seed, or all
            frames are null.
    """
    folder = sample_dir() if source == "sample" else Path(source)
    episodes = []
    for recording in find_recordings(folder):
        meta = recording.meta
        if meta and task:
            if meta.task != task.name:
                continue
            refuse_official(task, [meta.seed], f"training on {recording.stem}")
        actions = env_to_indices(recording.actions())
        keep = ~is_null(actions) if drop_null else np.ones(len(recording), dtype=bool)
        kept = np.flatnonzero(keep)
        if len(kept):
            used = VPTActions(actions.buttons[kept], actions.camera[kept], actions.esc[kept])
            episodes.append(Episode(recording, used, kept, size))
    if not episodes:
        wanted = f"of task {task.name} " if task else ""
        raise ConfigError(f"data: {folder} holds no recording {wanted}with an action in it")
    return episodes


def split_episodes(
    episodes: Sequence[Episode], held_out: float, seed: int = 0
) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes, by place: recordings of the same ground stay together.

    The choice depends on task, seed and `seed` only, neither on file names nor on their order.

    Args:
        episodes: at least two places, unless `held_out` is 0.
        held_out: share of places to hold out, at least one if above 0.
        seed: another number gives another split.

    Raises:
        ConfigError: the share is not in 0..1 or leaves one side empty.
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out: {held_out} is not a share from 0 to below 1")
    places = sorted(
        {episode.place for episode in episodes},
        key=lambda place: hashlib.sha256(f"{seed}:{place}".encode()).digest(),
    )
    count = math.ceil(held_out * len(places) - 1e-9)
    if count >= len(places):
        raise ConfigError(
            f"held_out: {held_out} of {len(places)} place(s) leaves nothing to train on; "
            "add recordings or set held_out=0"
        )
    test_places = set(places[:count])
    train = [episode for episode in episodes if episode.place not in test_places]
    test = [episode for episode in episodes if episode.place in test_places]
    return train, test


class _Piece(NamedTuple):
    """Frames start..stop (of those kept) of an episode, at its beginning or not, mirrored or not."""

    episode: int
    start: int
    stop: int
    begins: bool
    mirrored: bool = False


class SequenceStream:
    """Endless training batches, the same for the same seed.

    Each pass over the data takes the episodes in a new order; a row that has finished its episode
    takes the next one. Rows begin at random frames of their first episode, lest all rows show the
    beginnings of episodes at the same time.

    Args:
        episodes: training episodes.
        rows: B.
        length: T, frames of a chunk.
        seed: of the order.
        mirror: show every other episode, by chance, in a mirror, actions included.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        rows: int,
        length: int,
        seed: int,
        *,
        mirror: bool = False,
    ) -> None:
        if rows < 1 or length < 1:
            raise ConfigError(f"rows {rows} and length {length} must be at least 1")
        self._episodes = list(episodes)
        self._length = length
        self._order = self._endless_order(seed)
        self._mirror = mirror
        rng = np.random.default_rng([seed, 0])
        self._cursors: list[tuple[int, bool, int, bool]] = []
        for _ in range(rows):
            index, mirrored = next(self._order)
            start = int(rng.integers(len(self._episodes[index])))
            self._cursors.append((index, mirrored, start, True))

    def _endless_order(self, seed: int) -> Iterator[tuple[int, bool]]:
        """Episodes, each with whether it is to be mirrored."""
        epoch = 1
        while True:
            rng = np.random.default_rng([seed, epoch])
            order = rng.permutation(len(self._episodes)).tolist()
            sides = (rng.random(len(order)) < 0.5).tolist()
            for index, side in zip(order, sides, strict=True):
                yield index, side and self._mirror
            epoch += 1

    def _plan_row(self, row: int) -> list[_Piece]:
        pieces, missing = [], self._length
        index, mirrored, start, begins = self._cursors[row]
        while missing:
            stop = min(start + missing, len(self._episodes[index]))
            pieces.append(_Piece(index, start, stop, begins, mirrored))
            missing -= stop - start
            begins = stop == len(self._episodes[index])
            start = stop
            if begins:
                (index, mirrored), start = next(self._order), 0
        self._cursors[row] = (index, mirrored, start, begins)
        return pieces

    def skip(self, batches: int) -> None:
        """Pass over batches without reading a frame; for going on after an interruption."""
        for _ in range(batches):
            for row in range(len(self._cursors)):
                self._plan_row(row)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        plans = [self._plan_row(row) for row in range(len(self._cursors))]
        return _read(self._episodes, plans, self._length)


def single_pass(episodes: Sequence[Episode], rows: int, length: int) -> Iterator[Batch]:
    """Every frame of every episode once, in episode order, the rows' ends padded.

    Args:
        episodes: any number.
        rows: at most this many episodes side by side.
        length: T, frames of a chunk.
    """
    rows = min(rows, len(episodes))
    queues: list[list[_Piece]] = [[] for _ in range(rows)]
    loads = [0] * rows
    for index in sorted(range(len(episodes)), key=lambda i: -len(episodes[i])):
        row = loads.index(min(loads))
        queues[row].append(_Piece(index, 0, len(episodes[index]), True))
        loads[row] += len(episodes[index])
    for chunk in range(math.ceil(max(loads, default=0) / length)):
        window = (chunk * length, (chunk + 1) * length)
        yield _read(episodes, [_cut(queue, *window) for queue in queues], length)


def _cut(queue: Sequence[_Piece], start: int, stop: int) -> list[_Piece]:
    """The part of concatenated pieces that lies in start..stop."""
    pieces, offset = [], 0
    for piece in queue:
        size = piece.stop - piece.start
        low, high = max(start - offset, 0), min(stop - offset, size)
        if low < high:
            begins = piece.begins and low == 0
            pieces.append(_Piece(piece.episode, piece.start + low, piece.start + high, begins))
        offset += size
    return pieces


def _read(episodes: Sequence[Episode], plans: Sequence[Sequence[_Piece]], length: int) -> Batch:
    rows = len(plans)
    batch = Batch(
        img=np.zeros((rows, length, *episodes[0].size, 3), dtype=np.uint8),
        first=np.zeros((rows, length), dtype=bool),
        valid=np.zeros((rows, length), dtype=bool),
        buttons=np.zeros((rows, length), dtype=np.int64),
        camera=np.zeros((rows, length), dtype=np.int64),
        esc=np.zeros((rows, length), dtype=bool),
        episode=np.full((rows, length), -1, dtype=np.int64),
        position=np.zeros((rows, length), dtype=np.int64),
        frame=np.zeros((rows, length), dtype=np.int64),
    )
    for row, pieces in enumerate(plans):
        at = 0
        for index, start, stop, begins, mirrored in pieces:
            episode, end = episodes[index], at + stop - start
            frames = episode.kept[start:stop]
            pictures, actions = episode.frames[frames], episode.actions
            if mirrored:
                pictures, actions = mirror_frames(pictures), mirror_actions(actions)
            batch.img[row, at:end] = pictures
            batch.first[row, at] = begins
            batch.valid[row, at:end] = True
            batch.buttons[row, at:end] = actions.buttons[start:stop]
            batch.camera[row, at:end] = actions.camera[start:stop]
            batch.esc[row, at:end] = actions.esc[start:stop]
            batch.episode[row, at:end] = index
            batch.position[row, at:end] = np.arange(start, stop)
            batch.frame[row, at:end] = frames
            at = end
    return batch
