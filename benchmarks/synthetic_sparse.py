"""Synthetic sparse activations with known features, and how many of them an autoencoder recovers."""

from typing import NamedTuple

import torch
from torch import Tensor

from basalt.probes.sae.model import SAE

_PART = 50_000


class SyntheticData(NamedTuple):
    """Sparse sums of known directions.

    Attributes:
        activations: float32 [n, d].
        directions: float32 [features, d], unit length.
        active: Which features are in which sum, bool [n, features].
    """

    activations: Tensor
    directions: Tensor
    active: Tensor

    def split(self, n: int) -> tuple["SyntheticData", "SyntheticData"]:
        """The first n activations, and the others."""
        first, others = (
            SyntheticData(self.activations[rows], self.directions, self.active[rows])
            for rows in (slice(n), slice(n, None))
        )
        return first, others


def synthetic(n: int, *, features: int, d: int, l0: float, seed: int) -> SyntheticData:
    """Independent features, `l0` of them active on average, of size 1 + |N(0, 1/4)|, with a little noise.

    Args:
        n: Number of activations.
        features: Number of directions.
        d: Dimensions.
        l0: Mean number of active features.
        seed: Seed of all draws; another n keeps the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(features, d, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    parts, active = [], []
    for start in range(0, n, _PART):  # the sizes alone would be n * features floats
        count = min(_PART, n - start)
        on = torch.rand(count, features, generator=generator) < l0 / features
        size = 1 + 0.25 * torch.randn(count, features, generator=generator).abs()
        noise = 0.01 * torch.randn(count, d, generator=generator)
        parts.append((on * size) @ directions + noise)
        active.append(on)
    return SyntheticData(torch.cat(parts), directions, torch.cat(active))


def mean_max_cosine(found: Tensor, directions: Tensor) -> float:
    """Mean over known directions [k, d] of the largest |cosine| with a found one [m, d].

    Chance is not 0: print the value of random directions beside it.
    """
    return float(_cosines(found, directions).max(1).values.mean())


def chance_of(directions: Tensor, width: int) -> float:
    """`mean_max_cosine` of `width` random directions."""
    generator = torch.Generator().manual_seed(9)
    found = torch.randn(width, directions.shape[1], generator=generator)
    return mean_max_cosine(found.to(directions), directions)


@torch.no_grad()
def recovery(sae: SAE, held_out: SyntheticData) -> dict[str, float]:
    """How much of the known dictionary an autoencoder recovered, on activations it was not trained on.

    Returns:
        `mmcs`: mean max cosine; `recovered`: share of features with a cosine of at least 0.9; `f1`: mean
        over features of the F1 score of the latent nearest in direction as a detector of the feature;
        `unexplained`: squared error over the variance; `l0`: active latents per activation.
    """
    cosines = _cosines(sae.W_dec, held_out.directions)
    latents = sae.encode(held_out.activations)
    x = held_out.activations
    error = (sae.decode(latents) - x).square().sum() / (x - x.mean(0)).square().sum()
    fires = latents[:, cosines.argmax(1)] > 0
    both = (fires & held_out.active).sum(0)
    f1 = 2 * both / (fires.sum(0) + held_out.active.sum(0)).clamp(min=1)
    best = cosines.max(1).values
    return {
        "mmcs": float(best.mean()),
        "recovered": float((best >= 0.9).float().mean()),
        "f1": float(f1.mean()),
        "unexplained": float(error),
        "l0": float((latents > 0).sum(1).float().mean()),
    }


def _cosines(found: Tensor, directions: Tensor) -> Tensor:
    """|cosine| [k, m] of known directions [k, d] and found ones [m, d]."""
    found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)
    directions = directions / directions.norm(dim=1, keepdim=True)
    return (directions @ found.T).abs()
