"""`basalt probe direct`: what each head, MLP and remembered frame writes to a choice directly.

With the scale of every LayerNorm and the mask of every ReLU after it frozen at the clean run, the latent at the last frame
is a sum: one part for the encoded frame, for each head and frame it attends to, for each MLP, and one for all biases. The
contribution of a part to a metric is its product with the metric's gradient by the latent. For a metric that is a logit,
contributions and biases add up to it exactly; for log-odds and expectations what remains is the curvature of the metric.

Beside it stands the total effect of the same part, by patching (Lieberum et al. 2023, arXiv 2307.09458): a part with a
large total and a small direct effect acts through later parts.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from basalt.probes.hooks.points import record
from basalt.probes.patching.exact import Pairs, effects_of_nodes
from basalt.probes.patching.probe import held_out_pairs, over_episodes
from basalt.probes.patching.window import Windows, hooked
from basalt.probes.records import Estimate, Part, ProbeRecord
from basalt.probes.settings import DirectConfig

BIAS = "biases"


class Parts(NamedTuple):
    """What the latents at the last frame of P windows are the sum of.

    Attributes:
        names: Name of each part: `biases`, `embed`, `blocks.J.z.H@-AGE` for what a head reads of a frame, `blocks.J.mlp`.
        values: float64 [P, parts, H]; their sum over parts is the latent.
        attention: By (block, head): attention of the last frame by age, float64 [P, T].
        written: By (block, head): length of what the head writes of the frame of each age, float64 [P, T].
    """

    names: list[str]
    values: Tensor
    attention: dict[tuple[int, int], Tensor]
    written: dict[tuple[int, int], Tensor]


class DirectPart(Part):
    """A part of the policy at the last frame.

    Attributes:
        name: The part: `embed`, `blocks.J.z.H` or `blocks.J.mlp`.
        contribution: Mean direct contribution to the metric, signed, with its interval over episodes.
        direct: Mean |change of the contribution| with the part from the other window.
        total: Mean |change of the metric| with the part from the other window, by patching.
    """

    name: str
    contribution: Estimate
    direct: float
    total: float


class HeadMemory(Part):
    """What a head does with the frames it remembers, means over windows, one entry per age from 0.

    Attributes:
        name: The head, `blocks.J.z.H`.
        attention: Attention of the last frame.
        written: Length of what it writes of each frame.
        contribution: Direct contribution to the metric.
    """

    name: str
    attention: tuple[float, ...]
    written: tuple[float, ...]
    contribution: tuple[float, ...]


class DirectReport(ProbeRecord):
    """What each part writes to a choice directly, on held-out recordings.

    Attributes:
        metric, pairs: As asked for.
        n_pairs, episodes, frames: Sizes: pairs, episodes that they are from, frames of a window.
        value: Mean of the metric over the clean windows.
        biases: Part of it that the biases of the network write.
        rest: What remains: biases of the heads, and the curvature of log-odds and expectations.
        parts: The parts, largest direct change first.
        memory: What each head does with the frames it remembers.
    """

    FORMAT: ClassVar[str] = "basalt-direct"

    metric: str
    pairs: str
    n_pairs: int
    episodes: int
    frames: int
    value: Estimate
    biases: float
    rest: float
    parts: tuple[DirectPart, ...]
    memory: tuple[HeadMemory, ...]

    def lines(self) -> list[str]:
        """The parts, and where each head looks."""
        found = [
            f"{self.metric} is {self.value.text('.4f')} over {self.n_pairs} windows of {self.episodes} held-out episodes: "
            f"biases {self.biases:+.4f}, rest {self.rest:+.4f}, and the parts below",
            f"{'part at the last frame':<24}{'writes':>10}   {'95% over episodes':<22}"
            f"{'direct':>10}{'total':>10}   ({self.pairs})",
        ]
        for row in self.parts:
            found.append(
                f"{row.name:<24}{row.contribution.value or 0:>+10.4f}   {row.contribution.range_text('+.4f'):<22}"
                f"{row.direct:>10.4f}{row.total:>10.4f}"
            )
        found.append(
            f"{'head':<24}attention: now, 1 to 4 frames ago, older; frame of which it writes most"
        )
        for head in self.memory:
            now, recent = head.attention[0], sum(head.attention[1:5])
            older = sum(head.attention[5:])
            found.append(
                f"{head.name:<24}{now:>8.2f}{recent:>8.2f}{older:>8.2f}   {int(np.argmax(head.written))} ago"
            )
        return found


def direct(cfg: DirectConfig) -> DirectReport:
    """Run `basalt probe direct`: attribute a choice on held-out recordings, and write the report to `cfg.out`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    pairs, episode = held_out_pairs(cfg, ("z", "mlp", "embed"))
    report = attribute(pairs, episode, cfg)
    if cfg.out:
        report.write(Path(cfg.out))
    return report


def attribute(pairs: Pairs, episode: NDArray[np.int64], cfg: DirectConfig) -> DirectReport:
    """Direct contributions of all parts, beside their total effects.

    Args:
        pairs: Pairs with the nodes `z`, `mlp` and `embed` of each frame.
        episode: Episode of each pair, int64 [P].
        cfg: Settings; those of the policy and the recordings are not used.
    """
    windows, space = pairs.windows, pairs.space
    clean, through = latent_parts(windows, pairs.inputs)
    noise, _ = latent_parts(windows, pairs.noise_inputs, through)
    direction = latent_gradient(windows, pairs.inputs)
    wrote, other = ((parts.values * direction[:, None]).sum(-1) for parts in (clean, noise))
    last = [n for n, node in enumerate(space.nodes) if node.age == 0]
    total = dict(zip(last, effects_of_nodes(pairs, last).abs().mean(0).tolist(), strict=True))
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(clean.names):
        columns.setdefault(name.partition("@")[0], []).append(column)
    rows = []
    for n in last:
        name = str(space.nodes[n].component)
        mine, theirs = (x[:, columns[name]].sum(1) for x in (wrote, other))
        rows.append(
            DirectPart(
                name=name,
                contribution=over_episodes(mine, episode),
                direct=float((theirs - mine).abs().mean()),
                total=total[n],
            )
        )
    value = pairs.clean.metric.double()
    return DirectReport(
        metric=cfg.metric,
        pairs=cfg.pairs,
        n_pairs=len(pairs),
        episodes=len(np.unique(episode)),
        frames=windows.frames,
        value=over_episodes(value, episode),
        biases=float(wrote[:, columns[BIAS]].mean()),
        rest=float((value - wrote.sum(1)).mean()),
        parts=tuple(sorted(rows, key=lambda row: -row.direct)),
        memory=tuple(
            HeadMemory(
                name=(name := f"blocks.{block}.z.{head}"),
                attention=tuple(seen.mean(0).tolist()),
                written=tuple(clean.written[block, head].mean(0).tolist()),
                contribution=tuple(wrote[:, columns[name]].mean(0).tolist()),
            )
            for (block, head), seen in clean.attention.items()
        ),
    )


def latent_gradient(windows: Windows, x: Tensor) -> Tensor:
    """Gradient of the metric by the latent at the last frame, float64 [P, H].

    Args:
        windows: The policy and the metric.
        x: Encoded frames [P, T, H].
    """
    policy = windows.policy
    with torch.enable_grad():
        output = windows.output(x.detach())
        latent = output.latent.detach().requires_grad_()
        metric = windows.metric(policy.heads(latent, output.state), torch.arange(len(x)))
        (gradient,) = torch.autograd.grad(metric.sum(), latent)
    return gradient[:, 0].double()


Linear = Callable[[Tensor], Tensor]
"""A linear map of parts [P, n, H], frozen at a run."""


@torch.no_grad()
def latent_parts(
    windows: Windows, x: Tensor, through: list[Linear] | None = None
) -> tuple[Parts, list[Linear]]:
    """The latents at the last frame as a sum of parts, and the frozen maps that the parts went through.

    Args:
        windows: The policy.
        x: Encoded frames [P, T, H].
        through: Maps of another run to send the parts through; then they add up to the latent only of that run's parts.
    """
    policy, net, frames = windows.policy, windows.policy.net, windows.frames
    blocks = policy.blocks
    names = [
        "embed",
        *(f"blocks.{j}.{kind}" for j in range(len(blocks)) for kind in ("v", "mlp_out")),
    ]
    probs: list[Tensor] = []
    with ExitStack() as stack:
        seen = stack.enter_context(record(policy, names))
        for block in blocks:
            stack.enter_context(hooked(block.r.orc_block.attn_probs, probs.append))
        windows.output(x)
    maps = _Maps(through)
    parts = torch.zeros(len(x), 2, policy.config.hidsize, dtype=torch.float64, device=x.device)
    parts[:, 1] = seen["embed"][:, -1].double()
    found = Parts([BIAS, "embed"], parts, {}, {})
    if net.pre_lstm_ln is not None:
        parts = maps.norm(parts, net.pre_lstm_ln)
    for j, block in enumerate(blocks):
        attention = block.r.orc_block
        parts = maps.norm(parts, block.pre_r_ln)
        parts[:, 0] += attention.proj_layer.bias.double()
        values = attention.split_heads(seen[f"blocks.{j}.v"]).double()
        weights = probs[j][:, :, -1, -frames:].double()
        out = attention.proj_layer.weight.double().unflatten(1, (attention.heads, -1))
        # What each head writes of each frame, the last frame first: [P, heads, T, H].
        wrote = torch.einsum("pht,phte,xhe->phtx", weights, values, out).flip(2)
        for head in range(attention.heads):
            found.names.extend(f"blocks.{j}.z.{head}@-{age}" for age in range(frames))
            found.attention[j, head] = weights[:, head].flip(1)
            found.written[j, head] = wrote[:, head].norm(dim=-1)
        found.names.append(f"blocks.{j}.mlp")
        mlp = seen[f"blocks.{j}.mlp_out"][:, -1:].double()
        parts = torch.cat([parts, wrote.flatten(1, 2), mlp], 1)
    parts = maps.relu(parts)
    parts = maps.norm(parts, net.lastlayer.norm)
    parts = parts @ net.lastlayer.layer.weight.double().T
    parts = maps.relu(parts)
    parts = maps.norm(parts, net.final_ln)
    return found._replace(values=parts), maps.made


class _Maps:
    """Norms and ReLUs as linear maps, frozen at the sum of the parts, or those of another run."""

    def __init__(self, given: list[Linear] | None) -> None:
        self._given = None if given is None else iter(given)
        self.made: list[Linear] = []

    def relu(self, parts: Tensor) -> Tensor:
        mask = (parts.sum(1, keepdim=True) > 0).double()
        return self._apply(parts, lambda x: x * mask)

    def norm(self, parts: Tensor, norm: nn.Module | None) -> Tensor:
        assert isinstance(norm, nn.LayerNorm)
        total = parts.sum(1, keepdim=True)
        scale = (total.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
        weight, bias = norm.weight.double(), norm.bias.double()
        parts = self._apply(parts, lambda x: (x - x.mean(-1, keepdim=True)) * scale * weight)
        parts[:, 0] += bias
        return parts

    def _apply(self, parts: Tensor, own: Linear) -> Tensor:
        self.made.append(own if self._given is None else next(self._given))
        return self.made[-1](parts)
