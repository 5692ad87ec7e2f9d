"""How well a sparse autoencoder stands in for an activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basalt.data.dataset import Episode
from basalt.policies.vpt import VPTPolicy
from basalt.probes.sae import SAE
from basalt.probes.splicing import Variant, constant, splice_all

DENSITY_BINS = np.arange(-5, 0.5, 0.5)
"""Edges of the histogram of log10(share of frames on which a latent fires)."""


@torch.no_grad()
def reconstruction(sae: SAE, activations: Tensor) -> dict[str, float]:
    """Figures on raw activations [n, d] that the autoencoder was not trained on.

    Returns:
        `variance_explained`: 1 - sum|x - x^|^2 / sum|x - mean(x)|^2, below 0 where the mean would do
        better; `l0`: active latents per frame; `dead_share`: share of latents that never fire here;
        `gamma`: E|x^|^2 / E[x^ . x] about the mean, below 1 where reconstructions are too short
        (Rajamanoharan et al. 2024, arXiv 2404.16014).
    """
    latents = sae.encode(activations)
    rebuilt = sae.decode(latents)
    active = latents > 0
    centre = activations.mean(0)
    error = (activations - rebuilt).square().sum()
    spread = (activations - centre).square().sum()
    overlap = ((rebuilt - centre) * (activations - centre)).sum()
    return {
        "variance_explained": float(1 - error / spread),
        "l0": float(active.sum(1).float().mean()),
        "dead_share": float((~active.any(0)).float().mean()),
        "gamma": float((rebuilt - centre).square().sum() / overlap) if overlap else float("nan"),
    }


@torch.no_grad()
def principal_components(training: Tensor, values: Tensor) -> Tensor:
    """Raw activations [n, d] in the coordinates [n, min(m, d)] of training activations' [m, d] principal axes."""
    centre = training.mean(0)
    axes = torch.linalg.svd(training - centre, full_matrices=False).Vh
    return (values - centre) @ axes.T


@torch.no_grad()
def principal_unexplained(training: Tensor, held_out: Tensor, k: int) -> float:
    """Share of held-out variance that the k first principal axes of training activations leave.

    As dense as k active latents are sparse: axes are the same at every frame, a dictionary's are chosen.
    """
    kept = principal_components(training, held_out)[:, :k].square().sum()
    away = (held_out - training.mean(0)).square().sum()
    return float((away - kept) / (held_out - held_out.mean(0)).square().sum())


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
        site is worth, `loss_zero` and `loss_mean`; `bc_loss_change` = spliced - clean; `loss_recovered`
        = (zero - spliced) / (zero - clean), None where ablation does not cost anything.
    """
    variants = {
        "spliced": Variant(site, sae),
        "zero": Variant(site, torch.zeros_like),
        "mean": Variant(site, constant(mean)),
    }
    run = splice_all(policy, episodes, variants, encoded)
    losses = {name: run.figures(name)["loss"] for name in variants}
    losses["clean"] = float(run.clean.sum() / run.frames.sum())
    return {f"loss_{name}": loss for name, loss in losses.items()} | {
        "bc_loss_change": losses["spliced"] - losses["clean"],
        "loss_recovered": run.recovered("spliced", "zero")["value"],
    }
