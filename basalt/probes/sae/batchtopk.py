"""BatchTopK autoencoder (Bussmann et al. 2024, arXiv 2412.06410): the k * B largest latents of a batch.

Activations then share the latents out among themselves. After training an average of the smallest value
kept is the threshold of all latents, so that the function does not depend on a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE
from basalt.probes.sae.topk import TopKTraining

_MEMORY = 0.99


class BatchTopKTraining(TopKTraining):
    """See the module."""

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__(d_in, config)
        self.smallest_kept: float | None = None

    def picked(self, pre: Tensor) -> Tensor:
        """The k * B largest of the batch, those above 0 only."""
        wanted = self.config.k * len(pre)
        # Sorting a few million values costs more than the gathers: first drop those that are surely
        # too small, going by the last batches.
        likely = pre.flatten()
        if self.smallest_kept is not None:
            some = likely[likely > 0.8 * self.smallest_kept]
            likely = some if len(some) >= wanted else likely
        cut = likely.topk(wanted, sorted=False).values.min().detach()
        if cut > 0:
            before = self.smallest_kept
            now = float(cut)
            self.smallest_kept = now if before is None else _MEMORY * before + (1 - _MEMORY) * now
        return pre >= cut.clamp(min=torch.finfo(pre.dtype).tiny)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """With one threshold for all."""
        sae = super().folded(scale)
        sae.k = None
        sae.threshold.fill_(scale * (self.smallest_kept or 0.0))
        return sae
