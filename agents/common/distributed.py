"""Data-parallel training with Lightning Fabric's DistributedDataParallel.

Each process reads its share of a batch and the gradients are averaged, so the loss curve is that of one
process with the whole batch. Processes are started here (`launch`) or were started by torchrun or srun (`join`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from agents.common.started import Started, started
from basalt.io.console import note
from basalt.io.errors import BasaltError, ConfigError
from basalt.policies.attention import PolicyState

T = TypeVar("T")


class DistributedContext:
    """One process among those of a training run; a single process needs no library.

    Args:
        device: Device of a single process.
        fabric: A launched `lightning_fabric.Fabric`, or None for a single process.

    Attributes:
        device: Device of this process.
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    def __init__(self, device: torch.device, fabric: Any = None) -> None:
        self._fabric = fabric
        self.device: torch.device = device if fabric is None else fabric.device
        self.rank = 0 if fabric is None else fabric.global_rank
        self.size = 1 if fabric is None else fabric.world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are averaged over the processes."""
        return module if self._fabric is None else self._fabric.setup_module(module)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes; each gets the same."""
        return values if self.size == 1 else self._fabric.all_reduce(values, reduce_op="mean")

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        return bool(self._fabric.all_reduce(raised, reduce_op="sum") > 0)

    def together(self, function: Callable[[], T]) -> T:
        """Call a function in each process: first in one of each machine, whose caches the others then find.

        If it fails in any of them, all end, and the first of those that failed says why.

        Raises:
            BasaltError: What the function raised here.
            SystemExit: It failed in another process.
        """
        if self.size == 1:
            return function()
        failure: BasaltError | None = None
        with self._fabric.rank_zero_first(local=True):
            try:
                result = function()
            except BasaltError as err:
                failure = err
        failed = self._fabric.all_gather(torch.tensor(failure is not None, device=self.device))
        if not failed.any():
            return result
        if failure is not None and self.rank == int(failed.int().argmax()):
            raise failure
        raise SystemExit(1)

    def result(self, value: T | None) -> T:
        """The main process's value, in each; waits without limit, since the others may be done much earlier."""
        if self.size > 1:
            with self._fabric.rank_zero_first():
                pass
            value = self._fabric.broadcast(value)
        assert value is not None, "the main process has no result"
        return value

    def share(self, state: PolicyState) -> PolicyState:
        """This process's share of the memory of a whole batch."""
        return _each(state, lambda x: x[self.rank :: self.size])

    def gather(self, state: PolicyState) -> PolicyState:
        """The memory of a whole batch, gathered from all processes."""
        if self.size == 1:
            return state
        # [size, share, ...] -> [batch, ...]: sequence k of process r is number k * size + r.
        return _each(state, lambda x: self._fabric.all_gather(x).transpose(0, 1).flatten(0, 1))


def _each(state: PolicyState, change: Callable[[Tensor], Tensor]) -> PolicyState:
    return PolicyState(
        change(state.mask),
        tuple(map(change, state.keys)),
        tuple(map(change, state.values)),
        change(state.recent),
    )


def join(device: torch.device) -> DistributedContext:
    """This process among those that torchrun or srun started; the only one where neither did.

    Args:
        device: Device of a single process; several use devices of its type.

    Raises:
        ConfigError: The processes were not started as they need to be, or Fabric is not installed.
    """
    found = started()
    if found is None:
        return DistributedContext(device)
    fabric = _fabric(device, found.per_machine, found)
    fabric.launch()
    return DistributedContext(device, fabric)


def launch(
    function: Callable[..., T | None], team: DistributedContext, devices: int, *arguments: Any
) -> T:
    """Call `function(context, *arguments)` in each process; returns the result of the main one.

    Args:
        function: Function at the top level of a module, so that processes can import it. Its result must be small (64 KB as a
            pickle): it is read only after the started processes have ended.
        team: This process. If it is the only one, further ones are started on this machine.
        devices: Number of GPUs, or of processes on a CPU.
        arguments: Further arguments, which can be pickled where processes are started.

    Raises:
        ConfigError: Fabric is not installed, or this machine has fewer GPUs.
    """
    if team.size > 1 or devices == 1:
        return team.result(function(team, *arguments))
    fabric = _fabric(team.device, devices)
    # Bound beforehand: Fabric would look into the arguments, and refuses frozen dataclasses.
    outcome: T | BasaltError = fabric.launch(partial(_start, function, team.device, arguments))
    if isinstance(outcome, BasaltError):
        raise outcome
    return outcome


def _fabric(device: torch.device, devices: int, found: Started | None = None) -> Any:
    """Fabric for processes that were started; or, without them, for those that it is to start itself."""
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices: expected at most {torch.cuda.device_count()}, the GPUs that a process sees on this machine, got "
            f"{devices}; with Slurm, ask for the GPUs of a machine (--gpus-per-node) and not of a task"
        )
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    except ImportError as err:
        raise ConfigError(
            "devices: more than one needs Lightning Fabric; install it with: "
            "pip install 'basalt-benchmark[distributed]'"
        ) from err
    # Named: left to itself, Fabric takes every process inside a job of Slurm for one of several.
    environment: Any = LightningEnvironment()
    if found is not None:
        environment = (
            TorchElasticEnvironment()
            if found.program == "torchrun"
            else SLURMEnvironment(auto_requeue=False)
        )
    return Fabric(
        accelerator="cuda" if device.type == "cuda" else "cpu",
        devices=devices,
        num_nodes=1 if found is None else found.machines,
        strategy="ddp_spawn" if found is None else "ddp",
        plugins=[environment],
    )


def _start(
    function: Callable[..., Any], device: torch.device, arguments: tuple[Any, ...], fabric: Any
) -> Any:
    team = DistributedContext(device, fabric)
    try:
        return function(team, *arguments)
    except BasaltError as err:
        # Returned: raised in any process, it would reach the parent as the text of a traceback.
        if not team.is_main:
            note(f"process {team.rank}: {err}")
        return err
