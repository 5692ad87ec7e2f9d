"""`basalt probe patch`: the nodes that a policy's choice runs through."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from basalt.policies.checkpoint import choose_device, find_checkpoint, load_policy
from basalt.policies.vpt import VPTPolicy
from basalt.probes.patching.attribution import estimate
from basalt.probes.patching.contexts import TWINS, Contexts, make_contexts, twin_contexts
from basalt.probes.patching.exact import Pairs, effects_of_nodes, effects_of_sets
from basalt.probes.patching.metrics import find_metric
from basalt.probes.patching.nodes import Dictionary, NodeSpace
from basalt.probes.patching.verification import missed_bounds, random_sets
from basalt.probes.patching.window import Windows
from basalt.probes.records import Estimate, Part, ProbeRecord, number
from basalt.probes.settings import CircuitConfig, DirectConfig, PatchConfig, SubspaceConfig
from basalt.probes.subject import load_sae_of, load_subject
from basalt.probes.twins.windows import twin_windows

SHOWN = 30
"""Number of nodes that the terminal shows."""


class NodeResult(Part):
    """A node and what it contributes.

    Attributes:
        name: Its name, such as `blocks.0.k.1@-3`: kind k, head 1, three frames before the last.
        kind, block, head, age: The same in parts; `block` is -1 for `embed`; `head` is the latent's number for latents; `head` and `age` are None for nodes without.
        estimate: Mean of |I| over pairs by the method; None if it was patched only.
        effect: Mean of |I| over pairs by patching, with its interval over episodes; None if it was not patched.
        change: Mean of the signed I by patching, in units of the metric.
    """

    name: str
    kind: str
    block: int
    head: int | None
    age: int | None
    estimate: float | None
    effect: Estimate | None = None
    change: float | None = None


class ComponentResult(Part):
    """What the nodes of one part of the network at all frames add up to.

    Attributes:
        name: The part, such as `blocks.0.k.1`.
        total: Sum of the contributions of its nodes by the method.
        main_age: Age of its largest node in frames; None where nodes have no age.
    """

    name: str
    total: float
    main_age: int | None


class PatchReport(ProbeRecord):
    """The nodes that a choice runs through, on held-out recordings.

    Attributes:
        method, metric, pairs: As asked for.
        n_nodes, n_pairs, episodes, frames: Sizes: nodes, pairs, episodes that they are from, frames of a window.
        change: Mean of |L(other window) - L(clean window)| over pairs.
        nodes: The nodes in order of the method's contribution, all of them.
        components: Sums by part of the network, largest first.
        random_effect: Mean effect of as many random nodes as were verified, a control; None without verification.
        missed_bound: Upper bound on the contribution of any node that was not patched; None if none was computed.
        missed_node: The node that has this bound.
        confidence: Confidence of the bound, for each node.
        passes: Forward passes for each pair, by part of the work; a backward pass counts as two.
    """

    FORMAT: ClassVar[str] = "basalt-patching"

    method: str
    metric: str
    pairs: str
    n_nodes: int
    n_pairs: int
    episodes: int
    frames: int
    change: Estimate
    nodes: tuple[NodeResult, ...]
    components: tuple[ComponentResult, ...]
    random_effect: float | None
    missed_bound: float | None
    missed_node: str | None
    confidence: float
    passes: dict[str, float]

    def lines(self) -> list[str]:
        """The largest nodes, the parts of the network, the control, and what may have been missed."""
        found = [
            f"{self.metric} over {self.n_pairs} pairs ({self.pairs}) of {self.episodes} held-out episodes, {self.frames} "
            f"frames each; the pairs differ by {self.change.text('.4f')} on average",
            f"{'node':<24}{self.method:>11}{'patched':>11}   95% over episodes{'change':>15}",
        ]
        for node in self.nodes[:SHOWN]:
            effect = node.effect or Estimate(value=None)
            found.append(
                f"{node.name:<24}{number(node.estimate, '.4f'):>11}{number(effect.value, '.4f'):>11}   "
                f"{effect.range_text('.4f'):<20}{number(node.change, '+.4f'):>12}"
            )
        found.append(f"{'part of the network':<24}{'sum':>11}   largest at age")
        found += [
            f"{row.name:<24}{row.total:>11.4f}   {'' if row.main_age is None else row.main_age}"
            for row in self.components[:SHOWN]
        ]
        if self.random_effect is not None:
            found.append(f"random nodes instead, patched: {self.random_effect:.4f} on average")
        if self.missed_bound is not None:
            found.append(
                f"of the nodes that were not patched, none has more than {self.missed_bound:.4f} "
                f"({self.confidence:.0%} for each; the bound is that of {self.missed_node})"
            )
        spent = ", ".join(f"{name} {passes:g}" for name, passes in self.passes.items())
        found.append(f"forward passes per pair: {spent}; {self.n_nodes} nodes")
        return found


def held_out_pairs(
    cfg: PatchConfig | CircuitConfig | DirectConfig,
    nodes: Sequence[str],
    *,
    by_frame: bool = True,
    sae: str | None = None,
) -> tuple[Pairs, NDArray[np.int64]]:
    """The pairs of windows that a command's settings ask for, and the episode of each, int64 [P].

    Args:
        cfg: Settings of the command.
        nodes: Kinds of nodes.
        by_frame: Whether each frame has nodes of its own.
        sae: Folder of the autoencoder of the nodes `latent`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    policy, contexts = held_out_contexts(cfg)
    policy.requires_grad_(False)
    dictionary = None if sae is None else Dictionary(*load_sae_of(policy, sae))
    space = NodeSpace(policy, cfg.frames, nodes, by_frame=by_frame, dictionary=dictionary)
    windows = Windows(policy, find_metric(cfg.metric, contexts.actions), cfg.frames)
    return Pairs.of(windows, space, contexts.clean, contexts.noise), contexts.episode


def held_out_contexts(
    cfg: PatchConfig | CircuitConfig | DirectConfig | SubspaceConfig,
) -> tuple[VPTPolicy, Contexts]:
    """The policy and the windows that a command's settings ask for.

    Args:
        cfg: Settings of the command.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    if cfg.pairs == TWINS:
        policy, info = load_policy(find_checkpoint(cfg.checkpoint), choose_device(cfg.device))
        twins = twin_windows(info, cfg.data, cfg.changes, cfg.count, cfg.frames)
        return policy, twin_contexts(policy, twins)
    subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
    made = make_contexts(subject.policy, subject.held_out, cfg.pairs, cfg.count, cfg.frames)
    return subject.policy, made


def patch_nodes(cfg: PatchConfig) -> PatchReport:
    """Run `basalt probe patch`: find the nodes that a choice runs through, and write the report to `cfg.out`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    pairs, episode = held_out_pairs(cfg, cfg.nodes, by_frame=cfg.by_frame, sae=cfg.sae)
    report = find_nodes(pairs, episode, cfg)
    if cfg.out:
        report.write(Path(cfg.out))
    return report


def find_nodes(pairs: Pairs, episode: NDArray[np.int64], cfg: PatchConfig) -> PatchReport:
    """Score all nodes, patch those of the largest scores, and bound what the others contribute.

    Args:
        pairs: The pairs.
        episode: Episode of each pair, int64 [P].
        cfg: Settings; those of the policy and the recordings are not used.

    Raises:
        ConfigError: There is no such method.
    """
    space, passes = pairs.space, {}
    if cfg.method == "exhaustive":
        effects, scores = effects_of_nodes(pairs, range(len(space))), None
        ranking = effects.abs().mean(0)
        order = ranking.argsort(descending=True).tolist()
        patched, control = order, ranking
        effects = effects[:, order]
        passes["method"] = 2.0 + len(order)
    else:
        scores, cost = estimate(pairs, cfg.method)
        ranking = scores.mean(0)
        order = ranking.argsort(descending=True).tolist()
        patched = order[: cfg.verify]
        effects = effects_of_nodes(pairs, patched)
        rng = np.random.default_rng(cfg.seed)
        drawn = rng.choice(len(space), min(cfg.verify, len(space)), replace=False)
        control = effects_of_nodes(pairs, drawn.tolist()).abs().mean(0)
        passes |= {
            "method": cost,
            "verification": float(len(patched)),
            "control": float(len(drawn)),
        }
    results = [
        NodeResult(
            name=str(space.nodes[n]),
            **space.nodes[n]._asdict(),
            estimate=None if scores is None else float(ranking[n]),
            effect=over_episodes(effects[:, row].abs(), episode) if row < len(patched) else None,
            change=float(effects[:, row].mean()) if row < len(patched) else None,
        )
        for row, n in enumerate(order)
    ]
    bound, worst = _missed(pairs, order[len(patched) :], cfg)
    if bound is not None:
        passes["bound"] = float(cfg.sets)
    return PatchReport(
        method=cfg.method,
        metric=cfg.metric,
        pairs=cfg.pairs,
        n_nodes=len(space),
        n_pairs=len(pairs),
        episodes=len(np.unique(episode)),
        frames=pairs.windows.frames,
        change=over_episodes(pairs.change.abs(), episode),
        nodes=tuple(results),
        components=_components(space, ranking),
        random_effect=float(control.mean()) if len(control) else None,
        missed_bound=bound,
        missed_node=worst,
        confidence=cfg.confidence,
        passes=passes,
    )


def _missed(pairs: Pairs, rest: list[int], cfg: PatchConfig) -> tuple[float | None, str | None]:
    """The largest bound of the nodes that were not patched, and its node."""
    if not rest or not cfg.sets:
        return None, None
    space = pairs.space
    sets = random_sets(cfg.sets, rest, len(space), cfg.share, cfg.seed)
    effects = effects_of_sets(pairs, sets, title="random sets").double().cpu().numpy()
    bounds = missed_bounds(effects, sets.numpy(), cfg.confidence)[rest]
    if np.isnan(bounds).any():  # some node was in too few sets, so nothing bounds it
        return None, None
    return float(bounds.max()), str(space.nodes[rest[int(bounds.argmax())]])


def over_episodes(values: Tensor, episode: NDArray[np.int64]) -> Estimate:
    """Mean over pairs, with its interval over their episodes."""
    _, group, counts = np.unique(episode, return_inverse=True, return_counts=True)
    totals = np.bincount(group, weights=values.double().cpu().numpy())
    return Estimate.ratio(totals, counts)


def _components(space: NodeSpace, scores: Tensor) -> tuple[ComponentResult, ...]:
    found: dict[str, list[tuple[float, int | None]]] = {}
    for node, score in zip(space.nodes, scores.tolist(), strict=True):
        found.setdefault(str(node.component), []).append((score, node.age))
    rows = [
        ComponentResult(
            name=name, total=sum(s for s, _ in parts), main_age=max(parts, key=_score)[1]
        )
        for name, parts in found.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.total))


def _score(part: tuple[float, int | None]) -> float:
    return part[0]
