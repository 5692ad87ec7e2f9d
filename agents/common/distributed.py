"""Data-parallel training with Lightning Fabric's DistributedDataParallel.

Each process reads its share of a batch and the gradients are averaged, so the loss curve is that of one
process with the whole batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState


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


def launch(
    function: Callable[..., Any], devices: int, device: torch.device, *arguments: Any
) -> Any:
    """Call `function(context, *arguments)` in each process; returns the result of the main one.

    Args:
        function: Function at the top level of a module, so that processes can import it.
        devices: Number of GPUs, or of processes on a CPU.
        device: Device of a single process; several use devices of its type.
        arguments: Further arguments, which can be pickled where `devices` is above 1.

    Raises:
        ConfigError: Fabric is not installed, or this machine has fewer GPUs.
    """
    if devices == 1:
        return function(DistributedContext(device), *arguments)
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices: expected at most {torch.cuda.device_count()}, the GPUs of this machine, got {devices}"
        )
    try:
        from lightning_fabric import Fabric
    except ImportError as err:
        raise ConfigError(
            "devices: more than one needs Lightning Fabric; install it with: "
            "pip install 'basalt-benchmark[distributed]'"
        ) from err
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp_spawn")
    # Bound beforehand: Fabric would look into the arguments, and refuses frozen dataclasses.
    return fabric.launch(partial(_start, function, device, arguments))


def _start(
    function: Callable[..., Any], device: torch.device, arguments: tuple[Any, ...], fabric: Any
) -> Any:
    return function(DistributedContext(device, fabric), *arguments)
