"""Plans: which frames of which episodes each row of each batch shows.

A plan depends only on the episodes' lengths and a seed; `basalt.data.dataset` reads what it says.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from basalt.io.errors import ConfigError


class Piece(NamedTuple):
    """Used frames start..stop of an episode, whether they begin it, and whether they are mirrored."""

    episode: int
    start: int
    stop: int
    begins: bool
    mirrored: bool = False


RowPlans = list[list[Piece]]
"""For each row, the pieces that fill it, in order."""


class EndlessPlan(Iterator[RowPlans]):
    """Plan of endless training batches, the same for the same seed.

    Each pass over the data takes the episodes in a new order; a row that has finished its episode
    takes the next one. Rows start at random frames of their first episode, so that they do not all
    show the beginnings of episodes at the same time.

    Args:
        lengths: Number of used frames of each episode.
        batch_size: Number of rows, B.
        seq_len: Number of frames per chunk, T.
        seed: Seed of the order.
        mirror: Mirror a random half of the episodes.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seq_len: int, seed: int, mirror: bool
    ) -> None:
        if batch_size < 1 or seq_len < 1:
            raise ConfigError(
                f"rows and length: expected integers of at least 1, got {batch_size} and {seq_len}"
            )
        self._lengths, self._length = list(lengths), seq_len
        self._seed, self._mirror = seed, mirror
        self._epoch = 0
        self._waiting: list[tuple[int, bool]] = []
        rng = np.random.default_rng([seed, 0])
        self._cursors: list[tuple[int, bool, int, bool]] = []
        for _ in range(batch_size):
            index, mirrored = self._take()
            self._cursors.append((index, mirrored, int(rng.integers(self._lengths[index])), True))

    def _take(self) -> tuple[int, bool]:
        """The next episode, and whether it is mirrored."""
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
    """Plan of one pass: every frame of every episode once, in order; the ends of rows are padded.

    Args:
        lengths: Number of used frames of each episode.
        batch_size: Largest number of episodes in one batch.
        seq_len: Number of frames per chunk, T.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seq_len: int) -> None:
        self.rows = min(batch_size, len(lengths))
        self._length = seq_len
        self._queues: list[list[Piece]] = [[] for _ in range(self.rows)]
        self._loads = [0] * self.rows
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            row = self._loads.index(min(self._loads))
            self._queues[row].append(Piece(index, 0, lengths[index], True))
            self._loads[row] += lengths[index]

    def __len__(self) -> int:
        return math.ceil(max(self._loads, default=0) / self._length)

    def __iter__(self) -> Iterator[RowPlans]:
        places = [(0, 0)] * self.rows  # for each row: piece, and frames of it already shown
        for _ in range(len(self)):
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
