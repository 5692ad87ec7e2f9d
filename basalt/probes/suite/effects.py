"""What a latent does to the policy's choices, to first order.

The effect of latent i on a measure m of the output (log-odds of a button or of ESC, log-probability of a
camera bin) is f_i * d_i . dm/dx at the frames on which it is active: what taking it away would cost if the
rest of the network were linear (attribution patching). Exact behind a linear head, a hint elsewhere;
`basalt.probes.steering` takes latents away for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from basalt.core.actions import BUTTON_TABLE, COLUMN, N_CAMERA, VPT_BUTTONS
from basalt.data.dataset import Episode, single_pass
from basalt.policies.imitation import gather
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.activations import replaced
from basalt.probes.sae import SAE

MEASURES = (*VPT_BUTTONS, "ESC", *(f"camera.{i}" for i in range(N_CAMERA)))
"""Log-odds of the 20 buttons and of ESC, then log-probabilities of the 121 camera bins (pitch * 11 + yaw)."""

LOG_ODDS = len(VPT_BUTTONS) + 1
"""So many of the measures come before the camera's."""

CALL = 16
"""Frames of a call; a latent's effect on later frames of the same call counts too."""

_MEMBER = torch.from_numpy(BUTTON_TABLE[:, [COLUMN[b] for b in VPT_BUTTONS]].T.astype(bool))


def measure_columns(output: PolicyOutput) -> list[Tensor]:
    """142 tensors [...] in the order of `MEASURES`, each with a graph of its own behind the heads."""
    logits, columns = output.buttons_logits, []
    for member in _MEMBER.to(logits.device):
        has, lacks = (logits.masked_fill(mask, -torch.inf) for mask in (~member, member))
        columns.append(has.logsumexp(-1) - lacks.logsumexp(-1))
    return [*columns, output.esc_logit, *output.camera_logits.log_softmax(-1).unbind(-1)]


def measures(output: PolicyOutput) -> Tensor:
    """float [..., 142] of an output, in the order of `MEASURES`."""
    return torch.stack(measure_columns(output), -1)


def latent_effects(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    encoded: Sequence[Tensor],
    saes: Mapping[str, tuple[str, SAE]],
    *,
    frames: int = 512,
    progress: bool = True,
) -> dict[str, Tensor]:
    """Mean first-order effect of each latent on each measure, over frames on which it is active.

    A change at a frame reaches later frames through the memory; within a call both count.

    Args:
        policy: in evaluation mode.
        episodes: held-out ones.
        encoded: their encoded frames.
        saes: site and autoencoder, by name; on the policy's device.
        frames: about so many are looked at, spread over the episodes.
        progress: show a bar where the terminal allows.

    Returns:
        By name: float32 [M, 142]; 0 for latents that were not active.
    """
    if not saes:
        return {}
    sites = sorted({site for site, _ in saes.values()})
    rows = min(8, len(episodes))
    batches = list(single_pass(episodes, rows, CALL))
    calls = min(max(1, round(frames / (rows * CALL))), len(batches))
    # From all parts of the episodes: what is seen at their ends is not seen at their beginnings.
    picked = set(((np.arange(calls) + 0.5) / calls * len(batches)).astype(int).tolist())
    sums = {name: torch.zeros(sae.W_dec.shape[0], len(MEASURES)) for name, (_, sae) in saes.items()}
    counts = {name: torch.zeros(sae.W_dec.shape[0]) for name, (_, sae) in saes.items()}
    state = policy.initial_state(rows)
    bar = tqdm(
        total=len(picked) * len(MEASURES), desc="effects", leave=False,
        disable=None if progress else True,
    )  # fmt: skip
    for number, batch in enumerate(batches):
        inputs, first = gather(encoded, batch), torch.from_numpy(batch.first).to(policy.device)
        if number not in picked:
            with torch.no_grad():
                state = policy.forward_encoded(inputs, first, state).state
            continue
        seen, values, state = _with_gradients(policy, sites, inputs, first, state)
        valid = torch.from_numpy(batch.valid).to(policy.device)
        with torch.no_grad():
            latents = {n: sae.encode(seen[site])[valid] for n, (site, sae) in saes.items()}
        for name, f in latents.items():
            counts[name] += (f > 0).sum(0).float().cpu()
        for m in range(len(MEASURES)):
            outputs = values[m][valid].sum()
            grads = torch.autograd.grad(
                outputs,
                [seen[s] for s in sites],
                retain_graph=m + 1 < len(MEASURES),
                allow_unused=True,
            )
            at = dict(zip(sites, grads, strict=True))
            for name, (site, sae) in saes.items():
                grad = at[site]
                if grad is not None:
                    # sum_t f_ti (d_i . g_t), without the [t, M] product of the second factor
                    moved = latents[name].T @ grad[valid]
                    sums[name][:, m] += (moved * sae.W_dec).sum(1).cpu()
            bar.update()
    bar.close()
    return {name: sums[name] / counts[name].clamp(min=1)[:, None] for name in saes}


def _with_gradients(
    policy: VPTPolicy, sites: Sequence[str], inputs: Tensor, first: Tensor, state: Any
) -> tuple[dict[str, Tensor], list[Tensor], Any]:
    """Each site's activation in a graph, the 142 measures [B, T] that hang on it, and the next state."""
    seen: dict[str, Tensor] = {}

    def keep(site: str) -> Any:
        def hook(x: Tensor) -> Tensor:
            seen[site] = x if x.requires_grad else x.detach().clone().requires_grad_()
            return seen[site]

        return hook

    with torch.enable_grad(), ExitStack() as stack:
        for site in sites:
            stack.enter_context(replaced(policy, site, keep(site)))
        output = policy.forward_encoded(inputs, first, state)
        return seen, measure_columns(output), output.state.detach()
