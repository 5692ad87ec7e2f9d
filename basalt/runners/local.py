"""Jobs in processes of this machine."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from basalt.core.settings import settings


@settings
class LocalRunner:
    """Processes on this machine."""

    poll_s = 0.05

    @contextmanager
    def start(self, work: Callable[[], None], count: int, folder: Path) -> "Iterator[Processes]":
        """Start processes; see `basalt.runners.jobs.Runner`.

        Spawned, not forked: agents and decoders hold threads, which a fork would break. The threads of numerical
        libraries share the machine's cores among the processes, unless OMP_NUM_THREADS is set.
        """
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_run, args=(work,)) for _ in range(count)]
        threads = max(1, len(os.sched_getaffinity(0)) // count)
        with _environment("OMP_NUM_THREADS", str(threads)):
            for one in processes:
                one.start()
        try:
            yield Processes(processes)
        finally:
            for one in processes:
                one.join()


class Processes:
    """Processes that were started."""

    def __init__(self, processes: Sequence[BaseProcess]) -> None:
        self._processes = processes

    def running(self) -> bool:
        """Whether one still runs."""
        return any(one.is_alive() for one in self._processes)

    def why_ended(self) -> str:
        """Their exit codes."""
        return f"exit codes {', '.join(str(one.exitcode) for one in self._processes)}"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable that is not set; new processes inherit it before they load any library."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _run(work: Callable[[], None]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(KeyboardInterrupt):  # the parent was interrupted, too, and says so
        work()


def _end_with_parent() -> None:
    """End this worker when its parent was killed; otherwise it would finish its job first."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
