"""Estimates of the effects of all nodes at once, from gradients: AtP, AtP* and integrated gradients.

Sources of the formulas: AtP is (other - clean) . dL/dnode at the clean run (Nanda 2023); the fix for queries and keys and
GradDrop are those of AtP* (Kramár et al. 2024, arXiv 2403.00745); averaging the gradient over inputs between the two is
EAP-IG (Hanna et al. 2024, arXiv 2403.17806).

This architecture adds the weights `r` of the distance bias, a third input of the attention weights, for which the fix is
that for queries; and `memory`, a key with its value, which has a closed form of its own.
"""

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from basalt.io.errors import ConfigError
from basalt.probes.hooks.points import record
from basalt.probes.patching.attention_fix import key_fix, query_fix
from basalt.probes.patching.exact import Pairs
from basalt.probes.patching.window import Windows, hooked

METHODS = ("atp", "atp_qk", "atp_star", "ig")
"""AtP, AtP with the fix for queries and keys, that with GradDrop, and integrated gradients."""

IG_STEPS = 8
"""Number of inputs between the clean and the other one at which integrated gradients take the gradient."""

Estimates = dict[tuple[int, str], Tensor]
"""By (block, kind): estimated effect of each unit, float [P, T, groups]."""


class Gradients(NamedTuple):
    """Gradients of the metric.

    Attributes:
        activations: By hook point, of the same shape as the activation.
        probs: By block, of the attention weights: [P, heads, T, M + T].
    """

    activations: dict[str, Tensor]
    probs: list[Tensor]


class NodeScores(NamedTuple):
    """Estimated effects of nodes.

    Attributes:
        scores: Estimate of |I| for each pair and node, float [P, nodes].
        cost: Forward passes for each pair, with a backward pass counted as two.
    """

    scores: Tensor
    cost: float


def estimate(pairs: Pairs, method: str) -> NodeScores:
    """Estimate the effect of every node.

    Args:
        pairs: The pairs.
        method: One of `METHODS`.

    Raises:
        ConfigError: There is no such method.
    """
    gather = pairs.space.gather
    if method == "ig":
        found = _integrated(pairs)
        return NodeScores(gather(found).abs(), 1 + 3 * IG_STEPS)
    if method not in METHODS:
        raise ConfigError(f"method: expected exhaustive, {', '.join(METHODS)}, got {method!r}")
    fix = method != "atp"
    if method != "atp_star":
        found = _attribution(pairs, _gradients(pairs.windows, pairs.inputs, pairs), fix)
        return NodeScores(gather(found).abs(), 4)
    layers = [
        (j, kind) for j in range(len(pairs.windows.policy.blocks)) for kind in ("attention", "mlp")
    ]
    total = torch.zeros(len(pairs), len(pairs.space), device=pairs.inputs.device)
    for layer in layers:
        gradients = _gradients(pairs.windows, pairs.inputs, pairs, dropped=layer)
        total += gather(_attribution(pairs, gradients, fix)).abs()
    # A node inside a layer gets nothing when its own layer is dropped.
    outside = {"resid", "embed"} | {
        site.kind for site in pairs.space.sites if ".resid_" in site.name
    }
    inside = torch.tensor([node.kind not in outside for node in pairs.space.nodes])
    counted = len(layers) - inside.float().to(total.device)
    return NodeScores(total / counted, 2 + 2 * len(layers))


def _gradients(
    windows: Windows, x: Tensor, pairs: Pairs, dropped: tuple[int, str] | None = None
) -> Gradients:
    """Gradients of the metric of each window, with the output of one layer to the stream blocked if given."""
    blocks, names = windows.policy.blocks, [site.name for site in pairs.space.sites]
    names = list(dict.fromkeys([*names, *(f"blocks.{j}.attn_z" for j in range(len(blocks)))]))
    probs: list[Tensor] = []
    with torch.enable_grad(), ExitStack() as stack:
        seen = stack.enter_context(record(windows.policy, names))
        for j in range(len(blocks)):
            stack.enter_context(
                hooked(windows.policy.blocks[j].r.orc_block.attn_probs, probs.append)
            )
        if dropped is not None:
            j, kind = dropped
            layer = (
                windows.policy.blocks[j].r.orc_block.proj_layer
                if kind == "attention"
                else blocks[j].mlp_out
            )
            stack.enter_context(hooked(layer, Tensor.detach))
        metric = windows.run(x.detach().requires_grad_())
        wanted = [*(seen[name] for name in names), *probs]
        found = torch.autograd.grad(metric.sum(), wanted, allow_unused=True, materialize_grads=True)
    return Gradients(dict(zip(names, found, strict=False)), list(found[len(names) :]))


def _linear(pairs: Pairs, gradients: dict[str, Tensor]) -> Estimates:
    """(other - clean) . gradient for each unit; for `memory`, the sum of key and value."""
    found: Estimates = {}
    for site in pairs.space.sites:
        moved = site.values(pairs.noise.activations[site.name])
        moved = moved - site.values(pairs.clean.activations[site.name])
        found[site.block, site.kind] = site.product(moved, gradients[site.name])
    for block in range(len(pairs.windows.policy.blocks)):
        if (block, "k") in found and (block, "v") in found:
            found[block, "memory"] = found[block, "k"] + found[block, "v"]
    return found


def _attribution(pairs: Pairs, gradients: Gradients, fix: bool) -> Estimates:
    found = _linear(pairs, gradients.activations)
    for block in range(len(pairs.windows.policy.blocks)) if fix else ():
        found.update(_attention_fix(pairs, gradients, block))
    return found


def _integrated(pairs: Pairs) -> Estimates:
    gradients: dict[str, Tensor] = {}
    for weight in (torch.arange(IG_STEPS) + 0.5).tolist():
        x = torch.lerp(pairs.inputs, pairs.noise_inputs, weight / IG_STEPS)
        for name, one in _gradients(pairs.windows, x, pairs).activations.items():
            gradients[name] = gradients.get(name, 0) + one / IG_STEPS
    return _linear(pairs, gradients)


def _attention_fix(pairs: Pairs, gradients: Gradients, block: int) -> Estimates:
    """Estimates for the inputs of a block's attention weights, with the weights recomputed."""
    kinds = {site.kind for site in pairs.space.sites if site.block == block}
    windows, gradient = pairs.windows, gradients.probs[block].double()
    attention, frames = windows.policy.blocks[block].r.orc_block, windows.frames
    clean, noise = (
        {kind: trace.activations[f"blocks.{block}.{kind}"] for kind in "qkvr"}
        for trace in (pairs.clean, pairs.noise)
    )

    def logits(*changed: str) -> Tensor:
        x = clean | {kind: noise[kind] for kind in changed}
        memory = x["k"].new_zeros(len(pairs), windows.policy.config.memory, x["k"].shape[-1])
        keys = torch.cat([memory, x["k"]], 1)
        return attention.logits(x["q"], keys, x["r"], windows.visibility).double()

    before, found = logits(), {}
    for kind in kinds & {"q", "r"}:
        effect = query_fix(before, logits(kind), gradient)
        found[block, kind] = effect.transpose(1, 2).float()
    if "k" in kinds:
        # The memory before the window is empty, so only the frames of the window have keys.
        fix = key_fix(*(x[..., -frames:] for x in (before, logits("k"), gradient)))
        found[block, "k"] = fix.effect.sum(2).transpose(1, 2).float()
        if "v" in kinds:
            moved = attention.split_heads(noise["v"] - clean["v"]).double()
            z = attention.split_heads(gradients.activations[f"blocks.{block}.attn_z"]).double()
            both = fix.effect + fix.weight * (z @ moved.transpose(2, 3))
            found[block, "memory"] = both.sum(2).transpose(1, 2).float()
    return found
