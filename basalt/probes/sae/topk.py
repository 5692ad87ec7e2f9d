"""TopK autoencoder (Gao et al. 2024, arXiv 2406.04093): the k largest latents of each activation.

    f = TopK(ReLU((x - b_dec) W_enc + b_enc))      loss = |x - x^|^2 + aux

AuxK: dead latents reconstruct the error with their own largest pre-activations, `aux` times its
normalised squared error, so that they become active again.
"""

import torch
from torch import Tensor

from basalt.probes.sae.active_entries import SparseEntries
from basalt.probes.sae.base import Objective, TrainingSAE, squared_error
from basalt.probes.sae.model import SAE


class TopKTraining(TrainingSAE):
    """Training by the k largest latents of each activation."""

    def start_above(self, value: float) -> None:
        """Nothing: k alone decides, so biases start at 0."""

    def active(self, pre_acts: Tensor) -> Tensor:
        """The k largest of each row, as far as they are above 0."""
        values, places = pre_acts.topk(self.config.k, dim=1, sorted=False)
        return torch.zeros_like(pre_acts, dtype=torch.bool).scatter_(1, places, values > 0)

    def objective(self, x: Tensor, dead: Tensor, progress: float) -> Objective:
        """The loss in the module's docstring."""
        centred = x - self.b_dec
        with torch.no_grad():
            product = centred @ self.W_enc.T
            pre_acts = product + self.b_enc
            active = self.active(pre_acts)
        entries = SparseEntries(centred, self.W_enc, product, active)
        f = (entries.pre_acts + entries.at(self.b_enc)).relu()
        reconstructions = [part + self.b_dec for part in self.reconstructions(entries, f)]
        loss = torch.stack([squared_error(x, part) for part in reconstructions]).mean()
        if dead.any() and self.config.aux:
            loss = loss + self.config.aux * self._auxiliary(
                x - reconstructions[-1].detach(), centred, product, pre_acts, dead
            )
        l0 = (f > 0).sum() / entries.batch_size
        return Objective(loss, l0, entries.fired(f))

    def reconstructions(self, entries: SparseEntries, f: Tensor) -> list[Tensor]:
        """The terms that the loss compares with the activation, without `b_dec`; the last uses all latents."""
        return [entries.decode(f, self.W_dec)]

    def _auxiliary(
        self, error: Tensor, centred: Tensor, product: Tensor, pre_acts: Tensor, dead: Tensor
    ) -> Tensor:
        """Normalised squared error of the dead latents' own reconstruction of `error` [B, d]."""
        latents = dead.nonzero()[:, 0]
        k = min(max(error.shape[1] // 2, 1), len(latents))
        with torch.no_grad():
            places = latents[pre_acts[:, latents].topk(k, dim=1, sorted=False).indices]
            active = torch.zeros_like(pre_acts, dtype=torch.bool).scatter_(1, places, True)
        entries = SparseEntries(centred.detach(), self.W_enc, product, active)
        f = (entries.pre_acts + entries.at(self.b_enc)).relu()
        reconstruction = entries.decode(f, self.W_dec)
        spread = (error - error.mean(0)).square().sum(1).mean()
        return (squared_error(error, reconstruction) / spread.clamp(min=1e-12)).nan_to_num(0.0)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """The function that keeps the k largest, as in training."""
        sae = super().folded(scale)
        sae.k = self.config.k
        return sae
