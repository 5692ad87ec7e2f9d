"""Read batches in worker processes: each fills some of the rows, in shared memory.

A row is always filled by the same worker, so its videos are decoded once and in order; which worker
that is does not change the batches. Workers do not import torch, and frames are not copied.
"""

import contextlib
import math
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import cv2
import numpy as np

from basalt.data.batch import Batch, BatchLayout, RowReader
from basalt.data.episodes import Episode
from basalt.data.plans import RowPlans
from basalt.io.errors import BasaltError

PREFETCH = 3
"""Number of batches prefetched."""

_FILLED, _END, _FAILED = "filled", "end", "failed"


def read_in_workers(
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    rows: Sequence[int],
    seq_len: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches of a plan, read in workers; each batch is a copy that the caller owns.

    Args:
        episodes: Episodes that the plan's numbers refer to.
        plan: Pieces of each batch; picklable.
        rows: Rows of the plan to read, B of them.
        seq_len: Number of frames per chunk, T.
        workers: Number of processes; at most one per row is started.

    Raises:
        BasaltError: A worker failed, or was killed.
    """
    # Spawned: decoders hold threads, which a fork would break.
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(rows))
    layout = BatchLayout.of(len(rows), seq_len, episodes[0].source)
    slots = [
        [context.RawArray("B", math.prod(shape) * kind.itemsize) for shape, kind in layout.columns]
        for _ in range(PREFETCH)
    ]
    views = [_view(slot, layout) for slot in slots]
    processes: list[SpawnProcess] = []
    pipes: list[Connection] = []
    try:
        for worker in range(workers):
            pipe, theirs = context.Pipe()
            share = {at: rows[at] for at in range(worker, len(rows), workers)}
            arguments = (theirs, slots, layout, episodes, plan, share)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(pipe)
        number = 0
        while True:
            if not all([_answer(pipe) for pipe in pipes]):  # noqa: C419 (all must be read)
                return
            columns: list[Any] = [column.copy() for column in views[number % PREFETCH].columns]
            yield Batch(layout.kind, *columns)
            for pipe in pipes:
                # A worker that has finished its plan, or was killed, does not read any more.
                with contextlib.suppress(OSError):
                    pipe.send(number)
            number += 1
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()


def _answer(pipe: Connection) -> bool:
    """Whether the worker filled its rows of the next batch; False at the end of the plan."""
    try:
        wait([pipe])
        kind, error = pipe.recv()
    except (EOFError, OSError) as err:
        raise BasaltError(
            "a process that reads recordings was killed, perhaps because memory ran out; "
            "use fewer workers or rows"
        ) from err
    if kind == _FAILED:
        raise error
    return kind == _FILLED


def _work(
    pipe: Connection,
    slots: Sequence[Sequence[Any]],
    layout: BatchLayout,
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    share: Mapping[int, int],
) -> None:
    """A worker: fill some rows of each batch, as soon as a slot of the shared memory is free.

    `share` maps rows of the batch to rows of the plan.
    """
    # The main process handles Ctrl-C; when it exits, the pipe closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    views = [_view(slot, layout) for slot in slots]
    readers = {at: RowReader(episodes) for at in share}
    try:
        for number, plans in enumerate(plan):
            if number >= PREFETCH:
                pipe.recv()
            for at, reader in readers.items():
                reader.fill(views[number % PREFETCH], at, plans[share[at]])
            pipe.send((_FILLED, None))
        pipe.send((_END, None))
        with contextlib.suppress(EOFError):
            while True:
                pipe.recv()
    except (EOFError, OSError):
        return
    except Exception as err:
        pipe.send((_FAILED, err))


def _view(slot: Sequence[Any], layout: BatchLayout) -> Batch:
    """A batch in shared memory, one array a column."""
    columns: list[Any] = [
        np.frombuffer(memory, kind).reshape(shape)
        for memory, (shape, kind) in zip(slot, layout.columns, strict=True)
    ]
    return Batch(layout.kind, *columns)
