"""Locks between processes; the system releases them when their process ends, however it ends."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from filelock import FileLock, Timeout

from basalt.io.claims import make_folder
from basalt.io.errors import BusyError, WriteError

LOCK_FILE = ".lock"
"""Name of the lock file in a folder that has one writer at a time."""


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is missing.

    Args:
        path: Lock file; its folder exists.
        timeout: Seconds to wait for another holder; 0 fails at once, -1 waits without limit.

    Raises:
        BusyError: another process or thread holds the lock.
        WriteError: the lock file cannot be opened.
    """
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout as err:
        raise BusyError(f"{path}: another process holds this lock; wait for it to finish") from err
    except OSError as err:
        raise WriteError(f"{path}: cannot be locked ({err.strerror or err})") from err
    try:
        yield
    finally:
        lock.release()


@contextmanager
def queued(path: Path) -> Iterator[None]:
    """Like `locked`, but waiting processes get the lock in the order in which they asked for it.

    FileLock asks again at intervals, so that under load some processes wait for ever; the system's own
    queue is fair. Where the system has none (Windows), this is `locked`.
    """
    if fcntl is None:
        with locked(path):
            yield
        return
    with path.open("a") as file:  # closing it releases the lock
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def sole_writer(folder: Path, kind: str) -> Iterator[None]:
    """Make a folder and hold it for one writer.

    Args:
        folder: Folder to write in.
        kind: What is being written, for messages: "rollout", "download".

    Raises:
        BusyError: another process is writing in the folder.
        ConfigError: the folder holds results of another kind; see `basalt.io.claims.make_folder`.
        WriteError: the path is a file, or below one.
    """
    make_folder(folder, kind)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK_FILE, timeout=0))
        except BusyError as err:
            raise BusyError(
                f"{folder}: another {kind} is writing to this folder; wait for it, or use another out="
            ) from err
        yield
