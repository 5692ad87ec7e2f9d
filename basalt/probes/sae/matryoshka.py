"""Matryoshka BatchTopK autoencoder (Bussmann et al. 2025, arXiv 2503.17547).

The loss is the mean over nested prefixes of the latents (the first eighth, quarter, half, all) of each
prefix's own reconstruction error, so that the first latents stay general however many follow.
"""

from torch import Tensor

from basalt.probes.sae.active_entries import SparseEntries
from basalt.probes.sae.batchtopk import BatchTopKTraining

PREFIXES = (1 / 8, 1 / 4, 1 / 2, 1.0)


class MatryoshkaTraining(BatchTopKTraining):
    """BatchTopK training on nested prefixes."""

    def reconstructions(self, entries: SparseEntries, f: Tensor) -> list[Tensor]:
        """One reconstruction per prefix."""
        ends = sorted({max(1, round(share * self.config.width)) for share in PREFIXES})
        return entries.prefixes(f, self.W_dec, ends)
