"""Reading batches in worker processes, by torch's DataLoader: each worker reads some of the rows.

A row's videos stay with one worker, so each is decoded once and forward. Which worker reads a row
changes nothing in the batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from basalt.data.dataset import Batch, RowPlans, read_batches
from basalt.data.episodes import Episode


class _Shares(IterableDataset[Batch]):
    """In worker w of W: of every batch the rows w, w + W, w + 2 W..."""

    def __init__(
        self, episodes: Sequence[Episode], plan: Iterable[RowPlans], rows: int, length: int
    ) -> None:
        self._episodes, self._plan, self._rows, self._length = episodes, plan, rows, length

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None
        cv2.setNumThreads(1)
        mine = range(worker.id, self._rows, worker.num_workers)
        return read_batches(self._episodes, self._plan, mine, self._length)


def read_in_workers(
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    rows: int,
    length: int,
    workers: int,
    ahead: int = 2,
) -> Iterator[Batch]:
    """Batches of a plan, read by processes into shared memory.

    Args:
        episodes, plan, rows, length: see `basalt.data.dataset.batches`.
        workers: processes; not more than rows are started.
        ahead: batches each reads before they are asked for.
    """
    workers = min(workers, rows)
    loader = DataLoader(
        _Shares(episodes, plan, rows, length),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=ahead,
        # Spawned: decoders and torch hold threads, which a fork would break.
        multiprocessing_context="spawn",
    )
    shares = iter(loader)
    # The loader takes from the workers in turn.
    for first in shares:
        parts = [first, *(next(shares) for _ in range(workers - 1))]
        yield Batch(*(_interleave(list(column), rows) for column in zip(*parts, strict=True)))


def _interleave(parts: Sequence[torch.Tensor], rows: int) -> Any:
    """The rows of a batch in order, as an array, from the workers' shares."""
    if len(parts) == 1:
        return parts[0].numpy()
    whole = parts[0].new_empty((rows, *parts[0].shape[1:]))
    for worker, part in enumerate(parts):
        whole[worker :: len(parts)] = part
    return whole.numpy()
