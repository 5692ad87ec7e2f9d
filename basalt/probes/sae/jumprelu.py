"""JumpReLU autoencoder (Rajamanoharan et al. 2024, arXiv 2407.14435; Gemma Scope, 2408.05147).

    z = ReLU((x - b_dec) W_enc + b_enc)      f = z * [z > threshold]
    loss = |x - x^|^2 + lambda * number of active latents

The threshold learns by straight-through estimates with a rectangle kernel of width `bandwidth`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from basalt.probes.sae.base import Objective, TrainingSAE, squared_error
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE

_MIN_THRESHOLD = 1e-6


class Jump(torch.autograd.Function):
    """z * [z > threshold]; the threshold's gradient is -(threshold / bandwidth) K((z - threshold) / bandwidth).

    Both arguments have one shape; K(u) = 1 for |u| < 1/2.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        """Value."""
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients."""
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < ctx.bandwidth / 2
        return grads[0] * (z > threshold), -(threshold / ctx.bandwidth) * near * grads[0], None


class Active(torch.autograd.Function):
    """[z > threshold]; only the threshold takes a gradient, -(1 / bandwidth) K(...)."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float, active_only: bool
    ) -> Tensor:
        """Value."""
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth, ctx.active_only = bandwidth, active_only
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None]:
        """Gradients."""
        z, threshold = ctx.saved_tensors
        above = z - threshold
        near = above.abs() < ctx.bandwidth / 2
        if ctx.active_only:
            near &= above > 0
        return None, near * grads[0] / -ctx.bandwidth, None, None


class JumpReLUTraining(TrainingSAE):
    """See the module."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.threshold = nn.Parameter(torch.zeros(config.width))

    def start_above(self, value: float) -> None:
        """By the threshold."""
        self.threshold.fill_(max(value, _MIN_THRESHOLD))

    def picked(self, pre: Tensor) -> Tensor:
        """The active ones, and those so near the threshold that it learns from them."""
        return pre > (self.threshold - self.config.bandwidth / 2).clamp(min=0)

    def objective(self, x: Tensor, silent: Tensor, progress: float) -> Objective:
        """See the module."""
        config, entries = self.config, self.entries(x)
        z = (entries.u + entries.at(self.b_enc)).relu()
        threshold = entries.at(self.threshold).expand_as(z)
        f = Jump.apply(z, threshold, config.bandwidth)
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        active = Active.apply(z, threshold, config.bandwidth, config.active_only)
        l0 = active.sum() / entries.rows
        penalty = l0 if config.target_l0 is None else (l0 / config.target_l0 - 1).square()
        loss = error + progress * self.strength * penalty
        return Objective(loss, error, l0, entries.fired(f.detach()))

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Thresholds stay above 0."""
        super().after_step(l0, progress)
        self.threshold.clamp_(min=_MIN_THRESHOLD)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """With the threshold in raw units."""
        sae = super().folded(scale)
        sae.threshold.copy_(scale * self.threshold)
        return sae
