"""Jobs on a Slurm cluster whose machines share a folder, through submitit."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from basalt.core.settings import Count, Natural, settings
from basalt.io.dependencies import how_to_install
from basalt.io.errors import ConfigError, MissingDependencyError

COMMAND_S = 60.0
"""Seconds that a command of Slurm may take."""


@settings
class SlurmRunner:
    """Tasks of a job array of Slurm, one for each worker.

    Attributes:
        partition: Partition; null for the cluster's default.
        account: Account that is charged; null for the user's default.
        minutes: Time limit of a worker. What one cannot finish is done by the next.
        cpus: Number of CPU cores of a worker.
        gpus: Number of GPUs of a worker.
        memory_gb: Memory of a worker in GB; null for the cluster's default.
        more: Further options of sbatch by name: {qos: long, constraint: a100}.
    """

    poll_s = 2.0

    partition: str | None = None
    account: str | None = None
    minutes: Count = 240
    cpus: Count = 1
    gpus: Natural = 0
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def start(self, work: Callable[[], None], count: int, folder: Path) -> "Iterator[JobArray]":
        """Submit a job array; see `basalt.runners.jobs.Runner`. Leaving the context cancels what is left of it."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = self.executor(folder / "slurm")
        try:
            with executor.batch():
                jobs = [executor.submit(work) for _ in range(count)]
        except (FailedJobError, FailedSubmissionError) as err:
            said = " ".join(str(err).split())
            raise ConfigError(f"runner=slurm: sbatch refused the job: {said}") from err
        array = JobArray(jobs[0].job_id.partition("_")[0], folder / "slurm")
        try:
            yield array
        finally:
            array.cancel()

    def executor(self, folder: Path) -> Any:
        """The executor of submitit that writes and submits the job.

        Args:
            folder: Folder of the job's file, logs and pickles.

        Raises:
            MissingDependencyError: submitit or Slurm is not installed.
        """
        try:
            from submitit import SlurmExecutor
        except ModuleNotFoundError as err:
            fix = how_to_install("submitit", "slurm")
            raise MissingDependencyError("runner=slurm: submitit is not installed", fix) from err
        for program in ("sbatch", "srun", "squeue", "scancel"):
            if shutil.which(program) is None:
                raise MissingDependencyError(
                    f"runner=slurm: Slurm's {program} is not installed here; start the command on a machine of the "
                    "cluster, or use jobs=N without runner="
                )
        executor = SlurmExecutor(folder)
        given: dict[str, Any] = {
            "job_name": "basalt", "partition": self.partition, "account": self.account, "time": self.minutes,
            "cpus_per_task": self.cpus, "gpus_per_node": self.gpus or None, "use_srun": False,
            "mem": None if self.memory_gb is None else f"{round(self.memory_gb * 1000)}MB",
            "array_parallelism": 1_000_000, "additional_parameters": self.more or None,
        }  # fmt: skip
        executor.update_parameters(**{k: v for k, v in given.items() if v is not None})
        return executor


class JobArray:
    """A job array that was submitted.

    Args:
        number: Its number.
        folder: Folder of its logs.
    """

    def __init__(self, number: str, folder: Path) -> None:
        self._number = number
        self._folder = folder

    def running(self) -> bool:
        """Whether one of its tasks still runs, or waits; squeue forgets a job some time after its end."""
        said = _slurm("squeue", "--noheader", "--format=%i", "--jobs", self._number)
        gone = said.returncode != 0 and "Invalid job id" in said.stderr
        # Where squeue fails for another reason, the controller may be back at the next look.
        return not gone and (said.returncode != 0 or bool(said.stdout.strip()))

    def why_ended(self) -> str:
        """The last line that one of its tasks wrote to its log."""
        for log in sorted(self._folder.glob(f"{self._number}_*.err")):
            if lines := re.findall(r"\S.*", log.read_text(errors="replace")):
                return f"{lines[-1]} ({log})"
        return f"Slurm says no more than its logs in {self._folder}"

    def cancel(self) -> None:
        """End what is left of it."""
        _slurm("scancel", "--quiet", self._number)


def _slurm(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "it does not answer")
