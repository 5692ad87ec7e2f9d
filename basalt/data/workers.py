"""Reading batches in worker processes: each fills some of the rows, in memory that all share.

A row's videos stay with one worker, so each is decoded once and forward; which worker fills a row
changes nothing in the batches. Workers need neither torch nor a copy of a frame on its way.
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

AHEAD = 3
"""Batches that are being filled while one is used."""

_FILLED, _END, _FAILED = "filled", "end", "failed"


def read_in_workers(
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    rows: Sequence[int],
    length: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches of a plan, the caller's own.

    Args:
        episodes, plan, rows, length: see `basalt.data.dataset.batches`.
        workers: processes; not more than rows are started.

    Raises:
        BasaltError: what a worker met, or that it was killed.
    """
    # Spawned: decoders hold threads, which a fork would break.
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(rows))
    layout = BatchLayout.of(len(rows), length, episodes[0].source)
    slots = [context.RawArray("B", _bytes(layout)) for _ in range(AHEAD)]
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
            if not all([_answer(pipe) for pipe in pipes]):  # noqa: C419 (each must be heard)
                return
            columns: list[Any] = [column.copy() for column in views[number % AHEAD].columns]
            yield Batch(layout.kind, *columns)
            for pipe in pipes:
                # A worker that is done with its plan, or was killed, no longer listens.
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
    """Whether the worker filled its share of the next batch; False at the plan's end."""
    try:
        wait([pipe])
        kind, error = pipe.recv()
    except (EOFError, OSError) as err:
        raise BasaltError(
            "a process that reads recordings was killed, perhaps for lack of memory; "
            "use fewer workers or rows"
        ) from err
    if kind == _FAILED:
        raise error
    return kind == _FILLED


def _work(
    pipe: Connection,
    slots: Sequence[Any],
    layout: BatchLayout,
    episodes: Sequence[Episode],
    plan: Iterable[RowPlans],
    share: Mapping[int, int],
) -> None:
    """A worker: fill some rows of batch after batch, each slot once it is free.

    `share` says which of the plan's rows goes to which of the batch's.
    """
    # Ctrl-C is for the main process to answer; when it goes, the pipe ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    views = [_view(slot, layout) for slot in slots]
    readers = {at: RowReader(episodes) for at in share}
    try:
        for number, plans in enumerate(plan):
            if number >= AHEAD:
                pipe.recv()
            for at, reader in readers.items():
                reader.fill(views[number % AHEAD], at, plans[share[at]])
            pipe.send((_FILLED, None))
        pipe.send((_END, None))
        with contextlib.suppress(EOFError):
            while True:
                pipe.recv()
    except (EOFError, OSError):
        return
    except Exception as err:
        pipe.send((_FAILED, err))


def _bytes(layout: BatchLayout) -> int:
    return sum(math.prod(shape) * kind.itemsize for shape, kind in layout.columns)


def _view(slot: Any, layout: BatchLayout) -> Batch:
    """A batch in shared memory. Wide columns come first, so that all are aligned."""
    memory, shapes = np.frombuffer(slot, dtype=np.uint8), layout.columns
    columns: dict[int, Any] = {}
    at = 0
    for place in sorted(range(len(shapes)), key=lambda k: -shapes[k][1].itemsize):
        shape, kind = shapes[place]
        count = math.prod(shape) * kind.itemsize
        columns[place] = memory[at : at + count].view(kind).reshape(shape)
        at += count
    return Batch(layout.kind, *(columns[place] for place in range(len(shapes))))
