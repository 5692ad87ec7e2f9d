"""Principal components of latents, from a sample where there are many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE = 100_000
"""Largest number of frames from which the principal components are computed, spread evenly."""


def principal_components(
    latents: NDArray[np.floating[Any]], components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean float32 [width] and the first principal components, float32 [width, components].

    Args:
        latents: Latents of frames, float [n, width].
        components: Number of components, at most the width.
    """
    step = -(-len(latents) // SAMPLE)
    sample = latents[::step].astype(np.float32)
    mean = sample.mean(axis=0)
    centred = sample - mean
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    basis = vectors[:, ::-1][:, :components]
    # A component's sign is arbitrary; this choice does not depend on the linear algebra library.
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(components)])
    return mean.astype(np.float32), np.ascontiguousarray(basis, dtype=np.float32)
