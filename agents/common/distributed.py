"""One training in several processes, by Lightning Fabric's DistributedDataParallel.

Each process reads its share of the rows and the gradients are averaged, so the loss curve is that of one
process with all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState


class Team:
    """The processes of one training; a team of one needs no library.

    Args:
        fabric: a launched `lightning_fabric.Fabric`, or None alone.

    Attributes:
        rank: this process, from 0.
        size: how many there are.
    """

    def __init__(self, fabric: Any = None) -> None:
        self._fabric = fabric
        self.rank = 0 if fabric is None else fabric.global_rank
        self.size = 1 if fabric is None else fabric.world_size

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """This process's device."""
        return chosen if self._fabric is None else self._fabric.device

    def spread(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the team."""
        return module if self._fabric is None else self._fabric.setup_module(module)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the team, the same in each process."""
        return values if self.size == 1 else self._fabric.all_reduce(values, reduce_op="mean")

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor(float(flag), device=self._fabric.device)
        return bool(self._fabric.all_reduce(raised, reduce_op="sum") > 0)

    def share(self, state: PolicyState) -> PolicyState:
        """Of the memory of all rows, this process's."""
        return _each(state, lambda x: x[self.rank :: self.size])

    def gather(self, state: PolicyState) -> PolicyState:
        """The memory of all rows, from everyone's share."""
        if self.size == 1:
            return state
        # [team, rows of each, ...] -> rows in order: row k of process r is k * size + r.
        return _each(state, lambda x: self._fabric.all_gather(x).transpose(0, 1).flatten(0, 1))


def _each(state: PolicyState, change: Callable[[Tensor], Tensor]) -> PolicyState:
    return PolicyState(
        change(state.mask), tuple(map(change, state.keys)), tuple(map(change, state.values))
    )


def launch(
    function: Callable[..., Any], devices: int, device: torch.device, *arguments: Any
) -> Any:
    """Call ``function(Team, *arguments)`` in each process of a team; the first one's result.

    Args:
        function: of a module, so that processes can import it.
        devices: size of the team; GPUs, or processes on a CPU.
        device: its type says which.

    Raises:
        ConfigError: Fabric is not installed, or there are fewer GPUs.
    """
    if devices == 1:
        return function(Team(), *arguments)
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices: {devices} asked for, {torch.cuda.device_count()} GPUs are here"
        )
    try:
        from lightning_fabric import Fabric
    except ImportError as err:
        raise ConfigError(
            "devices: more than one needs Lightning Fabric; "
            "pip install 'basalt-benchmark[distributed]' mends that"
        ) from err
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp_spawn")
    # Bound beforehand: Fabric would look into the arguments, and refuses frozen dataclasses.
    return fabric.launch(partial(_start, function, arguments))


def _start(function: Callable[..., Any], arguments: tuple[Any, ...], fabric: Any) -> Any:
    return function(Team(fabric), *arguments)
