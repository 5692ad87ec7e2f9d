"""Training sequences from recordings: chunks in episode order, many episodes side by side.

A row of a batch is an endless concatenation of episodes; ``first`` marks where one begins, wherever in
the chunk that is, so nothing is padded and the policy's memory is carried from chunk to chunk.

What goes where is a plan that depends on the episodes' lengths and a seed only; reading carries it out,
in this process or in workers that each read some of the rows (:mod:`basalt.data.workers`).
"""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.data.episodes import Episode, load_episodes, split_episodes
from basalt.data.frames import FrameReader
from basalt.data.mirror import mirror_actions, mirror_frames
from basalt.errors import ConfigError

__all__ = [
    "Batch",
    "Episode",
    "SequenceStream",
    "load_episodes",
    "single_pass",
    "split_episodes",
]


class Batch(NamedTuple):
    """T frames for each of B rows, with what the player did at each.

    Attributes:
        img: uint8 [B, T, height, width, 3] RGB; of embedded episodes the latents, float [B, T, width].
        first: bool [B, T], an episode begins at this frame.
        valid: bool [B, T], False for padding behind the last episode of a finite pass.
        buttons: int64 [B, T] below 8641.
        camera: int64 [B, T] below 121.
        esc: bool [B, T].
        episode: int64 [B, T], position in the list of episodes; -1 for padding.
        position: int64 [B, T], position among the episode's used frames.
        frame: int64 [B, T], frame of the play.
    """

    img: NDArray[Any]
    first: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]
    episode: NDArray[np.int64]
    position: NDArray[np.int64]
    frame: NDArray[np.int64]


class Piece(NamedTuple):
    """Frames start..stop (of those used) of an episode, at its beginning or not, mirrored or not."""

    episode: int
    start: int
    stop: int
    begins: bool
    mirrored: bool = False


RowPlans = list[list[Piece]]
"""For each row, the pieces that fill it, in order."""


class EndlessPlan(Iterator[RowPlans]):
    """What each row of each training batch shows, the same for the same seed.

    Each pass over the data takes the episodes in a new order; a row that has finished its episode
    takes the next one. Rows begin at random frames of their first episode, lest all rows show the
    beginnings of episodes at the same time.

    Args:
        lengths: used frames of each episode.
        rows: B.
        length: T, frames of a chunk.
        seed: of the order.
        mirror: show every other episode, by chance, in a mirror.
    """

    def __init__(
        self, lengths: Sequence[int], rows: int, length: int, seed: int, mirror: bool
    ) -> None:
        if rows < 1 or length < 1:
            raise ConfigError(f"rows {rows} and length {length} must be at least 1")
        self._lengths, self._length = list(lengths), length
        self._seed, self._mirror = seed, mirror
        self._epoch = 0
        self._waiting: list[tuple[int, bool]] = []
        rng = np.random.default_rng([seed, 0])
        self._cursors: list[tuple[int, bool, int, bool]] = []
        for _ in range(rows):
            index, mirrored = self._take()
            self._cursors.append((index, mirrored, int(rng.integers(self._lengths[index])), True))

    def _take(self) -> tuple[int, bool]:
        """The next episode, and whether it is to be mirrored."""
        if not self._waiting:
            self._epoch += 1
            rng = np.random.default_rng([self._seed, self._epoch])
            order = rng.permutation(len(self._lengths)).tolist()
            sides = (rng.random(len(order)) < 0.5).tolist()
            self._waiting = list(zip(order, sides, strict=True))[::-1]
        index, side = self._waiting.pop()
        return index, side and self._mirror

    def __next__(self) -> RowPlans:
        return [self._plan_row(row) for row in range(len(self._cursors))]

    def _plan_row(self, row: int) -> list[Piece]:
        pieces, missing = [], self._length
        index, mirrored, start, begins = self._cursors[row]
        while missing:
            stop = min(start + missing, self._lengths[index])
            pieces.append(Piece(index, start, stop, begins, mirrored))
            missing -= stop - start
            begins = stop == self._lengths[index]
            start = stop
            if begins:
                (index, mirrored), start = self._take(), 0
        self._cursors[row] = (index, mirrored, start, begins)
        return pieces


class FinitePlan(Iterable[RowPlans]):
    """Every frame of every episode once, in episode order, the rows' ends padded.

    Args:
        lengths: used frames of each episode.
        rows: at most this many episodes side by side.
        length: T, frames of a chunk.
    """

    def __init__(self, lengths: Sequence[int], rows: int, length: int) -> None:
        self.rows = min(rows, len(lengths))
        self._length = length
        self._queues: list[list[Piece]] = [[] for _ in range(self.rows)]
        self._loads = [0] * self.rows
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            row = self._loads.index(min(self._loads))
            self._queues[row].append(Piece(index, 0, lengths[index], True))
            self._loads[row] += lengths[index]

    def __iter__(self) -> Iterator[RowPlans]:
        places = [(0, 0)] * self.rows  # of each row: piece, and frames of it already shown
        for _ in range(math.ceil(max(self._loads, default=0) / self._length)):
            plans: RowPlans = []
            for row, queue in enumerate(self._queues):
                pieces, missing = [], self._length
                number, shown = places[row]
                while missing and number < len(queue):
                    whole = queue[number]
                    stop = min(shown + missing, whole.stop)
                    pieces.append(Piece(whole.episode, shown, stop, begins=shown == 0))
                    missing -= stop - shown
                    number, shown = (number + 1, 0) if stop == whole.stop else (number, stop)
                places[row] = (number, shown)
                plans.append(pieces)
            yield plans


class SequenceStream(Iterator[Batch]):
    """Endless training batches, the same for the same seed, whatever the number of workers.

    Args:
        episodes: training episodes.
        rows: B.
        length: T, frames of a chunk.
        seed: of the order.
        mirror: show every other episode, by chance, in a mirror, actions included.
        workers: processes that read ahead; 0 = read in this process when asked.
        share: (k, n): of the B rows only k, k + n, ...; for n trainers side by side.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        rows: int,
        length: int,
        seed: int,
        *,
        mirror: bool = False,
        workers: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._episodes = list(episodes)
        self._length, self._workers = length, workers
        self._plan = EndlessPlan([len(e) for e in episodes], rows, length, seed, mirror)
        self._rows = range(share[0], rows, share[1])
        self._batches: Iterator[Batch] | None = None

    def skip(self, batches: int) -> None:
        """Pass over batches without reading a frame; for going on after an interruption."""
        assert self._batches is None, "skip comes before the first batch"
        for _ in range(batches):
            next(self._plan)

    def __next__(self) -> Batch:
        if self._batches is None:
            # A copy, since workers get copies too.
            plan = copy.deepcopy(self._plan)
            self._batches = batches(self._episodes, plan, self._rows, self._length, self._workers)
        return next(self._batches)


def single_pass(
    episodes: Sequence[Episode], rows: int, length: int, workers: int = 0
) -> Iterator[Batch]:
    """Every frame of every episode once, in episode order, the rows' ends padded.

    Args:
        episodes: any number.
        rows: at most this many episodes side by side.
        length: T, frames of a chunk.
        workers: processes that read ahead.
    """
    plan = FinitePlan([len(e) for e in episodes], rows, length)
    return batches(episodes, plan, range(plan.rows), length, workers)


def batches(
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    rows: Sequence[int],
    length: int,
    workers: int = 0,
) -> Iterator[Batch]:
    """Carry out a plan, here or in workers.

    Args:
        episodes: those the plan's numbers mean.
        plan: what each batch shows; picklable where there are workers.
        rows: which of the plan's rows, B of them.
        length: T.
        workers: processes that read ahead; more than rows are of no use.
    """
    if workers < 1:
        return read_batches(episodes, plan, rows, length)
    from basalt.data.workers import read_in_workers

    return read_in_workers(episodes, plan, rows, length, workers)


def read_batches(
    episodes: Sequence[Episode], plan: Iterable[RowPlans], rows: Sequence[int], length: int
) -> Iterator[Batch]:
    """Read each planned batch in this process; one video a row is open at a time."""
    readers = [RowReader(episodes) for _ in rows]
    for plans in plan:
        batch = Batch(*(np.empty(*kind) for kind in batch_layout(len(rows), length, episodes[0])))
        for at, row in enumerate(rows):
            readers[at].fill(batch, at, plans[row])
        yield batch


class RowReader:
    """Fills one row of batches."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = episodes
        self._index = -1
        self._reader: FrameReader | None = None

    def fill(self, batch: Batch, row: int, pieces: Sequence[Piece]) -> None:
        """Put the pieces into the batch's row, and padding behind them."""
        at = 0
        for index, start, stop, begins, mirrored in pieces:
            episode, end = self._episodes[index], at + stop - start
            pictures = batch.img[row, at:end]
            self._read(pictures, index, episode.kept[start:stop])
            actions = episode.actions_between(start, stop)
            if mirrored:
                pictures[:] = mirror_frames(pictures)
                actions = mirror_actions(actions)
            batch.first[row, at:end] = False
            batch.first[row, at] = begins
            batch.valid[row, at:end] = True
            batch.buttons[row, at:end] = actions.buttons
            batch.camera[row, at:end] = actions.camera
            batch.esc[row, at:end] = actions.esc
            batch.episode[row, at:end] = index
            batch.position[row, at:end] = np.arange(start, stop)
            batch.frame[row, at:end] = episode.kept[start:stop]
            at = end
        for column, padding in zip(batch, PADDING, strict=True):
            column[row, at:] = padding

    def _read(self, pictures: NDArray[Any], index: int, frames: NDArray[np.int32]) -> None:
        episode = self._episodes[index]
        if episode.cached:
            pictures[:] = episode.frames[frames]
            return
        if self._reader is None or index != self._index:
            if self._reader is not None:
                self._reader.close()
            self._index, self._reader = index, episode.reader()
        self._reader.read_into(pictures, frames)


PADDING = (0, False, False, 0, 0, False, -1, 0, 0)
"""What stands in each column of a batch behind the last frame."""


def batch_layout(
    rows: int, length: int, episode: Episode
) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each column of a batch of such episodes."""
    small, whole, flag = (rows, length), np.dtype(np.int64), np.dtype(np.bool_)
    pictures = ((*small, *episode.frame_shape), np.dtype(episode.frame_type))
    flags, numbers = (small, flag), (small, whole)
    return [pictures, flags, flags, numbers, numbers, flags, numbers, numbers, numbers]
