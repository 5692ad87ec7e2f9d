"""A frozen policy with a vector, and its checkpoints."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from basalt.core.records import Record
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import find_checkpoint, load_network
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.points import hook_point

SITE = "embed"
"""Hook point at which the vector is added."""


class VectorPolicy(nn.Module):
    """A frozen policy to whose encoded frames a vector is added, wherever the policy is called.

    Args:
        policy: The policy. From now on it is steered.

    Attributes:
        policy: The policy.
        vector: The vector, float [hidsize]; it starts at 0.
        steers: Whether the vector is added.
    """

    def __init__(self, policy: VPTPolicy) -> None:
        super().__init__()
        self.policy = policy.requires_grad_(False)
        self.vector = nn.Parameter(torch.zeros(policy.config.hidsize, device=policy.device))
        self.steers = True
        hook_point(policy, SITE).register_forward_hook(self._add)

    def _add(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output + self.vector if self.steers else output


class VectorCheckpoint(Record):
    """What a checkpoint of a vector is of (`checkpoint.json`). Its weights are those of the policy, and the vector.

    Attributes:
        step: Number of optimizer steps done.
        ended: Why the run ended before its last step; empty if it did not.
        site: Hook point at which the vector is added.
        policy: Sizes of the policy.
        task: Name of the task.
        answers: SHA-256 of the answers.
        train_places: Worlds (task and seed) that it was trained on.
        held_out_places: Worlds that its report is about.
    """

    FORMAT: ClassVar[str] = "basalt-steer-vector"

    step: int
    ended: str
    site: str
    policy: VPTConfig
    task: str
    answers: str
    train_places: tuple[str, ...]
    held_out_places: tuple[str, ...]


def open_vector(path: str | Path, device: torch.device) -> tuple[VectorPolicy, VectorCheckpoint]:
    """The steered policy of a checkpoint or run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or not one of a vector.
    """
    folder = find_checkpoint(path, command="basalt train agent=steer_vector")
    try:
        info = VectorCheckpoint.read(folder / "checkpoint.json")
    except ConfigError as err:
        raise ConfigError(
            f"checkpoint: {err}; give a run of `basalt train agent=steer_vector`"
        ) from err
    network = load_network(folder, lambda: VectorPolicy(VPTPolicy(info.policy)))
    return network.to(device).eval(), info
