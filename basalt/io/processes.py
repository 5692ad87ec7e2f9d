"""Worker processes."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def spawned_pool(
    jobs: int, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes; at the end, waiting calls are cancelled and running ones awaited.

    Spawned, not forked: agents and decoders hold threads, which a fork would break.

    Args:
        jobs: Number of processes.
        initializer: Function that each process calls first.
        initargs: Its arguments.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer, initargs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
