"""What a pipeline of several processes takes: time, processor time, memory."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.world import memory_mb

_SAMPLES = 20


@dataclass(frozen=True)
class Usage:
    """What was used from the first item on, so that starting processes does not count.

    Attributes:
        count: items (frames) that came.
        seconds: wall time.
        cpu_seconds: processor time of this process and its children.
        early_mb: memory of all of them together after a fifth of the items.
        peak_mb: the most at any sample.
    """

    count: int
    seconds: float
    cpu_seconds: float
    early_mb: float
    peak_mb: float

    @property
    def per_s(self) -> float:
        """Items per second."""
        return self.count / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds per item."""
        return 1e3 * self.cpu_seconds / self.count


def measure(counts: Iterator[int], total: int) -> Usage:
    """Take items until `total` have come behind the first.

    Args:
        counts: yields how many items each portion holds; must hold more than `total`.
        total: items to measure.
    """
    next(counts)
    began, cpu = time.perf_counter(), _cpu_seconds()
    done, memory, seconds, used = 0, list[float](), 0.0, 0.0
    for count in counts:
        done += count
        if done >= total or done >= len(memory) * total / _SAMPLES:
            # Taken along the way: workers that are done are gone, and their figures with them.
            memory.append(_memory_mb())
            seconds, used, counted = time.perf_counter() - began, _cpu_seconds() - cpu, done
        if done >= total:
            break
    if hasattr(counts, "close"):
        counts.close()
    early = memory[len(memory) // 5 : len(memory) // 5 + 1]
    return Usage(counted, seconds, used, round(early[0], 1), round(max(memory), 1))


def _processes() -> list[int]:
    return [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]


def _memory_mb() -> float:
    return sum(memory_mb(pid) for pid in _processes())


def _cpu_seconds() -> float:
    """Processor time of this process and its living children; Linux only, else this process alone."""
    ticks = 0
    for pid in _processes():
        try:
            with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (no folder to join)
                fields = file.read().rsplit(") ", 1)[1].split()
        except OSError:
            return time.process_time()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
