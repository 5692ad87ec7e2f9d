"""BatchTopK autoencoder (Bussmann et al. 2024, arXiv 2412.06410): the k * B largest latents of a batch.

An activation may use more or fewer than k latents. After training, an average of the smallest value
kept is the threshold of all latents, so that the function does not depend on a batch.
"""

import torch
from torch import Tensor

from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE
from basalt.probes.sae.topk import TopKTraining

_MEMORY = 0.99


class BatchTopKTraining(TopKTraining):
    """Training by the k * B largest latents of a batch."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.smallest_kept: float | None = None

    def active(self, pre_acts: Tensor) -> Tensor:
        """The k * B largest of the batch, as far as they are above 0."""
        wanted = self.config.k * len(pre_acts)
        # Sorting a few million values costs more than the gathers, so those that are surely too small,
        # judging by the last batches, are dropped first.
        likely = pre_acts.flatten()
        if self.smallest_kept is not None:
            some = likely[likely > 0.8 * self.smallest_kept]
            likely = some if len(some) >= wanted else likely
        cut = likely.topk(wanted, sorted=False).values.min().detach()
        if cut > 0:
            before = self.smallest_kept
            now = float(cut)
            self.smallest_kept = now if before is None else _MEMORY * before + (1 - _MEMORY) * now
        return pre_acts >= cut.clamp(min=torch.finfo(pre_acts.dtype).tiny)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """The function with one threshold for all latents."""
        sae = super().folded(scale)
        sae.k = None
        sae.threshold.fill_(scale * (self.smallest_kept or 0.0))
        return sae
