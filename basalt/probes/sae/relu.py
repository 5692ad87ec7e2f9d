"""ReLU autoencoder with an L1 penalty (Bricken et al. 2023, "Towards Monosemanticity").

    f = ReLU((x - b_dec) W_enc + b_enc)      loss = |x - x^|^2 + lambda |f|_1

The L1 term shrinks the latents that it keeps; the other architectures exist because of that.
"""

from torch import Tensor

from basalt.probes.sae.base import AdaptivePenalty, Objective, squared_error


class ReLUTraining(AdaptivePenalty):
    """Training with an L1 penalty."""

    def active(self, pre_acts: Tensor) -> Tensor:
        """Entries above 0."""
        return pre_acts > 0

    def objective(self, x: Tensor, dead: Tensor, progress: float) -> Objective:
        """The loss in the module's docstring."""
        entries = self.active_entries(x)
        f = (entries.pre_acts + entries.at(self.b_enc)).relu()
        error = squared_error(x, entries.decode(f, self.W_dec) + self.b_dec)
        l1 = f.sum() / entries.batch_size
        l0 = (f > 0).sum() / entries.batch_size
        loss = error + progress * self.sparsity_weight * l1
        return Objective(loss, l0, entries.fired(f))
