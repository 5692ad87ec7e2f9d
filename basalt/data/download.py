"""Download recordings of BEDD: choose them, check their sizes, and fetch several at a time.

Files that are already present are skipped. See `basalt.io.transfer` for the transfer of one file.
"""

import hashlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from basalt.io.atomic import is_full
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.io.transfer import ATTEMPTS, Remote, StoppedError, Transfer, reason

if TYPE_CHECKING:
    from tqdm import tqdm

GIGABYTE = 10**9

MARGIN_BYTES = GIGABYTE
"""Disk space that a download leaves free."""

_LESS = "choose fewer recordings (--max-gb, --n), or a folder on another disk (--out)"


@dataclass
class Report:
    """What a download did, or would do.

    Attributes:
        recordings: Recordings chosen, as TASK/NAME.
        bytes_chosen: Size of their files.
        bytes_to_fetch: Size of those files that were not present before.
        fetched: Paths below the target of the files fetched.
        bytes_fetched: Size of the files fetched.
        present: Number of files that were present before.
        missing: Addresses that the server does not have; their recordings were skipped.
        failed: Reason by address, for files that could not be fetched or whose size is unknown.
        dry_run: Whether this was a dry run, which fetches nothing.
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
        """One line for people: how much was chosen, fetched (or is to be fetched) and already present."""
        if self.dry_run:
            now = f"{self.bytes_to_fetch / GIGABYTE:.3f} GB to fetch"
        else:
            now = f"{self.bytes_fetched / GIGABYTE:.3f} GB fetched now in {len(self.fetched)} files"
        return f"{self.bytes_chosen / GIGABYTE:.3f} GB; {now}, {self.present} files already present"

    def problems(self) -> list[str]:
        """A line for each file that could not be fetched."""
        failure = "size unknown" if self.dry_run else "failed; run the same command to try again"
        return [
            *(f"not on the server, skipped: {url}" for url in self.missing),
            *(f"{failure}: {url}: {reason}" for url, reason in self.failed.items()),
        ]


@dataclass(frozen=True)
class _Item:
    """Files that are useless without one another, in the order in which they are fetched.

    Attributes:
        files: Path below the target and address at the source of each.
        name: The recording as TASK/NAME; "" for other files.
    """

    files: tuple[tuple[str, str], ...]
    name: str = ""


@dataclass(frozen=True)
class _Failure:
    """A file whose size is unknown.

    Attributes:
        url: Its address.
        reason: Why; None if the server does not have it.
    """

    url: str
    reason: str | None


_Job = list[tuple[str, Remote]]
"""The files of an item that are to be fetched: path below the target, and the remote file."""


def choose_plays(
    table: pd.DataFrame, *, sessions: int | Sequence[str] | None = None, seed: int = 0
) -> list[pd.DataFrame]:
    """Plays to fetch, each a frame of its recordings in order.

    The order is random, even over players and days, and depends only on the seed: a smaller choice is
    always part of a larger one.

    Args:
        table: Index from `basalt.data.bedd.load_index`.
        sessions: Number of plays, or names of sessions; None for all.
        seed: Seed of the order.

    Raises:
        ConfigError: A session is unknown, or the number is below 1.
    """
    if isinstance(sessions, int) and sessions < 1:
        raise ConfigError(f"sessions: expected an integer of at least 1, got {sessions}")
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
        out: Target folder, a path or any address that fsspec can write to. Recordings are stored as
            `TASK/NAME.mp4` and `.jsonl`.
        source: Base address to use instead of the index's (a mirror or a disk); files are expected at
            `source/FOLDER/NAME`.
        jobs: Number of recordings fetched at the same time.
        progress: Show progress bars.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        source: str | None = None,
        jobs: int = 8,
        progress: bool = True,
    ) -> None:
        if jobs < 1:
            raise ConfigError(f"jobs: expected an integer of at least 1, got {jobs}")
        self._source = source
        self._jobs = jobs
        self._progress = progress
        self._transfer = Transfer(out)

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
            plays: Plays from `choose_plays`.
            recordings: Largest number of recordings.
            max_gb: Largest size in gigabytes (10^9 bytes), including files that are already present.
            dry_run: Report what would be fetched, without fetching it.

        Raises:
            ConfigError: The disk is too full, or a limit is not valid.
            BusyError: Another download uses the folder.
        """
        if recordings is not None and recordings < 1:
            raise ConfigError(f"--n: expected an integer of at least 1, got {recordings}")
        if max_gb is not None and not 0 < max_gb < math.inf:
            raise ConfigError(f"--max-gb: expected a positive finite number, got {max_gb}")
        items = [self._item(row) for play in plays for row in play.itertuples()][:recordings]
        return self._run(items, None if max_gb is None else int(max_gb * GIGABYTE), dry_run)

    def fetch(self, files: Sequence[tuple[str, str]], *, dry_run: bool = False) -> Report:
        """Fetch single files, each as recordings are.

        Args:
            files: Path below the target (`FOLDER/NAME`) and address of each file.
            dry_run: Report what would be fetched, without fetching it.

        Raises:
            ConfigError: The disk is too full.
            BusyError: Another download uses the folder.
        """
        return self._run([_Item((file,)) for file in files], None, dry_run)

    def _run(self, items: Sequence[_Item], budget: int | None, dry_run: bool) -> Report:
        self._transfer.stop.clear()
        self._transfer.attempts = 2 if dry_run else ATTEMPTS
        report = Report(dry_run=dry_run)
        with nullcontext() if dry_run else sole_writer(self._transfer.staging, "download"):
            try:
                jobs = list(self._plan(items, budget, report))
                if jobs and not dry_run:
                    self._check_disk(jobs)
                    self._fetch_all(jobs, report)
            except BaseException:
                self._transfer.stop.set()
                raise
        report.missing.sort()
        report.fetched.sort()
        return report

    # Planning

    def _plan(self, items: Sequence[_Item], budget: int | None, report: Report) -> Iterator[_Job]:
        """Choose items within the budget of bytes, note them in the report, and yield what to fetch."""
        here = self._transfer.present()
        bar = progress_bar(total=len(items), title="sizes", unit="file", shown=self._progress)
        with bar, ThreadPoolExecutor(self._jobs) as pool:
            # In batches, so that a small budget needs few requests for sizes.
            for start in range(0, len(items), portion := 4 * self._jobs):
                batch = items[start : start + portion]
                found = list(pool.map(partial(self._look_up, here=here), batch))
                if len(batch) == portion:
                    _refuse_if_out_of_reach(found)
                for item, files in zip(batch, found, strict=True):
                    bar.update()
                    if isinstance(files, _Failure):
                        if files.reason is None:
                            report.missing.append(files.url)
                        else:
                            report.failed[files.url] = files.reason
                            report.recordings += [item.name] if report.dry_run and item.name else []
                        continue
                    size = sum(remote.size or 0 for _, remote in files)
                    if budget is not None and report.bytes_chosen + size > budget:
                        return
                    job = [(path, remote) for path, remote in files if path not in here]
                    report.recordings += [item.name] if item.name else []
                    report.bytes_chosen += size
                    report.bytes_to_fetch += sum(remote.size or 0 for _, remote in job)
                    report.present += len(files) - len(job)
                    if job:
                        yield job

    def _item(self, row: Any) -> _Item:
        url = row.url
        if self._source is not None:
            folder, file = url.rsplit("/", 2)[1:]
            url = f"{self._source.rstrip('/')}/{folder}/{file}"
        # Task and name were checked against BEDD's pattern when the index was read.
        name = f"{row.task}/{row.name}"
        # The lines first: a video is useless without them.
        lines = (f"{name}.jsonl", url.removesuffix(".mp4") + ".jsonl")
        return _Item((lines, (f"{name}.mp4", url)), name)

    def _look_up(self, item: _Item, here: Mapping[str, int]) -> _Job | _Failure:
        found = []
        for path, url in item.files:
            if path in here:
                found.append((path, Remote(url, here[path], "")))
                continue
            try:
                found.append((path, self._transfer.look_up(url)))
            except FileNotFoundError:
                return _Failure(url, None)
            except Exception as err:
                return _Failure(url, reason(err))
        return found

    def _check_disk(self, jobs: Sequence[_Job]) -> None:
        sizes = [remote.size or 0 for job in jobs for _, remote in job]
        if self._transfer.local is None:
            needed = sum(sorted(sizes)[-self._jobs :])
        else:
            needed = sum(sizes) - sum(path.stat().st_size for path in self._transfer.partials())
        free = shutil.disk_usage(self._transfer.staging).free
        if needed + MARGIN_BYTES > free:
            raise ConfigError(
                f"{self._transfer.staging}: {free / GIGABYTE:.1f} GB free, but the download needs "
                f"{needed / GIGABYTE:.1f} GB and leaves {MARGIN_BYTES / GIGABYTE:.0f} GB free; {_LESS}"
            )

    # Fetching

    def _fetch_all(self, jobs: Sequence[_Job], report: Report) -> None:
        total = sum(remote.size or 0 for job in jobs for _, remote in job)
        bar = progress_bar(total=total, title="download", unit="B", shown=self._progress)
        bar.unit_scale, bar.smoothing = True, 0.05
        pool = ThreadPoolExecutor(self._jobs)
        try:
            pending: set[Future[None]] = {
                pool.submit(self._fetch_job, job, report, bar) for job in jobs
            }
            while pending:
                # A finite wait, so that Ctrl-C is handled.
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            self._transfer.stop.set()
            pool.shutdown(cancel_futures=True)
            bar.close()
        sizes = {path: remote.size or 0 for job in jobs for path, remote in job}
        report.bytes_fetched = sum(sizes[path] for path in report.fetched)

    def _fetch_job(self, job: _Job, report: Report, bar: "tqdm[Any]") -> None:
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
                        f"{self._transfer.staging / path}: the disk is full; free some space and run the "
                        f"same command to resume, or {_LESS}"
                    ) from err
                report.failed[remote.url] = reason(err)
                return
            report.fetched.append(path)


def _refuse_if_out_of_reach(found: Sequence[object]) -> None:
    """Raise if a whole batch failed, rather than try thousands of files one by one."""
    failures = [entry for entry in found if isinstance(entry, _Failure) and entry.reason]
    if len(failures) == len(found):
        raise ConfigError(
            f"{failures[0].url}: {failures[0].reason}; {len(found)} recordings in a row cannot be "
            "reached; check the connection, or give another --source"
        )
