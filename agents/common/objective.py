"""What behavioural cloning minimises, and which weights of the policy it may change.

Training only the last layer and the heads, with a penalty on leaving the base policy, is the recipe of the
BASALT 2022 baseline; voggite's entry of that year trained likewise with a smaller penalty.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.imitation import ImitationLoss, TensorBatch, imitation_loss
from basalt.policies.vpt import PolicyOutput, VPTPolicy

PARTS = {
    "all": ("",),
    "last": ("net.lastlayer.", "net.final_ln.", "pi_head.", "esc_head."),
    "heads": ("pi_head.", "esc_head."),
}
"""What is trained: prefixes of weights, by the name of the setting ``train``."""


class Memories(NamedTuple):
    """What the policy remembers of each row and, where it is trained whole, what its base does."""

    policy: PolicyState
    base: PolicyState | None

    def detach(self) -> Memories:
        """The same numbers, cut from the graph."""
        return Memories(self.policy.detach(), self.base)


def choose_trained(policy: VPTPolicy, part: str) -> None:
    """Let gradients reach only a part of a policy. The value head has no target in cloning.

    Raises:
        ConfigError: no such part.
    """
    if part not in PARTS:
        raise ConfigError(f"train: {part!r} is not one of {', '.join(PARTS)}")
    for name, parameter in policy.named_parameters():
        trained = name.startswith(PARTS[part]) and not name.startswith("value_head.")
        parameter.requires_grad_(trained)


def kl_to_base(ours: PolicyOutput, base: PolicyOutput, valid: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the policy from its base, nats per valid frame.

    Summed over the buttons' and the camera's distribution, which VPT takes as independent.
    """
    total = torch.zeros_like(valid, dtype=torch.float32)
    for mine, theirs in (
        (ours.buttons_logits, base.buttons_logits),
        (ours.camera_logits, base.camera_logits),
    ):
        log_p, log_q = F.log_softmax(mine, -1), F.log_softmax(theirs, -1)
        total = total + (log_p.exp() * (log_p - log_q)).sum(-1).view(valid.shape)
    return (total * valid).sum() / valid.sum().clamp(min=1)


class Objective(nn.Module):
    """A policy with its base and its loss, as one module that can be spread over processes.

    Args:
        policy: to be trained, of which `part` takes gradients.
        base: what it began as, frozen; None where `kl` is 0.
        part: see :data:`PARTS`.
        kl: weight of the divergence from the base.
        esc_weight: see `imitation_loss`.
    """

    def __init__(
        self, policy: VPTPolicy, base: VPTPolicy | None, part: str, kl: float, esc_weight: float
    ) -> None:
        super().__init__()
        self.policy = policy
        # In a tuple: its weights are not to be trained, nor sent between processes.
        self._base = (base,)
        self.part, self.kl, self.esc_weight = part, kl, esc_weight

    def initial_memories(self, rows: int) -> Memories:
        """Empty memories."""
        base = self._base[0] if self.part == "all" else None
        return Memories(
            self.policy.initial_state(rows), None if base is None else base.initial_state(rows)
        )

    def forward(
        self, labels: TensorBatch, memories: Memories
    ) -> tuple[ImitationLoss, Tensor, Memories]:
        """The cloning loss, the divergence from the base, and the next memories."""
        device = labels.first.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output, base, memories = self._outputs(labels, memories)
        loss = imitation_loss(output, labels, self.esc_weight)
        divergence = (
            torch.zeros((), device=device)
            if base is None
            else kl_to_base(output, base, labels.valid)
        )
        return loss, divergence, memories.detach()

    def _outputs(
        self, labels: TensorBatch, memories: Memories
    ) -> tuple[PolicyOutput, PolicyOutput | None, Memories]:
        policy, (base,) = self.policy, self._base
        base_output = None
        inputs = labels.inputs, labels.first
        if labels.kind == "latents":  # policy and base share the trunk that made them
            output = policy(*inputs, memories.policy, labels.kind)
            if base is not None:
                with torch.no_grad():
                    base_output = base(*inputs, memories.policy, labels.kind)
            return output, base_output, memories
        if self.part == "all":
            output = policy(*inputs, memories.policy, labels.kind)
            if base is not None and memories.base is not None:
                with torch.no_grad():
                    base_output = base(*inputs, memories.base, labels.kind)
            next_base = None if base_output is None else base_output.state
            return output, base_output, Memories(output.state, next_base)
        with torch.no_grad():  # policy and base share the trunk, which does not change
            embedded = policy.net.encode(labels.inputs)
            hidden, state = policy.net.transform(embedded, labels.first, memories.policy)
            if base is not None:
                base_output = base.heads(base.net.finish(hidden), state)
        output = policy.heads(policy.net.finish(hidden), state)
        return output, base_output, Memories(state, None)
