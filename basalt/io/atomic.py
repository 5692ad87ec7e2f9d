"""Writing files so that a reader, or a killed writer, never meets half of one."""

import errno
import io
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from basalt.io.errors import BusyError

if TYPE_CHECKING:
    from numpy.typing import NDArray


LOCK_FILE = ".lock"
"""In a folder that has one writer at a time."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under, which then takes its place as a whole.

    What processes of this machine left in the folder when they were killed is removed.
    """
    host = platform.node()
    _remove_leftovers(path.parent, host)
    partial = path.with_name(f".{path.name}.{host}-{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@cache  # once a process: a cache folder may hold many thousands of files
def _remove_leftovers(folder: Path, host: str) -> None:
    for path in folder.glob(f".*.{host}-*.partial"):
        owner = path.name.removesuffix(".partial").rpartition("-")[2]
        if owner.isdecimal() and not _is_running(int(owner)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether there is such a process; taken for granted where asking would end it."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file as a whole."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def write_array(path: Path, array: "NDArray[Any]") -> None:
    """As `numpy.save`, which of a full disk says only how much it wrote."""
    import numpy as np  # not where the command line reads this module

    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())


def is_full(error: BaseException) -> bool:
    """Whether there is no room on the disk, or in the user's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def lock_file(file: IO[Any], *, wait: bool = False) -> None:
    """Take the lock of an open file, which goes with its closing or its process.

    Args:
        file: open for writing.
        wait: until whoever has it gives it back, instead of failing.

    Raises:
        OSError: somebody else has it.
    """
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return
            except OSError as err:
                # It waits for ten seconds at most.
                if not wait or err.errno != errno.EDEADLK:
                    raise
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextmanager
def sole_writer(folder: Path, what: str) -> Iterator[None]:
    """Refuse a second `what` ("rollout", "download") in the same folder; the lock goes with its process.

    Raises:
        BusyError: another process holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            lock_file(lock)
        except OSError as err:
            raise BusyError(
                f"{folder}: another {what} is writing there; wait for it, or give another out="
            ) from err
        yield
