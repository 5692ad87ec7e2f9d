"""Gated autoencoder (Rajamanoharan et al. 2024, arXiv 2404.16014), gate and magnitude with tied weights.

    u = (x - b_dec) W_enc      pi = u + b_gate      f = [pi > 0] ReLU(exp(r_mag) u + b_mag)
    loss = |x - x^(f)|^2 + lambda |ReLU(pi)|_1 + |x - x^_frozen(ReLU(pi))|^2

`x^_frozen` is the decoder without gradients: the gate learns from it which latents matter, the decoder
does not learn to bear the penalty's shrinkage.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from basalt.probes.sae.base import Objective, SteeredPenalty, squared_error
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE


class GatedTraining(SteeredPenalty):
    """See the module. `b_enc` is the gate's bias."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.r_mag = nn.Parameter(torch.zeros(config.width))
        self.b_mag = nn.Parameter(torch.zeros(config.width))

    def picked(self, pre: Tensor) -> Tensor:
        """Those whose gate is open; a closed one takes no gradient."""
        return pre > 0

    def objective(self, x: Tensor, silent: Tensor, progress: float) -> Objective:
        """See the module."""
        entries = self.entries(x)
        gate = (entries.u + entries.at(self.b_enc)).relu()
        size = (entries.at(self.r_mag.exp()) * entries.u + entries.at(self.b_mag)).relu()
        f = (gate > 0) * size
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        frozen = entries.decode(gate, self.W_dec.detach()) + self.b_dec.detach()
        l1 = gate.sum() / entries.rows
        l0 = (f > 0).sum() / entries.rows
        loss = error + progress * self.strength * l1 + squared_error(x, frozen)
        return Objective(loss, error, l0, entries.fired(f))

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """Gate and magnitude as one jump: pi > 0 is exp(r) u + b_mag > b_mag - exp(r) b_gate."""
        sae = super().folded(scale)
        gain = self.r_mag.exp()
        sae.W_enc.mul_(gain)
        sae.b_enc.copy_(scale * (self.b_mag - gain * (self.W_enc @ self.b_dec)))
        sae.threshold.copy_((scale * (self.b_mag - gain * self.b_enc)).clamp(min=0))
        return sae
