"""Worker processes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def spawned_pool(jobs: int, **start: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes; at the end, waiting calls are cancelled and running ones awaited.

    Spawned, not forked: agents and decoders hold threads, which a fork would break.

    Args:
        jobs: Number of processes.
        start: `initializer` and `initargs`: a function that each process calls first, and its arguments.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, **start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
