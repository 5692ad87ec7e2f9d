"""First-order effects of latents on the policy's choices (attribution patching).

The effect of latent i on a measure m of the output (log-odds of a button or of ESC, log-probability of a
camera bin) is f_i * d_i . dm/dx, averaged over the frames on which it is active: what ablating it would
cost if the rest of the network were linear. It is exact if only a linear head follows and an
approximation elsewhere; `basalt.probes.steering` measures real interventions.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor

from basalt.core.actions import BUTTON_TABLE, COLUMN, N_CAMERA, VPT_BUTTONS
from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode
from basalt.data.plans import FinitePlan
from basalt.io.console import progress_bar
from basalt.policies.attention import PolicyState
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.activations import advance
from basalt.probes.hooks.points import Patch, patch
from basalt.probes.sae.model import SAE

MEASURES = (*VPT_BUTTONS, "ESC", *(f"camera.{i}" for i in range(N_CAMERA)))
"""Log-odds of the 20 buttons and of ESC, then log-probabilities of the 121 camera bins (pitch * 11 + yaw)."""

LOG_ODDS = len(VPT_BUTTONS) + 1
"""Number of measures before the camera's."""

CALL = 16
"""Number of frames per call; a latent's effect on later frames of the same call counts too."""

_MEMBER = torch.from_numpy(BUTTON_TABLE[:, [COLUMN[b] for b in VPT_BUTTONS]].T.astype(bool))


def button_log_odds(logits: Tensor, button: str) -> Tensor:
    """Log-odds of pressing a button, from the logits of the joint buttons [..., 8641]: [...]."""
    member = _MEMBER[VPT_BUTTONS.index(button)].to(logits.device)
    with_it, without = (logits.masked_fill(mask, -torch.inf) for mask in (~member, member))
    return with_it.logsumexp(-1) - without.logsumexp(-1)


def measure_columns(output: PolicyOutput) -> list[Tensor]:
    """142 tensors [...] in the order of `MEASURES`, each with its own graph after the heads."""
    columns = [button_log_odds(output.buttons_logits, button) for button in VPT_BUTTONS]
    return [*columns, output.esc_logit, *output.camera_logits.log_softmax(-1).unbind(-1)]


def measures(output: PolicyOutput) -> Tensor:
    """All measures of an output, in the order of `MEASURES`: float [..., 142]."""
    return torch.stack(measure_columns(output), -1)


def latent_effects(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    saes: Mapping[str, tuple[str, SAE]],
    *,
    frames: int = 512,
) -> dict[str, Tensor]:
    """Mean first-order effect of each latent on each measure, over frames on which it is active.

    A change at a frame reaches later frames through the memory; within a call both count.

    Args:
        policy: Policy in evaluation mode.
        episodes: Held-out episodes; encoded ones (`basalt.policies.imitation.encode_episodes`) save time.
        saes: By name: hook point and autoencoder, on the policy's device.
        frames: Approximate number of frames to sample, spread evenly over the episodes.

    Returns:
        By name: float32 [M, 142]; 0 for latents that were not active.
    """
    if not saes:
        return {}
    names = sorted({name for name, _ in saes.values()})
    rows = min(8, len(episodes))
    batches = len(FinitePlan([len(e) for e in episodes], rows, CALL))
    calls = min(max(1, round(frames / (rows * CALL))), batches)
    # From all parts of the episodes, since their beginnings and ends show different things.
    picked = set(((np.arange(calls) + 0.5) / calls * batches).astype(int).tolist())
    sums = {name: torch.zeros(sae.W_dec.shape[0], len(MEASURES)) for name, (_, sae) in saes.items()}
    counts = {name: torch.zeros(sae.W_dec.shape[0]) for name, (_, sae) in saes.items()}
    state = policy.initial_state(rows)
    total = len(picked) * len(MEASURES)
    bar = progress_bar(total=total, title="effects", unit="gradient")
    for number, batch in enumerate(single_pass(episodes, rows, CALL)):
        if number not in picked:
            state = advance(policy, batch, state)
            continue
        seen, values, state = _with_gradients(policy, names, batch, state)
        valid = torch.from_numpy(batch.valid).to(policy.device)
        with torch.no_grad():
            latents = {key: sae.encode(seen[name])[valid] for key, (name, sae) in saes.items()}
        for key, f in latents.items():
            counts[key] += (f > 0).sum(0).float().cpu()
        for m in range(len(MEASURES)):
            outputs = values[m][valid].sum()
            grads = torch.autograd.grad(
                outputs,
                [seen[name] for name in names],
                retain_graph=m + 1 < len(MEASURES),
                allow_unused=True,
            )
            gradient = dict(zip(names, grads, strict=True))
            for key, (name, sae) in saes.items():
                grad = gradient[name]
                if grad is not None:
                    # sum_t f_ti (d_i . g_t), without the [t, M] product of the second factor
                    moved = latents[key].T @ grad[valid]
                    sums[key][:, m] += (moved * sae.W_dec).sum(1).cpu()
            bar.update()
    bar.close()
    return {key: sums[key] / counts[key].clamp(min=1)[:, None] for key in saes}


def _with_gradients(
    policy: VPTPolicy, names: Sequence[str], batch: Batch, state: PolicyState
) -> tuple[dict[str, Tensor], list[Tensor], PolicyState]:
    """The activations as part of a graph, the 142 measures [B, T] computed from them, and the next state."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Patch:
        def hook(x: Tensor) -> Tensor:
            seen[name] = x if x.requires_grad else x.detach().clone().requires_grad_()
            return seen[name]

        return hook

    with torch.enable_grad(), ExitStack() as stack:
        for name in names:
            stack.enter_context(patch(policy, name, keep(name)))
        inputs, first = (torch.from_numpy(x).to(policy.device) for x in (batch.inputs, batch.first))
        output = policy(inputs, first, state, batch.kind)
        return seen, measure_columns(output), output.state.detach()
