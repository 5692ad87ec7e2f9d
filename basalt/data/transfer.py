"""Carry single files from any address fsspec knows to a folder, at any other.

Nothing stands under its final name before it is whole, what was fetched is kept across interruptions
and continued by byte ranges, and what may pass (cut connections, busy servers) is tried again.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from basalt.io.atomic import is_full
from basalt.io.errors import ConfigError
from basalt.io.paths import cache_dir

CHUNK_BYTES = 4 * 2**20
LEAST_CHUNK_BYTES = 64 * 2**10

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


class StoppedError(Exception):
    """The transfer was interrupted."""


class LengthError(Exception):
    """A file is not as long as its server claimed."""

    def __init__(self, claimed: int, actual: int | None) -> None:
        found = "more" if actual is None else str(actual)
        super().__init__(f"the server claimed {claimed} bytes and sent {found}; not kept")


class Transfer:
    """Fetches files into one folder; threads may share it.

    Args:
        out: target folder, a path or any address fsspec can write to.
        attempts: how often a request that failed for a passing reason is made in all.
        slowest_retry_s: longest pause between two attempts; pauses grow exponentially, at random.
        storage_options: of the sources' file systems.

    Attributes:
        attempts: as given; may be lowered for requests that are not worth much patience.
        local: the target where it is a folder on this machine, else None.
        staging: where files lie until they are whole.
        stop: set it, and every request ends with a `StoppedError`.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        attempts: int,
        slowest_retry_s: float,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.attempts = attempts
        self.stop = threading.Event()
        self._slowest_retry_s = slowest_retry_s
        self._options = dict(storage_options or {})
        self._target, self._root = _file_system(str(out))
        self.local = Path(self._root) if _is_local(self._target) else None
        self.staging = self.local or cache_dir() / "download"
        self._sources: dict[str, fsspec.AbstractFileSystem] = {}
        self._making_source = threading.Lock()

    def present(self) -> dict[str, int]:
        """Bytes of the files in the target, by path below it."""
        self._target.invalidate_cache()
        found = self._target.find(self._root, detail=True)
        root = self._target._strip_protocol(self._root).rstrip("/")
        return {
            path[len(root) :].lstrip("/"): int(info["size"] or 0) for path, info in found.items()
        }

    def partials(self) -> Iterator[Path]:
        """What interrupted transfers left."""
        return self.staging.rglob(".*.partial")

    def look_up(self, url: str) -> Remote:
        """Size and version of a file.

        Raises:
            FileNotFoundError: the server does not have it.
            Exception: what the server or the connection failed with; see `reason`.
        """
        info = self._again(partial(self._info, url))
        version = info.get("ETag") or info.get("Last-Modified") or info.get("mtime") or ""
        return Remote(url, info.get("size"), str(version))

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

    def fetch(self, path: str, remote: Remote, on_bytes: Callable[[int], object]) -> None:
        """Bring one file to its place, going on where an earlier attempt stopped.

        Args:
            path: below the target, ``FOLDER/NAME``.
            remote: the file, looked up.
            on_bytes: told how many bytes came, those of an earlier attempt first.

        Raises:
            FileNotFoundError: the server no longer has it.
            LengthError: it is not as long as was claimed; nothing of it is kept.
            StoppedError: `stop` was set.
            Exception: what the server, the connection or the disk failed with; see `reason`.
        """
        if self.stop.is_set():
            raise StoppedError
        # The server's name of the file's state is part of ours: pieces of two states never mix.
        state = hashlib.sha256(f"{remote.url}|{remote.size}|{remote.version}".encode()).hexdigest()
        final = self.staging / path
        piece = final.with_name(f".{final.name}.{state[:12]}.partial")
        piece.parent.mkdir(parents=True, exist_ok=True)
        for other in final.parent.glob(f".{final.name}.*.partial"):
            if other != piece:
                other.unlink()
        fs, source = self._source_of(remote.url)
        if remote.size is None:
            data = self._again(lambda: fs.cat_file(source))
            piece.write_bytes(data)
            on_bytes(len(data))
        else:
            try:
                self._complete(piece, fs, source, remote.size, on_bytes)
            except LengthError:
                piece.unlink()
                raise
        self._deliver(piece, path)

    def _complete(
        self,
        piece: Path,
        fs: fsspec.AbstractFileSystem,
        source: str,
        size: int,
        on_bytes: Callable[[int], object],
    ) -> None:
        """Append to a piece what it lacks."""
        with piece.open("ab") as file:
            # The last byte is fetched again, with the one behind it, which must not exist.
            start = min(file.tell(), max(size - 1, 0))
            file.truncate(start)
            on_bytes(start)
            for data in self._ranges(fs, source, start, size):
                file.write(data)
                on_bytes(len(data))

    def _ranges(
        self, fs: fsspec.AbstractFileSystem, source: str, start: int, size: int
    ) -> Iterator[bytes]:
        """The bytes of a file from `start` on, in order."""
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
                    raise LengthError(size, start) from err
                raise
            asked = min(length, size - start)
            if len(data) == size > asked + 1:
                data, asked = data[start:], size  # the server ignored the range and sent all
            if len(data) > asked:
                raise LengthError(size, None)
            if not data:
                raise LengthError(size, start)
            yield data
            start += len(data)

    def _deliver(self, piece: Path, path: str) -> None:
        if self.local is not None:
            piece.replace(self.local / path)
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
        with self._making_source:
            if protocol not in self._sources:
                self._sources[protocol] = _file_system(url, self._options)[0]
            fs = self._sources[protocol]
        return fs, fs._strip_protocol(url)

    def _again(self, request: Callable[[], _Result]) -> _Result:
        """Make a request, again after a pause if it fails for a reason that may pass."""

        def attempt() -> _Result:
            if self.stop.is_set():
                raise StoppedError
            return request()

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.5, max=self._slowest_retry_s),
            stop=stop_after_attempt(self.attempts),
            sleep=self._pause,
            reraise=True,
        )
        return retrying(attempt)

    def _pause(self, seconds: float) -> None:
        self.stop.wait(seconds)


def reason(error: BaseException) -> str:
    """What a transfer failed with, in a few words."""
    if isinstance(error, LengthError):
        return str(error)
    status = getattr(error, "status", None)
    return f"HTTP {status}" if status else f"{type(error).__name__}: {error}".rstrip(": ")


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: time-outs, cut connections, busy servers."""
    if isinstance(error, (FileNotFoundError, PermissionError, StoppedError, LengthError)):
        return False
    if is_full(error):
        return False
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status >= 500 or status in (408, 425, 429)
    if type(error).__module__.split(".")[0] == "aiohttp":
        return True
    return isinstance(error, (OSError, TimeoutError))


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
