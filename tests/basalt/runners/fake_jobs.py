"""Jobs whose traces are files: which were done, how often, and by whom. Importable in a worker process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from basalt.io.errors import ConfigError, WorldError
from basalt.runners.jobs import JobList


@contextmanager
def open_worker(out: Path) -> Iterator[Callable[[str], str]]:
    """What does a job, which says what is to happen; a line of `done` for each that succeeded."""
    (out / "opened").mkdir(exist_ok=True)
    (out / "opened" / str(os.getpid())).touch()

    def do(what: str) -> str:
        name, _, how = what.partition(" ")
        if how == "fails":
            raise WorldError("the toy fell apart")
        if how == "is full":
            raise OSError(28, "No space left on device", "film.mp4")
        if how == "has a bug":
            raise ZeroDivisionError("1 / 0")
        if how == "kills" or (how == "kills once" and not (out / "killed").exists()):
            (out / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "is slow":
            time.sleep(0.3)
        with (out / "done").open("a") as file:
            file.write(f"{name}\n")
        return name

    yield do


@contextmanager
def broken_worker(out: Path) -> Iterator[Callable[[str], None]]:
    """A worker that cannot be made."""
    raise ConfigError("checkpoint: not there")
    yield lambda what: None


def job_list(out: Path, *whats: str) -> JobList[str]:
    """A list of jobs named by the first word of what each is to do."""
    out.mkdir(parents=True, exist_ok=True)
    return JobList(out, {what.split()[0]: what for what in whats}, partial(open_worker, out))


def done(out: Path) -> list[str]:
    """Names of the jobs that were done, as often as they were."""
    return sorted((out / "done").read_text().split()) if (out / "done").exists() else []
