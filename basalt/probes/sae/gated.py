"""Gated autoencoder (Rajamanoharan et al. 2024, arXiv 2404.16014), gate and magnitude with tied weights.

    u = (x - b_dec) W_enc      pi = u + b_gate      f = [pi > 0] ReLU(exp(r_mag) u + b_mag)
    loss = |x - x^(f)|^2 + lambda |ReLU(pi)|_1 + |x - x^_frozen(ReLU(pi))|^2

`x^_frozen` is the decoder without gradients: the gate learns from it which latents matter, while the
decoder does not adapt to the penalty's shrinkage.
"""

import torch
from torch import Tensor, nn

from basalt.probes.sae.base import AdaptivePenalty, Objective, squared_error
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE


class GatedTraining(AdaptivePenalty):
    """Training of gate and magnitude; `b_enc` is the gate's bias."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.r_mag = nn.Parameter(torch.zeros(config.width))
        self.b_mag = nn.Parameter(torch.zeros(config.width))

    def active(self, pre_acts: Tensor) -> Tensor:
        """Entries whose gate is open; a closed one takes no gradient."""
        return pre_acts > 0

    def objective(self, x: Tensor, dead: Tensor, progress: float) -> Objective:
        """The loss in the module's docstring."""
        entries = self.active_entries(x)
        u = entries.pre_acts
        gate = (u + entries.at(self.b_enc)).relu()
        magnitude = (entries.at(self.r_mag.exp()) * u + entries.at(self.b_mag)).relu()
        f = (gate > 0) * magnitude
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        frozen = entries.decode(gate, self.W_dec.detach()) + self.b_dec.detach()
        l1 = gate.sum() / entries.batch_size
        l0 = (f > 0).sum() / entries.batch_size
        loss = error + progress * self.sparsity_weight * l1 + squared_error(x, frozen)
        return Objective(loss, l0, entries.fired(f))

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """Gate and magnitude as one jump: pi > 0 is exp(r) u + b_mag > b_mag - exp(r) b_gate."""
        sae = super().folded(scale)
        gain = self.r_mag.exp()
        sae.W_enc.mul_(gain)
        sae.b_enc.copy_(scale * (self.b_mag - gain * (self.W_enc @ self.b_dec)))
        sae.threshold.copy_((scale * (self.b_mag - gain * self.b_enc)).clamp(min=0))
        return sae
