"""The optimizer of a policy, its learning rate schedule, and its state as tensors of a checkpoint."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.vpt import VPTPolicy


class NotFiniteError(ConfigError):
    """A loss that is NaN or infinite."""


def schedule(step: int, warmup: int, steps: int) -> float:
    """Learning rate as a share of its peak: linear warm-up, then a half cosine down to a tenth."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0)))


def _trained(policy: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that take gradients (`agents.common.objective.choose_trained`), by name, in a fixed order."""
    return {name: p for name, p in policy.named_parameters() if p.requires_grad}


def make_optimizer(policy: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the parameters that take gradients, without weight decay on norms and biases."""
    parameters = list(_trained(policy).values())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=(0.9, 0.98),
    )


def optimizer_tensors(optimizer: torch.optim.AdamW, network: nn.Module) -> dict[str, Tensor]:
    """Adam's moments by parameter name, for `restore_optimizer`."""
    return {
        f"optimizer/{name}/{key}": value
        for name, parameter in _trained(network).items()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.AdamW,
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    device: torch.device,
) -> None:
    """Restore Adam's moments in place."""
    for name, parameter in _trained(network).items():
        prefix = f"optimizer/{name}/"
        optimizer.state[parameter] = {
            # Adam keeps its step count on the CPU.
            key.removeprefix(prefix): value if key.endswith("/step") else value.to(device)
            for key, value in tensors.items()
            if key.startswith(prefix)
        }


def training_tensors(
    optimizer: torch.optim.AdamW, policy: VPTPolicy, states: Mapping[str, PolicyState]
) -> dict[str, Tensor]:
    """Adam's moments by parameter name, and the memories by name, for `restore`."""
    tensors = optimizer_tensors(optimizer, policy)
    for whose, state in states.items():
        tensors[f"memory/{whose}/mask"] = state.mask
        tensors[f"memory/{whose}/recent"] = state.recent
        for j, (keys, values) in enumerate(zip(state.keys, state.values, strict=True)):
            tensors[f"memory/{whose}/{j}/keys"] = keys
            tensors[f"memory/{whose}/{j}/values"] = values
    return tensors


def restore(
    optimizer: torch.optim.AdamW, policy: VPTPolicy, tensors: Mapping[str, Tensor]
) -> dict[str, PolicyState]:
    """Restore Adam's moments in place; returns the memories by name."""
    device = policy.device
    restore_optimizer(optimizer, policy, tensors, device)
    blocks = range(policy.config.n_recurrence_layers)
    masks = [key for key in tensors if key.startswith("memory/") and key.endswith("/mask")]
    return {
        whose: PolicyState(
            tensors[f"memory/{whose}/mask"].to(device),
            tuple(tensors[f"memory/{whose}/{j}/keys"].to(device) for j in blocks),
            tuple(tensors[f"memory/{whose}/{j}/values"].to(device) for j in blocks),
            _recent(policy, tensors, whose),
        )
        for whose in (key.split("/")[1] for key in masks)
    }


def _recent(policy: VPTPolicy, tensors: Mapping[str, Tensor], whose: str) -> Tensor:
    """The last frames in a memory; policies from before these were saved keep none."""
    found = tensors.get(f"memory/{whose}/recent")
    if found is None:
        return policy.initial_state(len(tensors[f"memory/{whose}/mask"])).recent
    return found.to(policy.device)
