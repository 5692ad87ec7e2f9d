"""Features of an activation, each with a value and a direction: latents, neurons, principal axes, random directions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from basalt.probes.sae.model import SAE


class Basis(NamedTuple):
    """Features of activations of width d.

    Attributes:
        name: What they are.
        encode: Values [n, K] of activations [n, d].
        directions: What a unit of each adds to the activation, [K, d].
    """

    name: str
    encode: Callable[[Tensor], Tensor]
    directions: Tensor

    def removed(self, x: Tensor, chosen: Tensor, mean: Tensor) -> Tensor:
        """Activations [n, d] with some features held at their mean.

        Args:
            x: Activations.
            chosen: Numbers of the features [k].
            mean: Their means over training activations [k].
        """
        return x - (self.encode(x)[:, chosen] - mean) @ self.directions[chosen]


def latents(name: str, sae: SAE) -> Basis:
    """The latents of an autoencoder; its error stays in the activation."""
    return Basis(name, sae.encode, sae.W_dec)


def controls(x: Tensor, seed: int) -> list[Basis]:
    """Neurons, principal axes of training activations [n, d], and an orthonormal basis of random directions."""
    width = x.shape[1]
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh
    generator = torch.Generator().manual_seed(seed)
    random = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q.T
    return [
        Basis("neurons", lambda values: values, torch.eye(width)),
        Basis("principal axes", lambda values: values @ axes.T, axes),
        Basis("random directions", lambda values: values @ random.T, random),
    ]
