"""TopK autoencoder (Gao et al. 2024, arXiv 2406.04093): the k largest latents of each activation.

    f = TopK(ReLU((x - b_dec) W_enc + b_enc))      loss = |x - x^|^2 + aux

AuxK: silent latents rebuild the error with their own largest pre-activations, `aux` times its normalised
squared error, so that they come back to life.
"""

from __future__ import annotations

import torch
from torch import Tensor

from basalt.probes.sae.base import Objective, TrainingSAE, squared_error
from basalt.probes.sae.entries import Picked
from basalt.probes.sae.model import SAE


def top_of_rows(pre: Tensor, k: int) -> Tensor:
    """bool [B, M]: the k largest of each row, those above 0 only."""
    values, places = pre.topk(k, dim=1, sorted=False)
    return torch.zeros_like(pre, dtype=torch.bool).scatter_(1, places, values > 0)


class TopKTraining(TrainingSAE):
    """See the module."""

    def start_above(self, value: float) -> None:
        """Counting alone decides; biases begin at 0."""

    def picked(self, pre: Tensor) -> Tensor:
        """The k largest of each row."""
        return top_of_rows(pre, self.config.k)

    def objective(self, x: Tensor, silent: Tensor, progress: float) -> Objective:
        """See the module."""
        centred = x - self.b_dec
        with torch.no_grad():
            product = centred @ self.W_enc.T
            pre = product + self.b_enc
            picked = self.picked(pre)
        entries = Picked(centred, self.W_enc, product, picked)
        f = (entries.u + entries.at(self.b_enc)).relu()
        rebuilt = [part + self.b_dec for part in self.reconstructions(entries, f)]
        errors = [squared_error(x, part) for part in rebuilt]
        loss = torch.stack(errors).mean()
        if silent.any() and self.config.aux:
            loss = loss + self.config.aux * self._auxiliary(
                x - rebuilt[-1].detach(), centred, product, pre, silent
            )
        l0 = (f > 0).sum() / entries.rows
        return Objective(loss, errors[-1], l0, entries.fired(f))

    def reconstructions(self, entries: Picked, f: Tensor) -> list[Tensor]:
        """What the loss compares with the activation, without `b_dec`; the last one is the whole."""
        return [entries.decode(f, self.W_dec)]

    def _auxiliary(
        self, error: Tensor, centred: Tensor, product: Tensor, pre: Tensor, silent: Tensor
    ) -> Tensor:
        """Normalised squared error of the silent latents' own reconstruction of `error` [B, d]."""
        dead = silent.nonzero()[:, 0]
        k = min(max(error.shape[1] // 2, 1), len(dead))
        with torch.no_grad():
            places = dead[pre[:, dead].topk(k, dim=1, sorted=False).indices]
            picked = torch.zeros_like(pre, dtype=torch.bool).scatter_(1, places, True)
        entries = Picked(centred.detach(), self.W_enc, product, picked)
        f = (entries.u + entries.at(self.b_enc)).relu()
        rebuilt = entries.decode(f, self.W_dec)
        spread = (error - error.mean(0)).square().sum(1).mean()
        return (squared_error(error, rebuilt) / spread.clamp(min=1e-12)).nan_to_num(0.0)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """Counts, as in training."""
        sae = super().folded(scale)
        sae.k = self.config.k
        return sae
