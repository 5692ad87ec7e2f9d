"""ReLU autoencoder with an L1 penalty (Bricken et al. 2023, "Towards Monosemanticity").

    f = ReLU((x - b_dec) W_enc + b_enc)      loss = |x - x^|^2 + lambda |f|_1

The L1 term shrinks what it keeps; the other architectures exist because of that.
"""

from __future__ import annotations

from torch import Tensor

from basalt.probes.sae.base import Objective, SteeredPenalty, squared_error


class ReLUTraining(SteeredPenalty):
    """See the module."""

    def picked(self, pre: Tensor) -> Tensor:
        """The active ones."""
        return pre > 0

    def objective(self, x: Tensor, silent: Tensor, progress: float) -> Objective:
        """See the module."""
        entries = self.entries(x)
        f = (entries.u + entries.at(self.b_enc)).relu()
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        l1 = f.sum() / entries.rows
        l0 = (f > 0).sum() / entries.rows
        return Objective(error + progress * self.strength * l1, error, l0, entries.fired(f))
