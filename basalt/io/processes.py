"""Worker processes."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def spawned_pool(
    jobs: int, start: Callable[..., object] | None = None, arguments: Sequence[Any] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes; at the end, waiting calls are cancelled and running ones awaited.

    Spawned, not forked: agents and decoders hold threads, which a fork would break. The threads of numerical
    libraries share the machine's cores among the processes, unless OMP_NUM_THREADS is set.

    Args:
        jobs: Number of processes.
        start: Function that each process calls first.
        arguments: Its arguments.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start, initargs=(threads, start, arguments)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(threads: int, start: Callable[..., object] | None, arguments: Sequence[Any]) -> None:
    # Read when the libraries are loaded, which none was yet.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if start is not None:
        start(*arguments)
