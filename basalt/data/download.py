"""Fetch recordings of BEDD, some or all, from any address fsspec knows to any other.

Nothing stands under its final name before it is whole, what was fetched is kept across interruptions
and continued by byte ranges, and what is there is not asked for again.
"""

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pandas as pd
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tqdm import tqdm

from basalt.errors import ConfigError
from basalt.files import sole_writer
from basalt.paths import cache_dir

GIGABYTE = 10**9

CHUNK_BYTES = 4 * 2**20
LEAST_CHUNK_BYTES = 64 * 2**10

MARGIN_BYTES = GIGABYTE
"""Kept free on the disk."""

_HTTP_TIMEOUT_S = 60.0

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Attributes:
        url: where it is.
        size: bytes the server claims; None if it does not say.
        version: what the server calls this state of the file, or "".
    """

    url: str
    size: int | None
    version: str


@dataclass
class Report:
    """What a download did, or would do.

    Attributes:
        recordings: recordings chosen, as TASK/NAME.
        bytes_chosen: bytes of their files, fetched or not.
        bytes_to_fetch: of them, not here before.
        fetched: paths below the target that came now.
        present: files that were here before.
        missing: addresses the server does not have; their recordings were skipped.
        failed: address and reason of what could not be fetched, or whose size not be found out.
        dry_run: whether nothing was fetched on purpose.
    """

    recordings: list[str] = field(default_factory=list)
    bytes_chosen: int = 0
    bytes_to_fetch: int = 0
    fetched: list[str] = field(default_factory=list)
    present: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False


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
        self._attempts = self._tries = attempts
        self._slowest_retry_s = slowest_retry_s
        self._progress = progress
        self._options = dict(storage_options or {})
        self._target, self._root = _file_system(str(out))
        self._local = Path(self._root) if _is_local(self._target) else None
        self._staging = self._local or cache_dir() / "download"
        self._stop = threading.Event()
        self._sources: dict[str, fsspec.AbstractFileSystem] = {}

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
        if max_gb is not None and not max_gb > 0:
            raise ConfigError(f"max_gb: {max_gb} is not above 0")
        self._stop.clear()
        self._tries = min(self._attempts, 2) if dry_run else self._attempts
        report = Report(dry_run=dry_run)
        with ExitStack() as stack:
            if not dry_run:
                stack.enter_context(sole_writer(self._staging, "download"))
            try:
                jobs = self._plan(plays, recordings, max_gb, report)
                if not dry_run and jobs:
                    self._check_disk(jobs)
                    self._fetch_all(jobs, report)
            except BaseException:
                self._stop.set()
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
        self._stop.clear()
        report = Report(dry_run=dry_run)
        with ExitStack() as stack:
            if not dry_run:
                stack.enter_context(sole_writer(self._staging, "download"))
            here = self._present()
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
                    self._stop.set()
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
        here = self._present()
        rows = [row for play in plays for row in play.itertuples()][:recordings]
        if rows:
            self._source_of(self._pair(rows[0]).urls[0])  # made once, before threads use it
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

    def _present(self) -> dict[str, int]:
        """Bytes of the files in the target, by path below it."""
        self._target.invalidate_cache()
        found = self._target.find(self._root, detail=True)
        root = self._target._strip_protocol(self._root).rstrip("/")
        return {
            path[len(root) :].lstrip("/"): int(info["size"] or 0) for path, info in found.items()
        }

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
                info = self._again(partial(self._info, url))
            except FileNotFoundError:
                return _Absent(url)
            except Exception as err:
                return _Failed(url, _reason(err))
            version = info.get("ETag") or info.get("Last-Modified") or info.get("mtime") or ""
            remotes.append(Remote(url, info.get("size"), str(version)))
        return tuple(remotes)

    def _info(self, url: str) -> dict[str, Any]:
        fs, path = self._source_of(url)
        try:
            return fs.info(path)
        except FileNotFoundError as err:
            # fsspec reports every failure of an HTTP server as a missing file; the cause tells.
            status = getattr(err.__cause__, "status", None)
            if err.__cause__ is not None and status not in (404, 410):
                raise err.__cause__ from err
            raise

    def _check_disk(self, jobs: Sequence[Sequence[tuple[str, Remote]]]) -> None:
        sizes = [remote.size or 0 for job in jobs for _, remote in job]
        if self._local is None:
            needed = sum(sorted(sizes)[-self._jobs :])
        else:
            needed = sum(sizes) - sum(path.stat().st_size for path in self._partials())
        free = shutil.disk_usage(self._staging).free
        if needed + MARGIN_BYTES > free:
            raise ConfigError(
                f"{self._staging}: {free / GIGABYTE:.1f} GB free, but {needed / GIGABYTE:.1f} GB are "
                f"to come and {MARGIN_BYTES / GIGABYTE:.0f} GB are kept free; "
                "choose fewer with max_gb= or n=, or another disk with out="
            )

    def _partials(self) -> Iterator[Path]:
        return self._staging.rglob(".*.partial")

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
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            bar.close()

    def _fetch_pair(self, job: Sequence[tuple[str, Remote]], report: Report, bar: tqdm) -> None:
        """The lines, then the video: without its lines a video is of no use."""
        for path, remote in job:
            try:
                self._deliver(self._fetch(path, remote, bar), path)
            except FileNotFoundError:
                report.missing.append(remote.url)
                return
            except _StoppedError:
                return
            except Exception as err:
                report.failed[remote.url] = _reason(err)
                return
            report.fetched.append(path)

    def _fetch(self, path: str, remote: Remote, bar: tqdm) -> Path:
        """Fetch one file, going on where an earlier attempt stopped; the path of the whole copy."""
        # The server's name of the file's state is part of ours: pieces of two states never mix.
        state = hashlib.sha256(f"{remote.url}|{remote.size}|{remote.version}".encode()).hexdigest()
        final = self._staging / path
        piece = final.with_name(f".{final.name}.{state[:12]}.partial")
        piece.parent.mkdir(parents=True, exist_ok=True)
        for other in final.parent.glob(f".{final.name}.*.partial"):
            if other != piece:
                other.unlink()
        fs, source = self._source_of(remote.url)
        if remote.size is None:
            data = self._again(lambda: fs.cat_file(source))
            piece.write_bytes(data)
            bar.update(len(data))
            return piece
        with piece.open("ab") as file:
            # The last byte is fetched again, with the one behind it, which must not exist.
            start = min(file.tell(), max(remote.size - 1, 0))
            file.truncate(start)
            bar.update(start)
            try:
                self._append(file, fs, source, remote.size, start, bar)
            except _LengthError:
                file.truncate(0)
                raise
        return piece

    def _append(
        self,
        file: Any,
        fs: fsspec.AbstractFileSystem,
        source: str,
        size: int,
        start: int,
        bar: tqdm,
    ) -> None:
        length = CHUNK_BYTES
        while start < size:

            def read(start: int = start) -> bytes:
                nonlocal length
                stop = start + length
                # One byte more than is left shows a server that claimed too little.
                stop = stop if stop < size else size + 1
                try:
                    return fs.cat_file(source, start=start, end=stop)
                except Exception:
                    # Where connections are cut early, smaller pieces get through.
                    length = max(length // 4, LEAST_CHUNK_BYTES)
                    raise

            try:
                data = self._again(read)
            except Exception as err:
                if getattr(err, "status", None) == 416:
                    raise _LengthError(size, start) from err
                raise
            asked = min(length, size - start)
            if len(data) == size > asked + 1:
                data, asked = data[start:], size  # the server ignored the range and sent all
            if len(data) > asked:
                raise _LengthError(size, None)
            if not data:
                raise _LengthError(size, start)
            file.write(data)
            start += len(data)
            bar.update(len(data))

    def _deliver(self, piece: Path, path: str) -> None:
        if self._local is not None:
            piece.replace(self._local / path)
            return
        root = self._root.rstrip("/")
        folder, name = path.rsplit("/", 1)
        unfinished = f"{root}/{folder}/.{name}.partial"
        self._target.makedirs(f"{root}/{folder}", exist_ok=True)
        self._again(lambda: self._target.put_file(str(piece), unfinished))
        self._target.mv(unfinished, f"{root}/{path}")
        piece.unlink()

    def _source_of(self, url: str) -> tuple[fsspec.AbstractFileSystem, str]:
        protocol = url.split("://", 1)[0] if "://" in url else "file"
        if protocol not in self._sources:
            self._sources[protocol] = _file_system(url, self._options)[0]
        fs = self._sources[protocol]
        return fs, fs._strip_protocol(url)

    def _again(self, request: Callable[[], _Result]) -> _Result:
        """Make a request, again after a pause if it fails for a reason that may pass."""

        def attempt() -> _Result:
            if self._stop.is_set():
                raise _StoppedError
            return request()

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.5, max=self._slowest_retry_s),
            stop=stop_after_attempt(self._tries),
            sleep=self._pause,
            reraise=True,
        )
        return retrying(attempt)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)


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


class _StoppedError(Exception):
    """The download was interrupted."""


class _LengthError(Exception):
    """A file is not as long as its server claimed."""

    def __init__(self, claimed: int, actual: int | None) -> None:
        found = "more" if actual is None else str(actual)
        super().__init__(f"the server claimed {claimed} bytes and sent {found}; not kept")


def _file_system(
    url: str, options: Mapping[str, Any] | None = None
) -> tuple[fsspec.AbstractFileSystem, str]:
    """A file system of our own for an address, and the path in it."""
    settings = dict(options or {})
    if url.startswith(("http://", "https://")):
        import aiohttp  # fsspec needs it for these addresses only

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_HTTP_TIMEOUT_S, sock_read=_HTTP_TIMEOUT_S
        )
        # Compressed answers have other lengths than the file's ranges.
        headers = {"Accept-Encoding": "identity"}
        settings.setdefault("client_kwargs", {"timeout": timeout, "headers": headers})
        settings.setdefault("use_listings_cache", False)
    try:
        return fsspec.core.url_to_fs(url, **settings)
    except ImportError as err:
        raise ConfigError(f"{url}: {err}") from err
    except ValueError as err:
        raise ConfigError(f"{url}: not an address that can be used ({err})") from err


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return isinstance(fs, fsspec.implementations.local.LocalFileSystem)


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: time-outs, cut connections, busy servers."""
    if isinstance(error, (FileNotFoundError, PermissionError, _StoppedError, _LengthError)):
        return False
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status >= 500 or status in (408, 425, 429)
    if type(error).__module__.split(".")[0] == "aiohttp":
        return True
    return isinstance(error, (OSError, TimeoutError))


def _reason(error: BaseException) -> str:
    status = getattr(error, "status", None)
    return f"HTTP {status}" if status else f"{type(error).__name__}: {error}".rstrip(": ")
