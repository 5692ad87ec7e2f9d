"""Training sequences: chunks of episodes in order, several episodes in one batch.

A row of a batch is an endless concatenation of episodes; `first` marks where one begins, anywhere in a
chunk, so nothing is padded and the policy's memory is carried from chunk to chunk.

A plan (`basalt.data.plans`) says what goes where. It is read in this process, or in worker processes
that each read some of the rows (`basalt.data.workers`).
"""

import copy
from collections.abc import Iterable, Iterator, Sequence

from basalt.data.batch import Batch, BatchLayout, RowReader
from basalt.data.copies import CopiedSource, ReadAhead
from basalt.data.episodes import Episode
from basalt.data.plans import EndlessPlan, FinitePlan, RowPlans
from basalt.data.workers import read_in_workers


class SequenceStream(Iterator[Batch]):
    """Endless training batches, the same for the same seed, whatever the number of workers.

    Args:
        episodes: Training episodes, all from sources of the same kind.
        batch_size: Number of rows, B.
        seq_len: Number of frames per chunk, T.
        seed: Seed of the order.
        mirror: Mirror a random half of the episodes, actions included.
        segment: Number of frames after which a row jumps to another place; None to show whole episodes.
        window: With `segment`: number of episodes among which rows jump; None for all. See `EndlessPlan`.
        workers: Number of processes that prefetch; 0 reads in this process when a batch is needed.
        share: (k, n): read only the rows k, k + n, ... of the B rows; for n trainers in parallel.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        batch_size: int,
        seq_len: int,
        seed: int,
        *,
        mirror: bool = False,
        segment: int | None = None,
        window: int | None = None,
        workers: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._episodes = list(episodes)
        self._length, self._workers = seq_len, workers
        self._plan = EndlessPlan(
            [len(e) for e in episodes], batch_size, seq_len, seed, mirror, segment, window
        )
        self._rows = range(share[0], batch_size, share[1])
        self._batches: Iterator[Batch] | None = None
        self._ahead: ReadAhead | None = None

    def skip(self, batches: int) -> None:
        """Skip batches without reading a frame, to resume after an interruption."""
        assert self._batches is None, "skip must be called before the first batch"
        for _ in range(batches):
            next(self._plan)

    def __next__(self) -> Batch:
        if self._batches is None:
            # A copy, since workers get copies too.
            plan = copy.deepcopy(self._plan)
            self._batches = batches(self._episodes, plan, self._rows, self._length, self._workers)
            if isinstance(self._episodes[0].source, CopiedSource):
                self._ahead = ReadAhead(self._episodes, self._plan, self._rows)
        if self._ahead is not None:
            self._ahead.step()
        return next(self._batches)


def single_pass(
    episodes: Sequence[Episode], batch_size: int, seq_len: int, workers: int = 0
) -> Iterator[Batch]:
    """Every frame of every episode once, in episode order; the ends of rows are padded.

    Args:
        episodes: Episodes from sources of the same kind.
        batch_size: Largest number of episodes in one batch.
        seq_len: Number of frames per chunk, T.
        workers: Number of processes that prefetch; 0 reads in this process.
    """
    plan = FinitePlan([len(e) for e in episodes], batch_size, seq_len)
    return batches(episodes, plan, range(plan.rows), seq_len, workers)


def batches(
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    rows: Sequence[int],
    seq_len: int,
    workers: int = 0,
) -> Iterator[Batch]:
    """Batches of a plan, read in this process or in workers.

    Args:
        episodes: Episodes that the plan's numbers refer to.
        plan: Pieces of each batch; picklable if there are workers.
        rows: Rows of the plan to read, B of them.
        seq_len: Number of frames per chunk, T.
        workers: Number of processes that prefetch; at most one per row is started.
    """
    if workers < 1:
        return read_batches(episodes, plan, rows, seq_len)
    return read_in_workers(episodes, plan, rows, seq_len, workers)


def read_batches(
    episodes: Sequence[Episode], plan: Iterable[RowPlans], rows: Sequence[int], seq_len: int
) -> Iterator[Batch]:
    """Batches of a plan, read in this process; one video per row is open at a time."""
    layout = BatchLayout.of(len(rows), seq_len, episodes[0].source)
    readers = [RowReader(episodes) for _ in rows]
    for plans in plan:
        batch = layout.empty()
        for at, row in enumerate(rows):
            readers[at].fill(batch, at, plans[row])
        yield batch
