"""The pre-activations that matter: all of them, or a few picked ones.

Of a training step's five dense products (encode, decode, and the gradients of the two matrices and of
the latents) only the first needs all latents. The others touch the active ones alone, so where few are
active they become gathers, `torch.nn.functional.embedding_bag`. Architectures are written once, on
entries; `choose` decides which form they take.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

PICKED_BELOW = 0.06
"""Share of picked entries below which gathers beat dense products, measured on CPUs at 128 to 1024
dimensions."""


class Entries(Protocol):
    """Places (row, latent) of a [B, M] matrix. "A value at each" is a tensor [B, M] or [N] alike."""

    u: Tensor
    """x W_enc^T at each entry, with its gradient."""
    rows: int

    def at(self, parameter: Tensor) -> Tensor:
        """A latent's parameter [M] at each entry."""
        ...

    def decode(self, values: Tensor, directions: Tensor) -> Tensor:
        """Sum over a row's entries of value * direction: [B, d]."""
        ...

    def prefixes(self, values: Tensor, directions: Tensor, ends: list[int]) -> list[Tensor]:
        """As `decode` over the latents below each end, ends rising: a list of [B, d]."""
        ...

    def fired(self, values: Tensor) -> Tensor:
        """bool [M], latents with a value above 0 in any row."""
        ...


class Dense:
    """Every entry; plain products."""

    def __init__(self, x: Tensor, weight: Tensor) -> None:
        self.u = x @ weight.T
        self.rows = len(x)

    def at(self, parameter: Tensor) -> Tensor:
        """[M], broadcast over rows."""
        return parameter

    def decode(self, values: Tensor, directions: Tensor) -> Tensor:
        """[B, M] @ [M, d]."""
        return values @ directions

    def prefixes(self, values: Tensor, directions: Tensor, ends: list[int]) -> list[Tensor]:
        """See `Entries`."""
        starts = [0, *ends[:-1]]
        parts = [values[:, a:b] @ directions[a:b] for a, b in zip(starts, ends, strict=True)]
        return list(torch.stack(parts).cumsum(0))

    def fired(self, values: Tensor) -> Tensor:
        """See `Entries`."""
        return (values > 0).any(0)


class Picked:
    """Some entries, row by row; their products by gathers.

    Args:
        x: [B, d].
        weight: encoder [M, d].
        product: x @ weight.T [B, M] without gradient.
        picked: bool [B, M].
    """

    def __init__(self, x: Tensor, weight: Tensor, product: Tensor, picked: Tensor) -> None:
        self._row, self._latent = picked.nonzero(as_tuple=True)
        self.rows, self._width = picked.shape
        self._offsets = _offsets(self._row, self.rows)
        values = product[self._row, self._latent]
        self.u = _Products.apply(x, weight, values, self._latent, self._offsets)

    def at(self, parameter: Tensor) -> Tensor:
        """[N]."""
        return parameter.index_select(0, self._latent)

    def decode(self, values: Tensor, directions: Tensor) -> Tensor:
        """See `Entries`."""
        return _bag(self._latent, directions, self._offsets, values)

    def prefixes(self, values: Tensor, directions: Tensor, ends: list[int]) -> list[Tensor]:
        """See `Entries`."""
        parts = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            here = ((self._latent >= start) & (self._latent < end)).nonzero()[:, 0]
            offsets = _offsets(self._row[here], self.rows)
            parts.append(_bag(self._latent[here], directions, offsets, values[here]))
        return list(torch.stack(parts).cumsum(0))

    def fired(self, values: Tensor) -> Tensor:
        """See `Entries`."""
        fired = torch.zeros(self._width, dtype=torch.bool, device=values.device)
        fired[self._latent[values > 0]] = True
        return fired


def choose(x: Tensor, weight: Tensor, product: Tensor, picked: Tensor) -> Entries:
    """The entries of a step, `Picked` where they are few."""
    if picked.count_nonzero() < PICKED_BELOW * picked.numel():
        return Picked(x, weight, product, picked)
    return Dense(x, weight)


def _offsets(row: Tensor, rows: int) -> Tensor:
    """Where each row's entries begin, int64 [B], of their ascending rows [N]."""
    counts = torch.bincount(row, minlength=rows)
    return counts.cumsum(0) - counts


def _bag(latent: Tensor, weight: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    return F.embedding_bag(latent, weight, offsets, mode="sum", per_sample_weights=values)


class _Products(torch.autograd.Function):
    """x . weight at chosen entries whose values are known; the gradient touches those entries alone."""

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
