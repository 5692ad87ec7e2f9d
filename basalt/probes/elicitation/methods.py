"""Probes on contrast pairs: CCS, principal axis, k-means, and logistic regression as their supervised ceiling.

A pair is the activations x+ and x- of two inputs, of which a statement holds for exactly one. Both sides are centred
on their own mean over the pairs, so that what always differs between the sides does not count. All probes decide by the sign
of w . (x+ - x-) + c; CCS does because p(x) = sigmoid(w . x + b) is larger on the side on which w . x is.

Sources: CCS is that of Burns et al. 2023 (arXiv 2212.03827); the baselines on differences are those of Farquhar et al. 2023
(arXiv 2312.10029).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from basalt.probes.suite.concepts import fit_linear

EPOCHS, STARTS = 300, 10
"""Steps of CCS with all pairs in one batch, and random starts, of which that of the lowest loss is taken."""

ROUNDS = 50
"""Steps of k-means at most."""


class Sides(NamedTuple):
    """Activations of n contrast pairs, float [n, d] each.

    Attributes:
        plus: Those of the first input.
        minus: Those of the second input.
    """

    plus: Tensor
    minus: Tensor

    @property
    def difference(self) -> Tensor:
        """x+ - x-."""
        return self.plus - self.minus

    def without(self, directions: Tensor) -> "Sides":
        """The same with orthonormal directions [k, d] projected out."""
        return Sides(*(x - x @ directions.T @ directions for x in self))


class Normalisation(NamedTuple):
    """Mean of each side and scale of each coordinate over training pairs, float [d]."""

    plus: Tensor
    minus: Tensor
    scale: Tensor

    @classmethod
    def of(cls, sides: Sides) -> "Normalisation":
        """Those of some pairs."""
        means = (sides.plus.mean(0), sides.minus.mean(0))
        both = torch.cat([x - mean for x, mean in zip(sides, means, strict=True)])
        return cls(*means, both.std(0).clamp(min=1e-6))

    def __call__(self, sides: Sides) -> Sides:
        """Centre and scale pairs."""
        return Sides((sides.plus - self.plus) / self.scale, (sides.minus - self.minus) / self.scale)


class Fit(NamedTuple):
    """A probe.

    Attributes:
        weight: w, float [d].
        offset: c.
        bias: b of CCS; 0 for the others.
    """

    weight: Tensor
    offset: float = 0.0
    bias: float = 0.0

    def says(self, sides: Sides) -> Tensor:
        """Whether the statement holds for x+ rather than for x-, bool [n]; which way round is arbitrary."""
        return sides.difference @ self.weight + self.offset > 0

    def loss(self, sides: Sides) -> float:
        """CCS's loss on pairs."""
        p, q = (torch.sigmoid(x @ self.weight + self.bias) for x in sides)
        return float(consistency_loss(p, q))


def consistency_loss(p: Tensor, q: Tensor) -> Tensor:
    """CCS's loss of the probabilities of x+ and x-: they should add up to 1, and not both be one half.

    Args:
        p: Probabilities of x+, [n, ...].
        q: Probabilities of x-, same shape.

    Returns:
        mean (p - (1 - q))^2 + mean min(p, q)^2, [...].
    """
    return (p - (1 - q)).square().mean(0) + torch.minimum(p, q).square().mean(0)


def ccs_starts(sides: Sides, seed: int, starts: int = STARTS, epochs: int = EPOCHS) -> list[Fit]:
    """CCS from several random starts, the one of the lowest loss first.

    Args:
        sides: Normalised pairs.
        seed: Seed of the starts.
        starts: Number of starts.
        epochs: Number of AdamW steps, with all pairs in each.
    """
    generator = torch.Generator().manual_seed(seed)
    width = sides.plus.shape[1]
    weight = (torch.randn(starts, width, generator=generator) / width**0.5).requires_grad_()
    bias = torch.zeros(starts, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=1e-2, weight_decay=0.01)
    for _ in range(epochs):
        p, q = (torch.sigmoid(x @ weight.T + bias) for x in sides)
        optimizer.zero_grad()
        consistency_loss(p, q).sum().backward()
        optimizer.step()
    weight, bias = weight.detach(), bias.detach()
    found = [Fit(w, bias=float(b)) for w, b in zip(weight, bias, strict=True)]
    return sorted(found, key=lambda fit: fit.loss(sides))


def ccs(sides: Sides, seed: int) -> Fit:
    """Contrast-consistent search."""
    return ccs_starts(sides, seed)[0]


def principal_axis(sides: Sides, _seed: int = 0) -> Fit:
    """The first principal axis of the differences (CRC-TPC)."""
    difference = sides.difference
    return Fit(torch.linalg.svd(difference - difference.mean(0), full_matrices=False).Vh[0])


def k_means(sides: Sides, seed: int) -> Fit:
    """Two clusters of the differences, the best of some random starts; the probe separates their centres."""
    x = sides.difference
    generator = torch.Generator().manual_seed(seed)
    best, least = Fit(torch.zeros(x.shape[1])), float("inf")
    for _ in range(STARTS):
        centres = x[torch.randperm(len(x), generator=generator)[:2]]
        for _ in range(ROUNDS):
            nearest = torch.cdist(x, centres).argmin(1)
            if not 0 < int(nearest.sum()) < len(x):
                break
            moved = torch.stack([x[nearest == k].mean(0) for k in (0, 1)])
            if torch.equal(moved, centres):
                break
            centres = moved
        spread = float(torch.cdist(x, centres).amin(1).square().sum())
        if spread < least:
            weight = centres[1] - centres[0]
            best, least = Fit(weight, -float(weight @ centres.mean(0))), spread
    return best


def random_direction(sides: Sides, seed: int) -> Fit:
    """A random direction, the floor of every accuracy."""
    generator = torch.Generator().manual_seed(seed)
    return Fit(torch.randn(sides.plus.shape[1], generator=generator))


def supervised(train: Sides, truth: Tensor, test: Sides) -> Tensor:
    """What logistic regression on the differences, with labels, says about test pairs: bool [m].

    Args:
        train: Normalised training pairs.
        truth: Their labels, bool [n].
        test: Normalised test pairs.
    """
    return fit_linear(train.difference, truth[:, None]).scores(test.difference)[:, 0] > 0


UNSUPERVISED: dict[str, Callable[[Sides, int], Fit]] = {
    "ccs": ccs,
    "pca": principal_axis,
    "kmeans": k_means,
}
"""By name: a fit without labels to normalised pairs, from a seed."""
