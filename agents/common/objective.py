"""The objective of behavioural cloning, and which parameters of the policy it updates.

Training only the last layer and the heads, with a penalty on leaving the base policy, is the recipe of the
BASALT 2022 baseline; voggite's entry of that year did the same with a smaller penalty.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.core.settings import unknown_option
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.imitation import ImitationLoss, TensorBatch, imitation_loss
from basalt.policies.vpt import PolicyOutput, VPTPolicy

PARTS = {
    "all": ("",),
    "last": ("net.lastlayer.", "net.final_ln.", "pi_head.", "esc_head."),
    "heads": ("pi_head.", "esc_head."),
}
"""Prefixes of the parameters that are updated, by the value of the setting `trainable`."""


class Memories(NamedTuple):
    """Memory of the policy for each sequence and, where all of it is trained, memory of its base."""

    policy: PolicyState
    base: PolicyState | None = None

    def detach(self) -> "Memories":
        """The same memory, detached from the graph."""
        return Memories(self.policy.detach(), self.base)


def choose_trained(policy: VPTPolicy, part: str) -> None:
    """Enable gradients for a part of a policy only. The value head has no target in cloning.

    Raises:
        ConfigError: There is no such part.
    """
    if part not in PARTS:
        raise ConfigError(unknown_option("trainable", part, list(PARTS)))
    for name, parameter in policy.named_parameters():
        trained = name.startswith(PARTS[part]) and not name.startswith("value_head.")
        parameter.requires_grad_(trained)


def kl_to_base(ours: PolicyOutput, base: PolicyOutput, valid: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(policy || base) in nats per valid frame.

    The sum over the distributions of buttons and camera, which VPT treats as independent.
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
    """A policy with its base and its loss as one module, which DDP can wrap.

    Args:
        policy: Policy to train; its part `part` takes gradients.
        base: Frozen copy of the starting policy; None where `kl` is 0.
        part: Name of the trained part, a key of `PARTS`.
        kl: Weight of the divergence from the base.
        esc_weight: Weight of frames with ESC, see `imitation_loss`.
        change_weight: Weight of frames on which the action changes, see `imitation_loss`.
        mean: Mean over the processes that share a batch, see `imitation_loss`.
    """

    def __init__(
        self,
        policy: VPTPolicy,
        base: VPTPolicy | None,
        part: str,
        kl: float,
        esc_weight: float,
        change_weight: float = 1.0,
        mean: Callable[[Tensor], Tensor] = lambda own: own,
    ) -> None:
        super().__init__()
        self.policy = policy
        # In a tuple, so that its weights are neither trained nor sent between processes.
        self._base = (base,)
        self.part, self.kl, self.esc_weight = part, kl, esc_weight
        self.change_weight, self.mean = change_weight, mean

    def initial_memories(self, batch_size: int) -> Memories:
        """Empty memories for a batch of sequences."""
        base = self._base[0] if self.part == "all" else None
        return Memories(
            self.policy.initial_state(batch_size),
            None if base is None else base.initial_state(batch_size),
        )

    def forward(
        self, labels: TensorBatch, memories: Memories
    ) -> tuple[ImitationLoss, Tensor, Memories]:
        """The cloning loss, the divergence from the base, and the next memories."""
        device = labels.first.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output, base, memories = self._outputs(labels, memories)
        loss = imitation_loss(output, labels, self.esc_weight, self.change_weight, self.mean)
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
        with torch.no_grad():  # policy and base share the trunk, which is not trained
            stacks, memory = policy.net.stack(labels.inputs, labels.first, memories.policy)
            hidden, state = policy.net.transform(policy.net.encode(stacks), labels.first, memory)
            if base is not None:
                base_output = base.heads(base.net.finish(hidden), state)
        output = policy.heads(policy.net.finish(hidden), state)
        return output, base_output, Memories(state, None)
