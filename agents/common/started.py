"""Processes of one training that another program started: torchrun, or Slurm's srun. Needs no torch."""

import os
from dataclasses import dataclass

from basalt.io.errors import ConfigError


@dataclass(frozen=True)
class Started:
    """This process among those that were started together.

    Attributes:
        program: Program that started them.
        rank: Number of this process, from 0.
        per_machine: Number of processes on each machine.
        machines: Number of machines.
    """

    program: str
    rank: int
    per_machine: int
    machines: int

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.per_machine * self.machines


def started() -> Started | None:
    """This process among those that torchrun or srun started; None if it is the only one.

    Raises:
        ConfigError: Slurm does not say how many processes each machine has, or the numbers differ.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        rank, size, here = (
            int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        )
        return Started("torchrun", rank, here, size // here)
    # Only srun sets it, so a job's script itself, and a shell of salloc, are single processes.
    size = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if size == 1:
        return None
    rank, here, machines = (
        int(environment.get(name, 0))
        for name in ("SLURM_PROCID", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES")
    )
    if here * machines != size:
        raise ConfigError(
            f"srun: expected the same number of processes on each machine, got {size} with --ntasks-per-node="
            f"{here or 'unset'} on {machines} machines; give --nodes=M --ntasks-per-node=N"
        )
    return Started("srun", rank, here, machines)
