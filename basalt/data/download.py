"""Fetch recordings of BEDD, some or all: which, how much that is, and many at a time.

What is there is not asked for again. How one file comes is the matter of :mod:`basalt.data.transfer`.
"""

import hashlib
import math
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from basalt.data.transfer import Remote, StoppedError, Transfer, reason
from basalt.io.atomic import is_full
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer

GIGABYTE = 10**9

MARGIN_BYTES = GIGABYTE
"""Kept free on the disk."""

_LESS = "choose fewer with max_gb= or n=, or another disk with out="


@dataclass
class Report:
    """What a download did, or would do.

    Attributes:
        recordings: recordings chosen, as TASK/NAME.
        bytes_chosen: bytes of their files, fetched or not.
        bytes_to_fetch: of them, not here before.
        fetched: paths below the target that came now.
        bytes_fetched: bytes of those.
        present: files that were here before.
        missing: addresses the server does not have; their recordings were skipped.
        failed: address and reason of what could not be fetched, or whose size not be found out.
        dry_run: whether nothing was fetched on purpose.
    """

    recordings: list[str] = field(default_factory=list)
    bytes_chosen: int = 0
    bytes_to_fetch: int = 0
    fetched: list[str] = field(default_factory=list)
    bytes_fetched: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def amounts(self) -> str:
        """How much was chosen, came now or is to come, and was here, for people."""
        if self.dry_run:
            now = f"{self.bytes_to_fetch / GIGABYTE:.3f} GB to fetch"
        else:
            now = f"{self.bytes_fetched / GIGABYTE:.3f} GB fetched now in {len(self.fetched)} files"
        return f"{self.bytes_chosen / GIGABYTE:.3f} GB; {now}, {self.present} files were here"


@dataclass(frozen=True)
class _Pair:
    """A recording's two files, lines first: paths below the target, addresses at the source."""

    paths: tuple[str, ...]
    urls: tuple[str, ...]

    @property
    def name(self) -> str:
        """TASK/NAME."""
        return self.paths[1].removesuffix(".mp4")


def choose_plays(
    table: pd.DataFrame, *, sessions: int | Sequence[str] | None = None, seed: int = 0
) -> list[pd.DataFrame]:
    """Plays to fetch, each a frame of its recordings in order.

    Drawn evenly from all players and days, in an order that depends on the seed only: fewer plays are
    always among more.

    Args:
        table: the index (:func:`basalt.data.bedd.load_index`).
        sessions: how many plays, or the names of sessions; all if None.
        seed: another number gives another order.

    Raises:
        ConfigError: an unknown session, or fewer than one.
    """
    if isinstance(sessions, int) and sessions < 1:
        raise ConfigError(f"sessions: {sessions} is less than 1")
    if isinstance(sessions, Sequence):
        unknown = set(sessions) - set(table["session"])
        if unknown:
            raise ConfigError(f"sessions: {sorted(unknown)[0]!r} is not in the index of this task")
        table = table[table["session"].isin(sessions)]
    plays = [rows for _, rows in table.groupby(["task", "play"], sort=False)]
    plays.sort(key=lambda rows: hashlib.sha256(f"{seed}:{rows['play'].iloc[0]}".encode()).digest())
    return plays[:sessions] if isinstance(sessions, int) else plays


class Downloader:
    """Downloads into one folder.

    Args:
        out: target folder, a path or any address fsspec can write to. Recordings are put into
            ``TASK/NAME.mp4`` and ``.jsonl``.
        source: replaces the index's base address (a mirror, a disk); files are expected at
            ``source/FOLDER/NAME``, as the index has them.
        jobs: recordings fetched side by side.
        attempts: how often a request that failed for a passing reason is made in all.
        slowest_retry_s: longest pause between two attempts; pauses grow exponentially, at random.
        progress: show bars on stderr.
        storage_options: of the source's file system.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        source: str | None = None,
        jobs: int = 8,
        attempts: int = 6,
        slowest_retry_s: float = 30.0,
        progress: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if jobs < 1 or attempts < 1:
            raise ConfigError(f"jobs {jobs} and attempts {attempts} must be at least 1")
        self._source = source
        self._jobs = jobs
        self._attempts = attempts
        self._progress = progress
        self._transfer = Transfer(
            out,
            attempts=attempts,
            slowest_retry_s=slowest_retry_s,
            storage_options=storage_options,
        )

    def run(
        self,
        plays: Sequence[pd.DataFrame],
        *,
        recordings: int | None = None,
        max_gb: float | None = None,
        dry_run: bool = False,
    ) -> Report:
        """Fetch plays in order until a limit is reached.

        Args:
            plays: see :func:`choose_plays`.
            recordings: at most this many recordings.
            max_gb: at most this many gigabytes (10^9 bytes), files that are here already included.
            dry_run: only find out what would be fetched.

        Raises:
            ConfigError: the disk is too full, a limit makes no sense, or another download holds the
                folder.
        """
        if recordings is not None and recordings < 1:
            raise ConfigError(f"n: {recordings} is less than 1")
        if max_gb is not None and not 0 < max_gb < math.inf:
            raise ConfigError(f"max_gb: {max_gb} is not above 0, or no number")
        self._transfer.stop.clear()
        self._transfer.attempts = min(self._attempts, 2) if dry_run else self._attempts
        report = Report(dry_run=dry_run)
        with ExitStack() as stack:
            if not dry_run:
                stack.enter_context(sole_writer(self._transfer.staging, "download"))
            try:
                jobs = self._plan(plays, recordings, max_gb, report)
                if not dry_run and jobs:
                    self._check_disk(jobs)
                    self._fetch_all(jobs, report)
            except BaseException:
                self._transfer.stop.set()
                raise
        report.missing.sort()
        report.fetched.sort()
        return report

    def fetch(self, files: Sequence[tuple[str, str]], *, dry_run: bool = False) -> Report:
        """Fetch single files, each as recordings are.

        Args:
            files: path below the target, ``FOLDER/NAME``, and address of each.
            dry_run: only find out what would be fetched.

        Raises:
            ConfigError: the disk is too full, or another download holds the folder.
        """
        self._transfer.stop.clear()
        report = Report(dry_run=dry_run)
        with ExitStack() as stack:
            if not dry_run:
                stack.enter_context(sole_writer(self._transfer.staging, "download"))
            here = self._transfer.present()
            jobs = []
            for path, url in files:
                found = self._look_up(_Pair((path,), (url,)), here)
                if isinstance(found, _Absent):
                    report.missing.append(url)
                elif isinstance(found, _Failed):
                    report.failed[url] = found.reason
                else:
                    report.bytes_chosen += found[0].size or 0
                    report.present += path in here
                    if path not in here:
                        report.bytes_to_fetch += found[0].size or 0
                        jobs.append([(path, found[0])])
            if jobs and not dry_run:
                self._check_disk(jobs)
                try:
                    self._fetch_all(jobs, report)
                finally:
                    self._transfer.stop.set()
        return report

    # Planning

    def _plan(
        self,
        plays: Sequence[pd.DataFrame],
        recordings: int | None,
        max_gb: float | None,
        report: Report,
    ) -> list[list[tuple[str, Remote]]]:
        """Files to fetch, as one list of (path below the target, remote file) per recording."""
        here = self._transfer.present()
        rows = [row for play in plays for row in play.itertuples()][:recordings]
        budget = None if max_gb is None else int(max_gb * GIGABYTE)
        jobs: list[list[tuple[str, Remote]]] = []
        bar = tqdm(total=len(rows), desc="sizes", unit="rec", disable=not self._progress)
        with bar, ThreadPoolExecutor(self._jobs) as pool:
            # In portions, so that a small budget asks for few sizes.
            for start in range(0, len(rows), portion := 4 * self._jobs):
                pairs = [self._pair(row) for row in rows[start : start + portion]]
                found = list(pool.map(partial(self._look_up, here=here), pairs))
                if len(pairs) == portion:
                    _refuse_if_out_of_reach(found)
                for pair, files in zip(pairs, found, strict=True):
                    bar.update()
                    if not self._choose(pair, files, here, budget, report, jobs):
                        return jobs
        return jobs

    def _choose(
        self,
        pair: _Pair,
        files: "tuple[Remote, ...] | _Absent | _Failed",
        here: Mapping[str, int],
        budget: int | None,
        report: Report,
        jobs: list[list[tuple[str, Remote]]],
    ) -> bool:
        """Enter a recording into the report and the jobs; False if it exceeds the budget."""
        if isinstance(files, _Absent):
            report.missing.append(files.url)
            return True
        if isinstance(files, _Failed):
            report.failed[files.url] = files.reason
            if report.dry_run:
                report.recordings.append(pair.name)
            return True
        found = list(zip(pair.paths, files, strict=True))
        size = sum(here.get(path, remote.size or 0) for path, remote in found)
        if budget is not None and report.bytes_chosen + size > budget:
            return False
        job = [(path, remote) for path, remote in found if path not in here]
        report.recordings.append(pair.name)
        report.bytes_chosen += size
        report.bytes_to_fetch += sum(remote.size or 0 for _, remote in job)
        report.present += len(found) - len(job)
        if job:
            jobs.append(job)
        return True

    def _pair(self, row: Any) -> _Pair:
        url = row.url
        if self._source is not None:
            folder, file = url.rsplit("/", 2)[1:]
            url = f"{self._source.rstrip('/')}/{folder}/{file}"
        lines_url = url.removesuffix(".mp4") + ".jsonl"
        # Task and name were checked against BEDD's pattern when the index was read.
        return _Pair(
            (f"{row.task}/{row.name}.jsonl", f"{row.task}/{row.name}.mp4"), (lines_url, url)
        )

    def _look_up(
        self, pair: _Pair, here: Mapping[str, int]
    ) -> "tuple[Remote, ...] | _Absent | _Failed":
        remotes = []
        for path, url in zip(pair.paths, pair.urls, strict=True):
            if path in here:
                remotes.append(Remote(url, here[path], ""))
                continue
            try:
                remotes.append(self._transfer.look_up(url))
            except FileNotFoundError:
                return _Absent(url)
            except Exception as err:
                return _Failed(url, reason(err))
        return tuple(remotes)

    def _check_disk(self, jobs: Sequence[Sequence[tuple[str, Remote]]]) -> None:
        sizes = [remote.size or 0 for job in jobs for _, remote in job]
        if self._transfer.local is None:
            needed = sum(sorted(sizes)[-self._jobs :])
        else:
            needed = sum(sizes) - sum(path.stat().st_size for path in self._transfer.partials())
        free = shutil.disk_usage(self._transfer.staging).free
        if needed + MARGIN_BYTES > free:
            raise ConfigError(
                f"{self._transfer.staging}: {free / GIGABYTE:.1f} GB free, but "
                f"{needed / GIGABYTE:.1f} GB are to come and {MARGIN_BYTES / GIGABYTE:.0f} GB are kept "
                f"free; {_LESS}"
            )

    # Fetching

    def _fetch_all(self, jobs: Sequence[Sequence[tuple[str, Remote]]], report: Report) -> None:
        total = sum(remote.size or 0 for job in jobs for _, remote in job)
        bar = tqdm(
            total=total,
            desc="download",
            unit="B",
            unit_scale=True,
            smoothing=0.05,
            disable=not self._progress,
        )
        pool = ThreadPoolExecutor(self._jobs)
        try:
            pending: set[Future[None]] = {
                pool.submit(self._fetch_pair, job, report, bar) for job in jobs
            }
            while pending:
                # A finite wait, so that Ctrl-C is heard.
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            self._transfer.stop.set()
            pool.shutdown(cancel_futures=True)
            bar.close()
        sizes = {path: remote.size or 0 for job in jobs for path, remote in job}
        report.bytes_fetched = sum(sizes[path] for path in report.fetched)

    def _fetch_pair(
        self, job: Sequence[tuple[str, Remote]], report: Report, bar: "tqdm[Any]"
    ) -> None:
        """The lines, then the video: without its lines a video is of no use."""
        for path, remote in job:
            try:
                self._transfer.fetch(path, remote, bar.update)
            except FileNotFoundError:
                report.missing.append(remote.url)
                return
            except StoppedError:
                return
            except Exception as err:
                if is_full(err):
                    self._transfer.stop.set()
                    raise ConfigError(
                        f"{self._transfer.staging / path}: the disk is full; what came is kept, and the "
                        f"same command goes on once there is room; or {_LESS}"
                    ) from err
                report.failed[remote.url] = reason(err)
                return
            report.fetched.append(path)


@dataclass(frozen=True)
class _Absent:
    url: str


@dataclass(frozen=True)
class _Failed:
    url: str
    reason: str


def _refuse_if_out_of_reach(found: Sequence[object]) -> None:
    """Give up where a whole portion fails, rather than try thousands of files one by one."""
    failures = [entry for entry in found if isinstance(entry, _Failed)]
    if len(failures) == len(found):
        raise ConfigError(
            f"{failures[0].url}: {failures[0].reason}; {len(found)} recordings in a row cannot be "
            "reached; check the connection, or give another source="
        )
