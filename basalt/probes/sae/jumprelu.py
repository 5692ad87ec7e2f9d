"""JumpReLU autoencoder (Rajamanoharan et al. 2024, arXiv 2407.14435; Gemma Scope, 2408.05147).

    z = ReLU((x - b_dec) W_enc + b_enc)      f = z * [z > threshold]
    loss = |x - x^|^2 + lambda * number of active latents

The threshold learns by straight-through estimates with a rectangle kernel of width `bandwidth`.
"""

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
        """Active values; all others become 0."""
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of `z` and `threshold`."""
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < ctx.bandwidth / 2
        return grads[0] * (z > threshold), -(threshold / ctx.bandwidth) * near * grads[0], None


class Active(torch.autograd.Function):
    """[z > threshold]; only the threshold takes a gradient, -(1 / bandwidth) K(...)."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float, active_only: bool
    ) -> Tensor:
        """1 for active entries, 0 for the others."""
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth, ctx.active_only = bandwidth, active_only
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None]:
        """Gradient of `threshold`."""
        z, threshold = ctx.saved_tensors
        above = z - threshold
        near = above.abs() < ctx.bandwidth / 2
        if ctx.active_only:
            near &= above > 0
        return None, near * grads[0] / -ctx.bandwidth, None, None


class JumpReLUTraining(TrainingSAE):
    """Training with a learned threshold per latent."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.threshold = nn.Parameter(torch.zeros(config.width))

    def start_above(self, value: float) -> None:
        """Set the thresholds; biases start at 0."""
        self.threshold.fill_(max(value, _MIN_THRESHOLD))

    def active(self, pre_acts: Tensor) -> Tensor:
        """Active entries, and those close enough to the threshold for it to learn from them."""
        return pre_acts > (self.threshold - self.config.bandwidth / 2).clamp(min=0)

    def objective(self, x: Tensor, dead: Tensor, progress: float) -> Objective:
        """The loss in the module's docstring; with `target_l0` the penalty is quadratic (`SAEConfig`)."""
        config, entries = self.config, self.active_entries(x)
        z = (entries.pre_acts + entries.at(self.b_enc)).relu()
        threshold = entries.at(self.threshold).expand_as(z)
        f = Jump.apply(z, threshold, config.bandwidth)
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        active = Active.apply(z, threshold, config.bandwidth, config.active_only)
        l0 = active.sum() / entries.batch_size
        penalty = l0 if config.target_l0 is None else (l0 / config.target_l0 - 1).square()
        loss = error + progress * self.sparsity_weight * penalty
        return Objective(loss, l0, entries.fired(f.detach()))

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Keep thresholds above 0."""
        super().after_step(l0, progress)
        self.threshold.clamp_(min=_MIN_THRESHOLD)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """The function with thresholds in raw units."""
        sae = super().folded(scale)
        sae.threshold.copy_(scale * self.threshold)
        return sae
