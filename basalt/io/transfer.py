"""Transfer single files from any address that fsspec can read to a folder that it can write.

A file appears under its final name only when it is complete. Interrupted transfers are resumed by byte
ranges, and temporary failures (cut connections, busy servers) are retried.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
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

ATTEMPTS = 6
"""Number of attempts for a request that fails for a temporary reason."""

SLOWEST_RETRY_S = 30.0
"""Longest pause between two attempts; pauses grow exponentially, with jitter."""

_HTTP_TIMEOUT_S = 60.0

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Attributes:
        url: Its address.
        size: Size in bytes according to the server; None if it does not say.
        version: The server's name for this state of the file (an ETag or a date), or "".
    """

    url: str
    size: int | None
    version: str


class StoppedError(Exception):
    """The transfer was interrupted."""


class LengthError(Exception):
    """A file does not have the size that its server reported."""

    def __init__(self, claimed: int, actual: int | None) -> None:
        found = "more" if actual is None else str(actual)
        super().__init__(f"the server reported {claimed} bytes and sent {found}; discarded")


class Transfer:
    """Fetches files into one folder; threads may share it.

    Args:
        out: Target folder, a path or any address that fsspec can write to.

    Attributes:
        attempts: Number of attempts for a request that fails for a temporary reason.
        local: Target folder if it is on this machine, else None.
        staging: Folder of incomplete files.
        stop: Event that ends every request with a `StoppedError` once it is set.
    """

    def __init__(self, out: str | Path) -> None:
        self.attempts = ATTEMPTS
        self.stop = threading.Event()
        self._target, self._root = _file_system(str(out))
        self.local = Path(self._root) if _is_local(self._target) else None
        self.staging = self.local or cache_dir() / "download"
        self._sources: dict[str, fsspec.AbstractFileSystem] = {}
        self._making_source = threading.Lock()

    def present(self) -> dict[str, int]:
        """Sizes of the files in the target, by path below it."""
        self._target.invalidate_cache()
        found = self._target.find(self._root, detail=True)
        root = self._target._strip_protocol(self._root).rstrip("/")
        return {
            path[len(root) :].lstrip("/"): int(info["size"] or 0) for path, info in found.items()
        }

    def partials(self) -> Iterator[Path]:
        """Incomplete files of interrupted transfers."""
        return self.staging.rglob(".*.partial")

    def look_up(self, url: str) -> Remote:
        """Size and version of a file.

        Raises:
            FileNotFoundError: The server does not have the file.
            Exception: Another failure of the server or the connection; see `reason`.
        """
        info = self._retried(partial(self._info, url))
        version = info.get("ETag") or info.get("Last-Modified") or info.get("mtime") or ""
        return Remote(url, info.get("size"), str(version))

    def _info(self, url: str) -> dict[str, Any]:
        fs, path = self._source_of(url)
        try:
            return dict(fs.info(path))
        except FileNotFoundError as err:
            # fsspec reports every failure of an HTTP server as a missing file; the cause says which.
            if err.__cause__ is not None and _status(err.__cause__) not in (404, 410):
                raise err.__cause__ from err
            raise

    def read(self, url: str, limit: int) -> bytes:
        """The content of a small file.

        Args:
            url: Its address.
            limit: Largest size in bytes.

        Raises:
            FileNotFoundError: The server does not have the file.
            ConfigError: The file is larger, or its size is not known.
            Exception: Another failure of the server or the connection; see `reason`.
        """
        fs, source = self._source_of(url)
        fs.invalidate_cache()  # another process may have written the file since
        remote = self.look_up(url)
        if remote.size is None or remote.size > limit:
            size = "an unknown number" if remote.size is None else f"{remote.size:,}"
            raise ConfigError(f"{url}: expected at most {limit:,} bytes, got {size}")
        return bytes(self._retried(lambda: fs.cat_file(source, start=0, end=remote.size)))

    def fetch(self, path: str, remote: Remote, on_bytes: Callable[[int], object]) -> None:
        """Fetch one file, resuming an earlier attempt.

        Args:
            path: Path below the target, `FOLDER/NAME`.
            remote: The file, from `look_up`.
            on_bytes: Called with the number of bytes received, first with those of an earlier attempt.

        Raises:
            FileNotFoundError: The server no longer has the file.
            LengthError: The file does not have the reported size; nothing of it is kept.
            StoppedError: `stop` was set.
            Exception: Another failure of the server, the connection or the disk; see `reason`.
        """
        if self.stop.is_set():
            raise StoppedError
        # Not `basalt.io.atomic`, which removes what a killed process left: this is what is resumed. The name
        # contains the file's version, so that parts of two versions never mix.
        state = hashlib.sha256(f"{remote.url}|{remote.size}|{remote.version}".encode()).hexdigest()
        final = self.staging / path
        piece = final.with_name(f".{final.name}.{state[:12]}.partial")
        piece.parent.mkdir(parents=True, exist_ok=True)
        for other in final.parent.glob(f".{final.name}.*.partial"):
            if other != piece:
                other.unlink()
        fs, source = self._source_of(remote.url)
        if remote.size is None:
            data = self._retried(lambda: fs.cat_file(source))
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
        """Append the missing bytes to a partial file."""
        with piece.open("ab") as file:
            # The last byte is fetched again together with the next one, which must not exist.
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
                # One byte more than is left reveals a server that reported too small a size.
                stop = stop if stop < size else size + 1
                try:
                    return bytes(fs.cat_file(source, start=start, end=stop))
                except Exception:
                    # Smaller requests succeed where connections are cut early.
                    length = max(length // 4, LEAST_CHUNK_BYTES)
                    raise

            try:
                data = self._retried(read)
            except Exception as err:
                if _status(err) == 416:
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
        self._retried(lambda: self._target.put_file(str(piece), unfinished))
        self._target.mv(unfinished, f"{root}/{path}")
        piece.unlink()

    def _source_of(self, url: str) -> tuple[fsspec.AbstractFileSystem, str]:
        protocol = url.split("://", 1)[0] if "://" in url else "file"
        with self._making_source:
            if protocol not in self._sources:
                self._sources[protocol] = _file_system(url)[0]
            fs = self._sources[protocol]
        return fs, fs._strip_protocol(url)

    def _retried(self, request: Callable[[], _Result]) -> _Result:
        """Make a request; retry it after a pause if it fails for a temporary reason."""

        def attempt() -> _Result:
            if self.stop.is_set():
                raise StoppedError
            return request()

        retrying = Retrying(
            retry=retry_if_exception(_is_temporary),
            wait=wait_random_exponential(multiplier=0.5, max=SLOWEST_RETRY_S),
            stop=stop_after_attempt(self.attempts),
            sleep=self._pause,
            reraise=True,
        )
        return retrying(attempt)

    def _pause(self, seconds: float) -> None:
        self.stop.wait(seconds)


def reason(error: BaseException) -> str:
    """Why a transfer failed, in a few words."""
    if isinstance(error, LengthError):
        return str(error)
    status = _status(error)
    first = str(error).strip().partition("\n")[0]
    return f"HTTP {status}" if status else f"{type(error).__name__}: {first}".rstrip(": ")


def _status(error: BaseException) -> int | None:
    """The server's HTTP status where an error has one: aiohttp's have `status`, those of hubs a `response`."""
    status = getattr(error, "status", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) and status else None


def _is_temporary(error: BaseException) -> bool:
    """Whether the failure is temporary: time-outs, cut connections, busy servers."""
    if isinstance(error, (FileNotFoundError, PermissionError, StoppedError, LengthError)):
        return False
    if is_full(error):
        return False
    if status := _status(error):
        return status >= 500 or status in (408, 425, 429)
    if type(error).__module__.split(".")[0] == "aiohttp":
        return True
    return isinstance(error, (OSError, TimeoutError))


def _file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """A new file system for an address, and the path in it."""
    settings: dict[str, Any] = {}
    if url.startswith(("http://", "https://")):
        import aiohttp  # fsspec needs it for these addresses only

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_HTTP_TIMEOUT_S, sock_read=_HTTP_TIMEOUT_S
        )
        # Compressed responses have other lengths than the ranges asked for.
        headers = {"Accept-Encoding": "identity"}
        client = {"timeout": timeout, "headers": headers}
        settings = {"client_kwargs": client, "use_listings_cache": False}
    try:
        system, path = fsspec.core.url_to_fs(url, **settings)
    except ImportError as err:
        raise ConfigError(f"{url}: {err}") from err
    except ValueError as err:
        raise ConfigError(
            f"{url}: expected a path or an address that fsspec supports ({err})"
        ) from err
    return system, path


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return isinstance(fs, fsspec.implementations.local.LocalFileSystem)
