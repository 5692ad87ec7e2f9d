"""How well a sparse autoencoder stands in for an activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from basalt.data.dataset import Episode
from basalt.policies.imitation import evaluate
from basalt.policies.vpt import VPTPolicy
from basalt.probes.activations import replaced
from basalt.probes.sae import SAE


@torch.no_grad()
def reconstruction(sae: SAE, activations: Tensor) -> dict[str, float]:
    """Figures on raw activations [n, d] that the autoencoder was not trained on.

    Returns:
        `variance_explained`: 1 - sum|x - x^|^2 / sum|x - mean(x)|^2, below 0 where the mean would do
        better; `l0`: active latents per frame; `dead_share`: share of latents that never fire here;
        `gamma`: E|x^|^2 / E[x^ . x] about the mean, below 1 where reconstructions are too short.
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
        "gamma": float((rebuilt - centre).square().sum() / overlap),
    }


@torch.no_grad()
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
        sae: folded.
        mean: float [d], the site's mean activation on training episodes.
        encoded: the episodes' encoded frames.

    Returns:
        Losses in nats per frame: `loss_clean`, `loss_spliced`, and two ablations that say what the
        site is worth, `loss_zero` and `loss_mean`; `bc_loss_change` = spliced - clean; `loss_recovered`
        = (zero - spliced) / (zero - clean), None where ablation does not change the loss.
    """
    replacements: dict[str, Callable[[Tensor], Tensor]] = {
        "clean": lambda x: x,
        "spliced": sae,
        "zero": torch.zeros_like,
        "mean": lambda x: mean.to(x).expand_as(x),
    }
    losses = {}
    for name, replacement in replacements.items():
        with replaced(policy, site, replacement):
            losses[name] = evaluate(policy, episodes, encoded=encoded)["loss"]
    worth = losses["zero"] - losses["clean"]
    return {f"loss_{name}": loss for name, loss in losses.items()} | {
        "bc_loss_change": losses["spliced"] - losses["clean"],
        "loss_recovered": (losses["zero"] - losses["spliced"]) / worth if worth else None,
    }
