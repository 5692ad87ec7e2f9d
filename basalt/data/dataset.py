"""Training sequences from recordings: chunks in episode order, many episodes side by side.

A row of a batch is an endless concatenation of episodes; ``first`` marks where one begins, wherever in
the chunk that is, so nothing is padded and the policy's memory is carried from chunk to chunk.

What goes where is a plan (:mod:`basalt.data.plans`); reading carries it out, in this process or in
workers that each read some of the rows (:mod:`basalt.data.workers`).
"""

import copy
from collections.abc import Iterable, Iterator, Sequence

from basalt.data.batch import Batch, BatchLayout, RowReader
from basalt.data.episodes import Episode
from basalt.data.plans import EndlessPlan, FinitePlan, RowPlans
from basalt.data.workers import read_in_workers


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
    return read_in_workers(episodes, plan, rows, length, workers)


def read_batches(
    episodes: Sequence[Episode], plan: Iterable[RowPlans], rows: Sequence[int], length: int
) -> Iterator[Batch]:
    """Read each planned batch in this process; one video a row is open at a time."""
    layout = BatchLayout.of(len(rows), length, episodes[0].source)
    readers = [RowReader(episodes) for _ in rows]
    for plans in plan:
        batch = layout.empty()
        for at, row in enumerate(rows):
            readers[at].fill(batch, at, plans[row])
        yield batch
