"""The entries of the pre-activation matrix that a training step needs: all of them, or a few.

Of a step's five dense products (encode, decode, and the gradients of the two matrices and of the
latents) only the first needs all latents. The others involve active entries alone, so where few are
active they become gathers (`torch.nn.functional.embedding_bag`). Architectures are written once, on
`ActiveEntries`; `choose` decides which form they take.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SPARSE_BELOW = 0.06
"""Share of active entries below which gathers beat dense products, measured on CPUs at 128 to 1024
dimensions."""


class DenseEntries:
    """All entries; matrix products.

    Args:
        x: Inputs [B, d].
        weight: Encoder [M, d].

    Attributes:
        pre_acts: x W_enc^T at each entry, with its gradient.
        batch_size: B.
    """

    def __init__(self, x: Tensor, weight: Tensor) -> None:
        self.pre_acts = x @ weight.T
        self.batch_size = len(x)

    def at(self, parameter: Tensor) -> Tensor:
        """A per-latent parameter [M], which broadcasts over rows."""
        return parameter

    def decode(self, values: Tensor, directions: Tensor) -> Tensor:
        """Sum over each row's entries of value * direction: [B, d]."""
        return values @ directions

    def fired(self, values: Tensor) -> Tensor:
        """Latents with a value above 0 in any row: bool [M]."""
        return (values > 0).any(0)


class SparseEntries:
    """Some entries, row by row; gathers.

    Args:
        x: Inputs [B, d].
        weight: Encoder [M, d].
        product: x @ weight.T [B, M] without gradient.
        active: Mask of the entries, bool [B, M].

    Attributes:
        pre_acts: x W_enc^T at each entry, with its gradient.
        batch_size: B.
    """

    def __init__(self, x: Tensor, weight: Tensor, product: Tensor, active: Tensor) -> None:
        self._row, self._latent = active.nonzero(as_tuple=True)
        self.batch_size, self._width = active.shape
        self._offsets = _offsets(self._row, self.batch_size)
        values = product[self._row, self._latent]
        self.pre_acts = _Products.apply(x, weight, values, self._latent, self._offsets)

    def at(self, parameter: Tensor) -> Tensor:
        """A per-latent parameter [M] at each entry's latent: [N]."""
        return parameter.index_select(0, self._latent)

    def decode(self, values: Tensor, directions: Tensor) -> Tensor:
        """Sum over each row's entries of value * direction, one bag per row: [B, d]."""
        return _bag(self._latent, directions, self._offsets, values)

    def prefixes(self, values: Tensor, directions: Tensor, ends: list[int]) -> list[Tensor]:
        """`decode` over the latents below each end, cumulative over blocks; ends ascend. A list of [B, d]."""
        parts = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            block = ((self._latent >= start) & (self._latent < end)).nonzero()[:, 0]
            offsets = _offsets(self._row[block], self.batch_size)
            parts.append(_bag(self._latent[block], directions, offsets, values[block]))
        return list(torch.stack(parts).cumsum(0))

    def fired(self, values: Tensor) -> Tensor:
        """Latents with a value above 0 in any row: bool [M]."""
        fired = torch.zeros(self._width, dtype=torch.bool, device=values.device)
        fired[self._latent[values > 0]] = True
        return fired


ActiveEntries = DenseEntries | SparseEntries
"""Entries (row, latent) of a matrix [B, M]; a value at each is a tensor [B, M] or [N]."""


def choose(x: Tensor, weight: Tensor, product: Tensor, active: Tensor) -> ActiveEntries:
    """The entries of a step: `SparseEntries` if few are active, otherwise all."""
    if active.count_nonzero() < SPARSE_BELOW * active.numel():
        return SparseEntries(x, weight, product, active)
    return DenseEntries(x, weight)


def _offsets(row: Tensor, batch_size: int) -> Tensor:
    """Where each row's entries begin, int64 [B], from the ascending rows [N] of the entries."""
    counts = torch.bincount(row, minlength=batch_size)
    return counts.cumsum(0) - counts


def _bag(latent: Tensor, weight: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    return F.embedding_bag(latent, weight, offsets, mode="sum", per_sample_weights=values)


class _Products(torch.autograd.Function):
    """x . weight at entries whose values are known; the gradient involves those entries alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, values: Tensor, latent: Tensor, offsets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, latent, offsets)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, weight, latent, offsets = ctx.saved_tensors
        # d/dx = sum of g * weight, a bag of weights; and d/dweight is that bag's own gradient at x.
        with torch.enable_grad():
            leaf = weight.detach().requires_grad_()
            to_x = _bag(latent, leaf, offsets, grads[0])
            (to_weight,) = torch.autograd.grad(to_x, leaf, x)
        return to_x.detach(), to_weight, None, None, None
