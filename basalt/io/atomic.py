"""Atomic writes: a reader never sees a partially written file or folder, even after a kill."""

import errno
import io
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basalt.io.errors import WriteError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name in the same folder, then move it to `path`.

    The folder is made if it is missing. If the body raises, `path` keeps what it had. Temporary files that killed processes of this
    machine left in the folder are removed.

    Yields:
        The temporary name.

    Raises:
        WriteError: the file cannot be written.
        OSError: the disk is full (see `is_full`), or the body failed on another file.
    """
    with _partial(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Fill a new folder under a temporary name beside `path`, then put it in the place of `path`.

    Yields:
        The temporary folder, empty.

    Raises:
        WriteError: the folder cannot be written.
        OSError: the disk is full (see `is_full`), or the body failed on another file.
    """
    with scratch_folder(path) as partial:
        yield partial
        old = partial.with_name(f".old{partial.name}")
        with suppress(FileNotFoundError):
            path.replace(old)
        partial.replace(path)
        _remove(old)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Make a folder under a temporary name beside `path`; what is left in it is removed at the end.

    Yields:
        The temporary folder, empty.

    Raises:
        WriteError: the folder cannot be written.
        OSError: the disk is full (see `is_full`), or the body failed on another file.
    """
    with _partial(path) as partial:
        _remove(partial)
        partial.mkdir()
        yield partial


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    host = platform.node()
    _remove_leftovers_once(path.parent, host)
    partial = path.with_name(f".{path.name}.{host}-{os.getpid()}.partial")
    try:
        if not path.parent.is_dir():
            new_folder(path.parent)
        yield partial
    except OSError as err:
        name = path if err.filename is None else Path(os.fsdecode(err.filename))
        ours = name == path or name.is_relative_to(partial) or partial.is_relative_to(name)
        if is_full(err) or not ours:
            raise
        raise WriteError(f"{path}: cannot be written ({err.strerror or err})") from err
    finally:
        _remove(partial)


def new_folder(folder: Path) -> None:
    """Make a folder, and those above it, if it is missing.

    Raises:
        WriteError: it, or one above it, is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as err:
        places = (folder, *folder.parents)
        file = next(
            (path for path in places if not path.is_dir() and (path.exists() or path.is_symlink())),
            folder,
        )
        found = "a broken link" if file.is_symlink() and not file.exists() else "a file"
        raise WriteError(
            f"{file}: expected a folder, got {found}; remove it, or use another out=FOLDER"
        ) from err


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists() or path.is_symlink():
        path.unlink(missing_ok=True)


@cache  # once a process: a cache folder may hold many thousands of files
def _remove_leftovers_once(folder: Path, host: str) -> None:
    remove_leftovers(folder, host)


def remove_leftovers(folder: Path, host: str | None = None) -> None:
    """Remove what killed processes of this machine left half written in a folder.

    Args:
        folder: Folder that is searched, without its subfolders.
        host: Name of this machine; None asks the system.
    """
    import psutil  # not at import time: most commands read this module and never get here

    host = platform.node() if host is None else host
    for path in folder.glob(f".*.{host}-*.partial"):
        owner = path.name.removesuffix(".partial").rpartition("-")[2]
        # psutil raises OverflowError for a number that cannot be a process id.
        alive = len(owner) < 10 and owner.isdecimal() and psutil.pid_exists(int(owner))
        if owner.isdecimal() and not alive:
            _remove(path)


def write_text(path: Path, content: str) -> None:
    """Replace a text file as a whole.

    Raises:
        WriteError: the file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(content, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file as a whole; it is on the disk when this returns.

    Raises:
        WriteError: the file cannot be written.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def write_array(path: Path, array: "NDArray[Any]") -> None:
    """Write an array as `numpy.save` does, whose own error for a full disk has no errno.

    Raises:
        OSError: the file cannot be written.
    """
    import numpy as np  # not at import time: the command line reads this module

    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())


def is_full(error: BaseException) -> bool:
    """Whether the disk, or the user's quota on it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
