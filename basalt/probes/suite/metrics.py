"""How well a sparse autoencoder reconstructs activations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.probes.records import Estimate, ReconstructionMetrics
from basalt.probes.sae.model import SAE

DENSITY_BINS = np.arange(-5, 0.5, 0.5)
"""Edges of the histogram of log10(share of frames on which a latent fires)."""


class Reconstruction(NamedTuple):
    """An autoencoder's reconstruction x^ of held-out activations x [n, d], summed over each episode's rows.

    Attributes:
        rows: Rows of each episode, int64 [episodes].
        sums: By name float64 [episodes], about the mean m of all rows: `error` |x - x^|^2, `spread`
            |x - m|^2, `length` |x^ - m|^2, `overlap` (x^ - m) . (x - m), `active` latents.
        dead_share: Share of latents that fire on none of the rows.
    """

    rows: NDArray[np.int64]
    sums: dict[str, NDArray[np.float64]]
    dead_share: float

    def metrics(self) -> ReconstructionMetrics:
        """The metrics, with intervals over episodes.

        Returns:
            `variance_explained` is 1 - sum|x - x^|^2 / sum|x - m|^2; `gamma` is E|x^|^2 / E[x^ . x] about
            the mean (Rajamanoharan et al. 2024, arXiv 2404.16014).
        """
        sums = self.sums
        return ReconstructionMetrics(
            variance_explained=Estimate.ratio(sums["spread"] - sums["error"], sums["spread"]),
            l0=Estimate.ratio(sums["active"], self.rows),
            gamma=Estimate.ratio(sums["length"], sums["overlap"]),
            dead_share=self.dead_share,
        )

    def per_episode(self) -> dict[str, tuple[float, ...]]:
        """The sums, from which intervals can be computed again."""
        return {
            name: tuple(each.tolist()) for name, each in {"rows": self.rows, **self.sums}.items()
        }


@torch.no_grad()
def reconstruction(
    sae: SAE, activations: Tensor, episode: NDArray[np.int64] | None = None
) -> Reconstruction:
    """Reconstruct raw activations that the autoencoder was not trained on.

    Args:
        sae: Autoencoder on the CPU.
        activations: Raw activations on the CPU, float32 [n, d].
        episode: Episode of each row, int64 [n]; None counts all rows as one episode, so that no metric
            has an interval.
    """
    if episode is None:
        episode = np.zeros(len(activations), dtype=np.int64)
    latents = sae.encode(activations)
    centre = activations.mean(0)
    x, x_hat = activations - centre, sae.decode(latents) - centre
    each = {
        "error": (x - x_hat).square().sum(1),
        "spread": x.square().sum(1),
        "length": x_hat.square().sum(1),
        "overlap": (x * x_hat).sum(1),
        "active": (latents > 0).sum(1),
    }
    sums = {name: by_episode(values, episode) for name, values in each.items()}
    dead = (latents <= 0).all(0).float().mean()
    return Reconstruction(np.unique(episode, return_counts=True)[1], sums, float(dead))


def by_episode(values: Tensor, episode: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of values [n] over each episode's rows; `episode` is that of each row [n]. float64 [episodes]."""
    index = np.unique(episode, return_inverse=True)[1]
    return np.bincount(index, weights=values.double().cpu().numpy()).astype(np.float64)


@torch.no_grad()
def principal_components(training: Tensor, values: Tensor) -> Tensor:
    """Coordinates [n, min(m, d)] of raw activations [n, d] on the principal axes of training ones [m, d]."""
    centre = training.mean(0)
    axes = torch.linalg.svd(training - centre, full_matrices=False).Vh
    return (values - centre) @ axes.T


@torch.no_grad()
def principal_unexplained(
    training: Tensor, held_out: Tensor, k: int, episode: NDArray[np.int64]
) -> Estimate:
    """Share of held-out variance that the first k principal axes of training activations leave.

    A dense counterpart of k active latents: the axes are the same at every frame, while a dictionary
    chooses its directions.

    Args:
        training: Raw activations [m, d].
        held_out: Raw activations [n, d].
        k: Number of axes.
        episode: Episode of each held-out row, int64 [n].
    """
    kept = principal_components(training, held_out)[:, :k].square().sum(1)
    away = (held_out - training.mean(0)).square().sum(1)
    spread = (held_out - held_out.mean(0)).square().sum(1)
    return Estimate.ratio(by_episode(away - kept, episode), by_episode(spread, episode))


def density_histogram(density: Sequence[float]) -> tuple[int, ...]:
    """Latents counted by log10 of the share of frames they fire on; dead latents are in no bin."""
    alive = np.log10([share for share in density if share > 0])
    counts, _ = np.histogram(alive.clip(DENSITY_BINS[0], None), bins=DENSITY_BINS)
    return tuple(counts.tolist())
