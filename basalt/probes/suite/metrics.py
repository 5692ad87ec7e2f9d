"""How well a sparse autoencoder stands in for an activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.intervals import with_intervals
from basalt.data.dataset import Episode
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.patching import Variant, constant, splice_all
from basalt.probes.sae import SAE

DENSITY_BINS = np.arange(-5, 0.5, 0.5)
"""Edges of the histogram of log10(share of frames on which a latent fires)."""


class Rebuilt(NamedTuple):
    """What an autoencoder made of held-out activations x [n, d], x^: sums over each episode's rows.

    Attributes:
        rows: int64 [episodes].
        sums: by name float64 [episodes], about the mean m of all rows: `error` |x - x^|^2, `spread`
            |x - m|^2, `length` |x^ - m|^2, `overlap` (x^ - m) . (x - m), `active` latents.
        dead_share: share of latents that never fire here.
    """

    rows: NDArray[np.int64]
    sums: dict[str, NDArray[np.float64]]
    dead_share: float

    def figures(self) -> dict[str, Any]:
        """JSON-ready, with intervals over episodes, `NAME_interval`, all but `dead_share`.

        Returns:
            `variance_explained`: 1 - sum|x - x^|^2 / sum|x - m|^2, below 0 where the mean would do better;
            `l0`: active latents per frame; `gamma`: E|x^|^2 / E[x^ . x] about the mean, below 1 where
            reconstructions are too short (Rajamanoharan et al. 2024, arXiv 2404.16014); `dead_share`.
        """
        sums = self.sums
        return with_intervals(
            {
                "variance_explained": (sums["spread"] - sums["error"], sums["spread"]),
                "l0": (sums["active"], self.rows),
                "gamma": (sums["length"], sums["overlap"]),
            }
        ) | {"dead_share": self.dead_share}

    def per_episode(self) -> dict[str, list[float]]:
        """The sums themselves, JSON-ready."""
        return {"rows": self.rows.tolist()} | {k: each.tolist() for k, each in self.sums.items()}


@torch.no_grad()
def reconstruction(
    sae: SAE, activations: Tensor, episode: NDArray[np.int64] | None = None
) -> Rebuilt:
    """An autoencoder on raw activations that it was not trained on.

    Args:
        sae: on the CPU, as they are.
        activations: float32 [n, d].
        episode: int64 [n], which episode each row is of; without it all are one, and nothing has an
            interval.
    """
    if episode is None:
        episode = np.zeros(len(activations), dtype=np.int64)
    latents = sae.encode(activations)
    centre = activations.mean(0)
    x, rebuilt = activations - centre, sae.decode(latents) - centre
    each = {
        "error": (x - rebuilt).square().sum(1),
        "spread": x.square().sum(1),
        "length": rebuilt.square().sum(1),
        "overlap": (x * rebuilt).sum(1),
        "active": (latents > 0).sum(1),
    }
    sums = {name: by_episode(values, episode) for name, values in each.items()}
    dead = (latents <= 0).all(0).float().mean()
    return Rebuilt(np.unique(episode, return_counts=True)[1], sums, float(dead))


def by_episode(values: Tensor, episode: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of values [n] over the rows of each episode [n] that has any: float64 [episodes]."""
    place = np.unique(episode, return_inverse=True)[1]
    return np.bincount(place, weights=values.double().cpu().numpy()).astype(np.float64)


@torch.no_grad()
def principal_components(training: Tensor, values: Tensor) -> Tensor:
    """Raw activations [n, d] in the coordinates [n, min(m, d)] of training activations' [m, d] principal axes."""
    centre = training.mean(0)
    axes = torch.linalg.svd(training - centre, full_matrices=False).Vh
    return (values - centre) @ axes.T


@torch.no_grad()
def principal_unexplained(
    training: Tensor, held_out: Tensor, k: int, episode: NDArray[np.int64]
) -> dict[str, Any]:
    """Share of held-out variance that the k first principal axes of training activations leave.

    As dense as k active latents are sparse: axes are the same at every frame, a dictionary's are chosen.

    Returns:
        `value` and its `interval` over the held-out rows' episodes [n].
    """
    kept = principal_components(training, held_out)[:, :k].square().sum(1)
    away = (held_out - training.mean(0)).square().sum(1)
    spread = (held_out - held_out.mean(0)).square().sum(1)
    ratio = with_intervals(
        {"share": (by_episode(away - kept, episode), by_episode(spread, episode))}
    )
    return {"value": ratio["share"], "interval": ratio["share_interval"]}


@torch.no_grad()
def density_histogram(density: Tensor) -> list[int]:
    """Latents by log10 of the share [M] of frames they fire on; the dead are in none of `DENSITY_BINS`."""
    alive = density[density > 0].double().log10().cpu().numpy()
    counts, _ = np.histogram(alive.clip(DENSITY_BINS[0], None), bins=DENSITY_BINS)
    return [int(count) for count in counts]


def splice(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    site: str,
    sae: SAE,
    mean: Tensor,
    encoded: Sequence[Tensor],
) -> dict[str, Any]:
    """Behavioural-cloning loss with the site's activation replaced by its reconstruction.

    Args:
        policy: in evaluation mode.
        episodes: held-out ones.
        site: the autoencoder's.
        sae: on the policy's device.
        mean: float [d], the site's mean activation on training episodes.
        encoded: the episodes' encoded frames.

    Returns:
        Losses in nats per frame: `loss_clean`, `loss_spliced`, and two ablations that say what the
        site is worth, `loss_zero` and `loss_mean`; `bc_loss_change` = spliced - clean, with
        `bc_loss_change_interval` over episodes; `loss_recovered` = (zero - spliced) / (zero - clean),
        None where ablation does not cost anything.
    """
    variants = {
        "spliced": Variant(site, sae),
        "zero": Variant(site, torch.zeros_like),
        "mean": Variant(site, constant(mean)),
    }
    run = splice_all(policy, episodes, variants, encoded)
    figures = {name: run.figures(name) for name in variants}
    losses = {name: row["loss"] for name, row in figures.items()}
    losses["clean"] = float(run.clean.sum() / run.frames.sum())
    return {f"loss_{name}": loss for name, loss in losses.items()} | {
        "bc_loss_change": figures["spliced"]["loss_change"],
        "bc_loss_change_interval": figures["spliced"]["loss_change_interval"],
        "loss_recovered": run.recovered("spliced", "zero")["value"],
    }
