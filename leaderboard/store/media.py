"""Recordings in an object store, by any fsspec URL (`s3://bucket/folder`, `gs://...`)."""

from pathlib import Path
from typing import Any

import fsspec

from basalt.io.errors import BasaltError, MissingDependencyError


class MediaError(BasaltError):
    """An object store that cannot be reached, read or written."""


class RemoteMedia:
    """The media folder of a leaderboard, kept in an object store.

    Args:
        url: URL that fsspec understands; each file system reads its credentials from the environment.

    Raises:
        MissingDependencyError: The protocol's package is not installed.
        MediaError: fsspec does not know the protocol.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except ImportError as err:
            raise MissingDependencyError(f"{url}: {err}") from err
        except ValueError as err:
            raise MediaError(f"{url}: unknown protocol ({err})") from err

    def open(self, name: str) -> Any:
        """A file opened for reading bytes, with `size` and `seek`.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return self._files.open(f"{self._root}/{name}", "rb", cache_type="bytes")

    def put(self, path: Path, name: str) -> None:
        """Upload a file; it is complete when this returns.

        Raises:
            MediaError: The file cannot be written.
        """
        try:
            parent = name.rpartition("/")[0]
            if parent:
                self._files.makedirs(f"{self._root}/{parent}", exist_ok=True)
            self._files.put_file(str(path), f"{self._root}/{name}")
        except OSError as err:
            raise MediaError(f"{self.url}/{name}: cannot be written ({err})") from err

    def fetch(self, name: str, path: Path) -> None:
        """Download a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        self._files.get_file(f"{self._root}/{name}", str(path))

    def remove(self, folder: str) -> None:
        """Remove a folder if it exists."""
        if self._files.exists(f"{self._root}/{folder}"):
            self._files.rm(f"{self._root}/{folder}", recursive=True)
