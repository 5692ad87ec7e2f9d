"""Jobs on a Ray cluster whose machines share a folder."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from basalt.core.settings import settings
from basalt.io.dependencies import how_to_install
from basalt.io.errors import ConfigError, MissingDependencyError

CONNECT_S = 5.0
"""Seconds that the cluster may take to answer."""

END_S = 60.0
"""Seconds that workers may take to end when nothing is left to do."""


@settings
class RayRunner:
    """Tasks of a Ray cluster.

    Attributes:
        address: Address of the cluster, HOST:PORT of its head; auto for the one that this machine is part of.
        cpus: Number of CPU cores of a worker, as Ray counts them.
        gpus: Number of GPUs of a worker, which may be a fraction.
    """

    poll_s = 0.5

    address: str = "auto"
    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0

    @contextmanager
    def start(self, work: Callable[[], None], count: int, folder: Path) -> "Iterator[Tasks]":
        """Start tasks; see `basalt.runners.jobs.Runner`. Ray does not retry them, since we start new ones."""
        ray = self.connect()
        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(_run)
        tasks = [task.remote(str(Path.cwd()), work) for _ in range(count)]
        try:
            yield Tasks(ray, tasks)
            ray.wait(tasks, num_returns=len(tasks), timeout=END_S, fetch_local=False)
        finally:
            for one in tasks:
                ray.cancel(one, force=True)

    def connect(self) -> Any:
        """The module `ray`, connected to the cluster.

        Raises:
            MissingDependencyError: Ray is not installed.
            ConfigError: No cluster answers at the address.
        """
        try:
            import ray
        except ModuleNotFoundError as err:
            fix = how_to_install("ray", "ray")
            raise MissingDependencyError("runner=ray: ray is not installed", fix) from err
        if ray.is_initialized():
            return ray
        try:
            if self.address != "auto":  # Ray itself would try for minutes
                host, _, port = self.address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), CONNECT_S).close()
            ray.init(address=self.address, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError, OverflowError) as err:
            raise ConfigError(
                f"runner.address: no Ray cluster answers at {self.address!r} ({_first_line(err)}); start one with "
                "`ray start --head`, or give HOST:PORT of its head"
            ) from err
        return ray


class Tasks:
    """Tasks that were started."""

    def __init__(self, ray: Any, tasks: Sequence[Any]) -> None:
        self._ray = ray
        self._tasks = tasks

    def running(self) -> bool:
        """Whether one still runs, or waits for a free machine."""
        count = len(self._tasks)
        _, waiting = self._ray.wait(self._tasks, num_returns=count, timeout=0, fetch_local=False)
        return bool(waiting)

    def why_ended(self) -> str:
        """What the first one that failed raised."""
        for task in self._tasks:
            try:
                self._ray.get(task)
            except Exception as err:
                cause = getattr(err, "cause", None)  # the task's own error, inside Ray's
                return _first_line(err if cause is None else cause)
        return ""


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0]


def _run(folder: str, work: Callable[[], None]) -> None:
    """Work in the folder that the command was started in, so that relative paths mean the same."""
    os.chdir(folder)
    work()
