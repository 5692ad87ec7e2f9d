"""Measure what a pipeline of several processes uses: time, processor time, memory."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

_SAMPLES = 20


@dataclass(frozen=True)
class Usage:
    """What a pipeline used from its first item on; starting its processes does not count.

    Attributes:
        count: Number of items (frames) received.
        seconds: Wall time.
        cpu_seconds: Processor time of this process and its children.
        early_mb: Memory of all of them together, in MB, after a fifth of the items.
        peak_mb: Largest memory of any sample, in MB.
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
    """Measure a pipeline while it yields items; those of the first portion are not counted.

    Args:
        counts: Iterator over the number of items of each portion; more than `total` in all.
        total: Number of items to measure.
    """
    next(counts)
    began, (_, cpu) = time.perf_counter(), _used()
    done, memory, seconds, used = 0, list[float](), 0.0, 0.0
    for count in counts:
        done += count
        if done >= total or done >= len(memory) * total / _SAMPLES:
            # Sampled on the way: the counters of a worker go when it exits.
            megabytes, now = _used()
            memory.append(megabytes)
            seconds, used, counted = time.perf_counter() - began, now - cpu, done
        if done >= total:
            break
    if hasattr(counts, "close"):
        counts.close()
    early = memory[len(memory) // 5 : len(memory) // 5 + 1]
    return Usage(counted, seconds, used, round(early[0], 1), round(max(memory), 1))


def memory_mb(process: psutil.Process | None) -> float:
    """Return a process's proportional set size in MB, in which shared pages are divided among those who share them.

    Returns:
        0 where there is no such process; the resident set size where the system does not report the other.
    """
    if process is None:
        return 0.0
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0.0
    return float(getattr(memory, "pss", memory.rss)) / 1e6


def _used() -> tuple[float, float]:
    """Memory in MB and processor time in seconds of this process and its running children."""
    memory = seconds = 0.0
    ours = psutil.Process()
    for process in (ours, *ours.children(recursive=True)):
        memory += memory_mb(process)
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return memory, seconds
