"""Advantages: how much better than usual what followed a step was."""

import numpy as np
from numpy.typing import NDArray

from basalt.data.components import principal_components

COMPONENTS = 32
"""Number of principal components of a latent by which its value is predicted."""

PENALTY = 1e-2
"""Ridge penalty of the prediction, relative to components of unit variance."""


def returns_of(rewards: NDArray[np.floating], horizon: int) -> NDArray[np.float64]:
    """Mean reward of each step and the next ones, up to `horizon` of them or the end of the episode, float64 [n].

    A mean and not a sum, so that the steps before an end are not worth less for being fewer.
    """
    total = np.concatenate([[0.0], np.cumsum(rewards, dtype=np.float64)])
    stop = np.minimum(np.arange(len(rewards)) + horizon, len(rewards))
    start = np.arange(len(rewards))
    return np.asarray((total[stop] - total[start]) / (stop - start))


def advantages(latents: NDArray[np.floating], returns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns minus what the latents predict of them, with mean 0 and unit variance, float64 [n].

    Args:
        latents: Latents of the steps, float [n, width].
        returns: Returns of the steps, float [n].
    """
    mean, basis = principal_components(latents, min(COMPONENTS, latents.shape[1], len(latents) - 1))
    z = (latents.astype(np.float32) - mean) @ basis
    z = np.column_stack([z / np.maximum(z.std(0), 1e-6), np.ones(len(z))]).astype(np.float64)
    weights = np.linalg.solve(z.T @ z + PENALTY * len(z) * np.eye(z.shape[1]), z.T @ returns)
    residual = returns - z @ weights
    residual -= residual.mean()
    return np.asarray(residual / max(float(residual.std()), 1e-12))
