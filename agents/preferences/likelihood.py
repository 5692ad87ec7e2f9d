"""How likely a policy makes the actions of clips.

The score of a step is log pi(buttons) + log pi(camera) where the buttons move the camera. ESC is left out: its one press costs
several nats and would decide a final clip alone, so stopping is learned apart (`basalt train agent=ending`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.common.objective import kl_to_base
from basalt.policies.attention import PolicyState
from basalt.policies.config import VPTConfig
from basalt.policies.imitation import TensorBatch, frame_losses
from basalt.policies.vpt import PolicyOutput, VPTPolicy

PROBED = 1_024
"""Largest number of frames on which a divergence is measured, or a little more."""


class Actions(NamedTuple):
    """What was done at T steps of B clips.

    Attributes:
        buttons: VPT index of the buttons, int64 [B, T].
        camera: VPT index of the camera, int64 [B, T].
        counts: Whether the buttons move the camera, so that its label means something, bool [B, T].
        mask: bool [B, T], False for padding at the end.
    """

    buttons: Tensor
    camera: Tensor
    counts: Tensor
    mask: Tensor

    def at(self, which: Tensor) -> "Actions":
        """Some of the clips, by number."""
        return Actions(*(one[which] for one in self))

    def to(self, device: torch.device) -> "Actions":
        """The same on a device."""
        return Actions(*(one.to(device) for one in self))


def log_probs(output: PolicyOutput, actions: Actions) -> Tensor:
    """Log-probability of each step's action in nats, float32 [B, T]; 0 for padding."""
    unused = torch.zeros_like(actions.mask)
    labels = TensorBatch(
        "latents", output.latent, unused, actions.mask, actions.buttons, actions.camera, unused,
        actions.counts & actions.mask,
    )  # fmt: skip
    buttons, camera, _ = frame_losses(output, labels)
    return -(buttons + camera) * actions.mask


def clip_sums(steps: Tensor, mask: Tensor, length: int) -> Tensor:
    """Sum over the steps of each clip, scaled to clips of `length` steps, float [B].

    Args:
        steps: Values of the steps, float [B, T]; 0 for padding.
        mask: bool [B, T], False for padding.
        length: Common length: clips of other lengths count as much as one of it.
    """
    return steps.sum(1) * length / mask.sum(1).clamp(min=1)


def of_latents(policy: VPTPolicy, latents: Tensor) -> PolicyOutput:
    """The heads' output on latents [B, T, width]. Their memory is in them."""
    return policy.heads(latents.float(), PolicyState(torch.empty(0), (), (), torch.empty(0)))


def burn_in(config: VPTConfig) -> int:
    """Number of encoded frames before a clip that can change what the policy makes of it.

    Each block of the transformer looks back as far as its memory, and what it sees there was made by the block below.
    """
    return config.n_recurrence_layers * (config.memory - 1)


@torch.no_grad()
def trunk_divergence(
    policy: VPTPolicy, start: VPTPolicy, latents: Sequence[NDArray[np.floating[Any]]]
) -> float:
    """KL(policy || start) of buttons and camera in nats a frame, of two policies that differ in their heads only.

    Args:
        policy: A policy.
        start: The policy that made the latents.
        latents: Latents of episodes, float [n, width] each; at most `PROBED` frames are read, spread evenly.
    """
    every = max(1, sum(map(len, latents)) // PROBED)
    shown = torch.from_numpy(np.concatenate(latents)[::every]).float()[None].to(policy.device)
    valid = torch.ones(shown.shape[:2], dtype=torch.bool, device=policy.device)
    return float(kl_to_base(of_latents(policy, shown), of_latents(start, shown), valid))
