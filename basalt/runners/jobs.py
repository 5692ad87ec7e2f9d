"""A list of independent jobs, done by any number of workers that share a folder.

    FOLDER/.workers/NAME.lock    held by the worker that does the job
    FOLDER/.workers/NAME.begun   how often it was begun
    FOLDER/.workers/NAME.json    how it ended (`JobEnd`)
    FOLDER/.workers/stop         says that no further job is to be begun

The system releases a lock when its holder ends, however it ends. So the job of a worker that died is taken by another
one, and no job is ever done by two at once, by whatever runner they were started. What a job makes are
files in a folder of the command; how it ended says little more than why it failed.
"""

import shutil
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from basalt.core.records import Record
from basalt.io import errors
from basalt.io.atomic import write_text
from basalt.io.console import note, progress_bar
from basalt.io.errors import BasaltError, BusyError, ConfigError
from basalt.io.locks import locked, sole_writer

FOLDER = ".workers"

ATTEMPTS = 3
"""How often a job is begun if the worker that does it dies."""

J = TypeVar("J")

OpenWorker = Callable[[], AbstractContextManager[Callable[[J], object]]]
"""Makes what does jobs in a worker process, e.g. a player with its world; picklable, called before its first job."""


class Workers(Protocol):
    """Worker processes that were started."""

    def running(self) -> bool:
        """Whether one of them still runs, or waits to be started."""
        ...

    def why_ended(self) -> str:
        """What is known of why they ended, in one line; empty if nothing is."""
        ...


class Runner(Protocol):
    """Starts worker processes somewhere.

    Attributes:
        poll_s: Seconds between two looks at what the workers have done.
    """

    poll_s: float

    def start(
        self, work: Callable[[], None], count: int, folder: Path
    ) -> AbstractContextManager[Workers]:
        """Start processes that call a function; leaving the context waits for their ends, or ends them.

        Args:
            work: What each calls, picklable. It returns when there is nothing left to do.
            count: Number of processes.
            folder: Folder for the runner's own files.

        Raises:
            BasaltError: The runner cannot be used: not installed, not configured, or it does not answer.
        """
        ...


class JobEnd(Record):
    """How a job ended.

    Attributes:
        result: What it returned, JSON-ready.
        error: Class of the exception that it raised; None if it succeeded.
        message: The exception's message, with its traceback if it was no `BasaltError`.
        errno: Number of an OSError.
        file: File of an OSError.
    """

    FORMAT: ClassVar[str] = "basalt-job"

    result: Any = None
    error: str | None = None
    message: str = ""
    errno: int | None = None
    file: str | None = None

    @classmethod
    def failed(cls, err: Exception) -> "JobEnd":
        """The end of a job that raised an exception."""
        if isinstance(err, BasaltError):
            # The class in `basalt.io.errors` that the exception's own class is, or comes from.
            name = next(c.__name__ for c in type(err).__mro__ if c.__module__ == errors.__name__)
            return cls(error=name, message=str(err))
        if isinstance(err, OSError) and err.errno is not None:
            file = None if err.filename is None else str(err.filename)
            return cls(error="OSError", message=err.strerror or "", errno=err.errno, file=file)
        return cls(error="RuntimeError", message="".join(traceback.format_exception(err)))

    def outcome(self) -> Any:
        """What the job returned; raises what it raised, or a RuntimeError where the class is not ours."""
        if self.error is None:
            return self.result
        if self.error == "OSError":
            raise OSError(self.errno, self.message, self.file)
        kind = getattr(errors, self.error, None)
        if isinstance(kind, type) and issubclass(kind, BasaltError):
            raise kind(self.message)
        raise RuntimeError(self.message)


@dataclass(frozen=True)
class JobList(Generic[J]):
    """Jobs that workers take from a folder.

    Attributes:
        folder: Folder of the results, the same on all machines.
        jobs: What a worker is given for each job, by a name that can be a file's.
        open_worker: Makes what does the jobs.
    """

    folder: Path
    jobs: Mapping[str, J]
    open_worker: OpenWorker[J]

    @property
    def place(self) -> Path:
        """Folder of the files by which workers agree."""
        return self.folder / FOLDER

    def clear(self) -> None:
        """Forget how jobs ended in an earlier run.

        Locks stay: a worker of that run may still hold one, on another machine.
        """
        for path in self.place.iterdir():
            if path.is_file() and not path.name.endswith(".lock"):
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let workers end after the jobs that they are doing."""
        (self.place / "stop").touch()

    def ended(self) -> set[str]:
        """Names of the jobs that have ended."""
        return {path.stem for path in self.place.glob("*.json")}

    def begun(self) -> int:
        """How many times a job was begun."""
        return sum(self._begun(path.stem) for path in self.place.glob("*.begun"))

    def end_of(self, name: str) -> JobEnd:
        """How a job that has ended did."""
        return JobEnd.read(self._file(name, ".json"))

    def is_held(self, name: str) -> bool:
        """Whether a worker is doing the job."""
        try:
            with locked(self._file(name, ".lock"), timeout=0):
                return False
        except BusyError:
            return True

    def work(self) -> None:
        """Do jobs until each has ended or is being done; what a worker process calls."""
        with ExitStack() as stack:
            do: Callable[[J], object] | None = None
            for name in self._taken():
                try:
                    do = do or stack.enter_context(self.open_worker())
                    end = JobEnd(result=do(self.jobs[name]))
                except Exception as err:
                    end = JobEnd.failed(err)
                end.write(self._file(name, ".json"))

    def _taken(self) -> Iterator[str]:
        """The jobs that this worker is to do; each is held until the next one is asked for."""
        found = True
        while found:  # once more: another worker may have died since
            found = False
            for name in self.jobs:
                if (self.place / "stop").exists():
                    return
                end = self._file(name, ".json")
                if end.exists():
                    continue
                with suppress(BusyError), locked(self._file(name, ".lock"), timeout=0):
                    if end.exists():
                        continue
                    found = True
                    begun = self._begun(name)
                    if begun >= ATTEMPTS:
                        text = f"{name}: the worker died {begun} times, perhaps because memory ran out; use fewer jobs"
                        JobEnd(error="WorkerError", message=text).write(end)
                        continue
                    write_text(self._file(name, ".begun"), str(begun + 1))
                    yield name

    def _begun(self, name: str) -> int:
        try:
            return int(self._file(name, ".begun").read_text())
        except (OSError, ValueError):
            return 0

    def _file(self, name: str, suffix: str) -> Path:
        return self.place / f"{name}{suffix}"


def run_jobs(todo: JobList[Any], runner: Runner, workers: int) -> Generator[tuple[str, JobEnd]]:
    """Do all jobs of a list. Close the iterator to end early: workers then finish the jobs that they are doing.

    Args:
        todo: The jobs.
        runner: Where they run.
        workers: Largest number of worker processes.

    Yields:
        The name of each job as soon as it has ended, and how it did.

    Raises:
        ConfigError: `workers` is below 1.
        BusyError: Another command does jobs of this folder.
        BasaltError: The runner cannot be used, or no worker began a job.
    """
    if workers < 1:
        raise ConfigError(f"jobs: expected an integer of at least 1, got {workers}")
    with sole_writer(todo.place, "run of jobs"):
        yield from _run_all(todo, runner, workers)
        shutil.rmtree(todo.place, ignore_errors=True)


def do_jobs(
    todo: JobList[Any], runner: Runner, workers: int, *, title: str, unit: str, progress: bool
) -> list[Any]:
    """Do all jobs of a list, with a line for each that fails.

    Args:
        todo: The jobs.
        runner: Where they run.
        workers: Largest number of worker processes.
        title: Text before the progress bar.
        unit: Singular name of a job.
        progress: Whether to show a progress bar on stderr.

    Returns:
        What the jobs returned, in the order of the list.

    Raises:
        BasaltError: As `run_jobs`; or a job failed, once all others have ended.
    """
    results: dict[str, Any] = {}
    failed: dict[str, Exception] = {}
    bar = progress_bar(total=len(todo.jobs), title=title, unit=unit, shown=progress)
    with closing(run_jobs(todo, runner, workers)) as ended, bar:
        for name, end in ended:
            try:
                results[name] = end.outcome()
            except Exception as err:
                failed[name] = err
                note(f"{unit} {name} failed: {err}")
            bar.update()
    for name, why in failed.items():
        if len(todo.jobs) == 1 or not isinstance(why, BasaltError):
            raise why
        raise type(why)(
            f"{len(failed)} of {len(todo.jobs)} jobs failed; first: {unit} {name}: {why}"
        )
    return [results[name] for name in todo.jobs]


def _run_all(todo: JobList[Any], runner: Runner, workers: int) -> Iterator[tuple[str, JobEnd]]:
    todo.clear()
    open_jobs = dict.fromkeys(todo.jobs)  # a set in the order of the list
    while open_jobs:
        begun, why = todo.begun(), ""
        with runner.start(todo.work, min(workers, len(open_jobs)), todo.place) as started:
            try:
                running = True
                while open_jobs and running:
                    running = started.running()  # asked first: what they did is then all there
                    for name in _new(todo, open_jobs):
                        yield name, todo.end_of(name)
                    if open_jobs and running:
                        time.sleep(runner.poll_s)
                why = started.why_ended() if open_jobs else ""
            except BaseException:
                todo.stop()
                raise
        if open_jobs and todo.begun() == begun:
            # Workers of a command that was killed may still do what is left.
            if not any(todo.is_held(name) for name in open_jobs):
                raise errors.WorkerError(f"all workers ended before they began a job: {why}")
            time.sleep(runner.poll_s)


def _new(todo: JobList[Any], open_jobs: dict[str, None]) -> Collection[str]:
    """Remove the jobs that have ended from those that are open; returns them."""
    ended = todo.ended()
    found = [name for name in open_jobs if name in ended]
    for name in found:
        del open_jobs[name]
    return found
