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

    Without `segment`, each pass over the data takes the episodes in a new order; a row that has finished
    its episode takes the next one. Rows start at random frames of their first episode, so that they do
    not all show the beginnings of episodes at the same time. The steps of a training then show nearly
    the same frames for a long time, which only many rows make up for.

    With `segment`, a row shows that many consecutive frames, all frames equally likely, and then jumps to
    another place as if an episode began there.

    With `window` too, segments come from that many episodes at a time, each frame once in a pass: a shuffle buffer that
    takes whole episodes, so that files are read one after another. A segment is the next one, in random order, of a
    random episode of the window; an episode that is used up makes place for the next one of the pass. Two segments of an episode are K draws apart on average
    for a window of K (their number is geometric), so that two neighbours among its S segments are K (S + 1) / 3 draws apart,
    and two draws come from the same episode with probability 1 / K. After a full shuffle of n segments neighbours are
    (n + 1) / 3 apart, the mean distance of two different random positions among n.

    Args:
        lengths: Number of used frames of each episode.
        batch_size: Number of rows, B.
        seq_len: Number of frames per chunk, T.
        seed: Seed of the order.
        mirror: Mirror a random half of the episodes, or of the segments.
        segment: Number of frames after which a row jumps; None to show whole episodes.
        window: Number of episodes among which rows jump, at most all; None for all, with replacement.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seq_len: int,
        seed: int,
        mirror: bool,
        segment: int | None = None,
        window: int | None = None,
    ) -> None:
        if batch_size < 1 or seq_len < 1:
            raise ConfigError(
                f"rows and length: expected integers of at least 1, got {batch_size} and {seq_len}"
            )
        self._lengths, self._length = list(lengths), seq_len
        self._seed, self._mirror, self._segment = seed, mirror, segment
        self._epoch = 0
        self._waiting: list[tuple[int, bool]] = []
        self._rng = np.random.default_rng([seed, 0])
        self._window: list[list[Piece]] = [[] for _ in range(min(window or 0, len(lengths)))]
        # Also a segment that is cut at either end, so that no frame is less likely than others.
        self._places = np.cumsum(np.asarray(lengths, np.int64) + ((segment or 1) - 1))
        self._cursors = [self.draw() for _ in range(batch_size)]
        if segment is None:
            for row, piece in enumerate(self._cursors):
                start = int(self._rng.integers(piece.stop))
                self._cursors[row] = piece._replace(start=start)

    def draw(self) -> Piece:
        """The frames that a row shows when its last ones are used up."""
        if self._segment is None:
            index, mirrored = self._take()
            return Piece(index, 0, self._lengths[index], True, mirrored)
        if self._window:
            waiting = self._window[int(self._rng.integers(len(self._window)))]
            if not waiting:
                waiting += self._cut(self._take()[0], self._segment)
            return waiting.pop()
        reach = self._segment - 1
        at = int(self._rng.integers(self._places[-1]))
        index = int(np.searchsorted(self._places, at, side="right"))
        at -= int(self._places[index - 1]) if index else 0
        mirrored = self._mirror and bool(self._rng.random() < 0.5)
        return Piece(index, max(at - reach, 0), min(at + 1, self._lengths[index]), True, mirrored)

    def _cut(self, index: int, segment: int) -> list[Piece]:
        """An episode's segments in random order; the first one has a random length, so that cuts differ by pass."""
        length = self._lengths[index]
        first = int(self._rng.integers(1, segment + 1))
        edges = [0, *range(first, length, segment), length]
        sides = self._rng.random(len(edges) - 1) < 0.5
        return [
            Piece(index, edges[at], edges[at + 1], True, self._mirror and bool(sides[at]))
            for at in self._rng.permutation(len(edges) - 1).tolist()
        ]

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
        ahead = self._cursors[row]
        while missing:
            stop = min(ahead.start + missing, ahead.stop)
            pieces.append(ahead._replace(stop=stop))
            missing -= stop - ahead.start
            at_end = stop == ahead.stop
            ahead = self.draw() if at_end else ahead._replace(start=stop, begins=False)
        self._cursors[row] = ahead
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
