"""How well fast estimates find what activation patching finds, on a planted circuit and on a policy with random weights."""

import argparse
import resource
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy
from basalt.probes.patching.attribution import METHODS, estimate
from basalt.probes.patching.exact import Pairs, effects_of_nodes, effects_of_sets
from basalt.probes.patching.metrics import find_metric
from basalt.probes.patching.nodes import NodeSpace
from basalt.probes.patching.search import search_blocks, search_tree
from basalt.probes.patching.verification import (
    differences,
    missed_bounds,
    random_sets,
    relative_cost,
    search_cost,
)
from basalt.probes.patching.window import Windows
from basalt.probes.suite.concepts import column_auc, ranks
from benchmarks.planted_circuit import FRAMES, planted_policy

AIM = 50
"""Times that the estimate of all nodes is to be cheaper than patching all of them, in forward passes."""

BLOCK, BRANCHING = 12, 3
"""Nodes of a block, here those of one part at all frames; and parts that a group is split into."""

NODES = ("q", "k", "v", "r", "z", "mlp")


def run(argv: list[str]) -> dict[str, Any]:
    """Run `basalt bench patching`.

    Returns:
        `figures`: by subject and metric, how each method agrees with patching every node; `ratio`: forward passes of
        patching every node of the random policy over those of AtP*, over `AIM`.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench patching", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--pairs", type=int, default=16, help="number of pairs of windows")
    parser.add_argument(
        "--frames", type=int, default=128, help="frames of the random policy's windows"
    )
    parser.add_argument(
        "--draws", type=int, default=200, help="draws of the bound, for its coverage"
    )
    parser.add_argument(
        "--sets", type=int, default=512, help="random sets of the subsampling baseline"
    )
    parser.add_argument(
        "--large", action="store_true", help="also time and memory of the published 1x architecture"
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for metric in ("camera.yaw", "forward"):
        pairs, true = _planted(metric, options.pairs)
        figures[f"planted {metric}"] = _compared(pairs, true, options.sets) | {
            "search": _searched(pairs),
            "bound_coverage": _coverage(pairs, options.draws),
        }
    if options.large:
        figures["random 1x policy"] = _large(options.frames)
    pairs = _random("small", options.frames, 1)
    figures["random small policy"] = found = _compared(pairs, None, options.sets)
    ratio = found["methods"]["exhaustive"]["passes"] / found["methods"]["atp_star"]["passes"]
    return {
        "name": "patching",
        "figures": figures,
        "peer": f"patching every node; the aim is {AIM} times fewer forward passes",
        "ratio": ratio / AIM,
    }


def _planted(metric: str, count: int) -> tuple[Pairs, Tensor]:
    planted = planted_policy()
    space = NodeSpace(planted.policy, FRAMES, NODES)
    windows = Windows(planted.policy, find_metric(metric), FRAMES)
    pairs = Pairs.of(windows, space, planted.inputs(count, 1), planted.inputs(count, 2))
    return pairs, planted.true_nodes(space, metric)


def _random(size: str, frames: int, count: int) -> Pairs:
    torch.manual_seed(0)
    policy = VPTPolicy(VPTConfig.preset(size)).eval().requires_grad_(False)
    x, y = torch.randn(2, count, frames, policy.config.hidsize)
    windows = Windows(policy, find_metric("camera.yaw"), frames)
    return Pairs.of(windows, NodeSpace(policy, frames, NODES), x, y)


def _large(frames: int) -> dict[str, Any]:
    """What estimates and patching cost on one pair of windows of the 1x architecture, its frames encoded before."""
    pairs = _random("1x", frames, 1)
    nodes = len(pairs.space)
    seconds = {}
    for method in ("atp", "atp_star", "ig"):
        began = time.process_time()
        estimate(pairs, method)
        seconds[method] = time.process_time() - began
    # A run begins at the block that is patched, so nodes evenly over the blocks stand for all.
    drawn = np.linspace(0, nodes - 1, 8).astype(int).tolist()
    began = time.process_time()
    effects_of_nodes(pairs, drawn)
    node = (time.process_time() - began) / len(drawn)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {
        "frames": frames, "nodes": nodes, "cpu_s": seconds, "cpu_s_per_patched_node": node,
        "cpu_h_exhaustive": node * nodes / 3600, "peak_memory_mb": peak,
    }  # fmt: skip


def _scores(pairs: Pairs, n_sets: int) -> Iterator[tuple[str, Tensor, float]]:
    """Name, score of each node, and forward passes per pair of each method."""
    space = pairs.space
    for method in METHODS:
        scores, passes = estimate(pairs, method)
        yield method, scores.mean(0), passes
    for share in (0.5, 0.05):
        sets = random_sets(n_sets, range(len(space)), len(space), share, 0)
        effects = effects_of_sets(pairs, sets).double().numpy()
        found = [abs(differences(one, sets.numpy()).mean) for one in effects]
        yield f"subsampling {share:g}", torch.from_numpy(np.nan_to_num(np.mean(found, 0))), n_sets
    moved = {}
    for site in space.sites:
        change = pairs.noise.activations[site.name] - pairs.clean.activations[site.name]
        moved[site.block, site.kind] = change.unflatten(-1, (site.groups, -1)).norm(dim=-1)
    yield "largest change", space.gather(moved).mean(0), 2.0
    yield "random", torch.rand(len(space), generator=torch.Generator().manual_seed(0)), 0.0


def _compared(pairs: Pairs, true: Tensor | None, n_sets: int) -> dict[str, Any]:
    began, nodes = time.process_time(), len(pairs.space)
    effects = effects_of_nodes(pairs, range(nodes)).abs().mean(0)
    found = {"exhaustive": _figures(effects, effects, true, 0.0) | {"passes": float(nodes)}}
    found["exhaustive"]["cpu_s"] = time.process_time() - began
    for name, scores, passes in _scores(pairs, n_sets):
        found[name] = _figures(scores, effects, true, passes)
    return {"nodes": nodes, "pairs": len(pairs), "methods": found}


def _searched(pairs: Pairs) -> dict[str, float]:
    """By search: its cost to find the nodes of largest effect, relative to an oracle's."""
    nodes = len(pairs.space)
    effects = effects_of_nodes(pairs, range(nodes)).abs().mean(0).numpy()

    def measure(parts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        sets = torch.zeros(len(parts), nodes, dtype=torch.bool)
        for row, part in enumerate(parts):
            sets[row, torch.tensor(list(part))] = True
        return effects_of_sets(pairs, sets).double().abs().mean(0).numpy()

    return {
        "blocks": search_cost(search_blocks(nodes, BLOCK, measure), effects),
        "hierarchical": search_cost(search_tree(nodes, BRANCHING, measure), effects),
    }


def _figures(scores: Tensor, effects: Tensor, true: Tensor | None, passes: float) -> dict[str, Any]:
    order = scores.argsort(descending=True).tolist()
    top = set(effects.topk(20).indices.tolist())
    ranked = ranks(torch.stack([scores.double(), effects.double()], -1)).T
    return {
        "auroc": None if true is None else column_auc(scores.numpy(), true.numpy()),
        "rank_correlation": float(torch.corrcoef(ranked)[0, 1]),
        "top_20": len(top & set(order[:20])) / 20,
        "relative_cost": relative_cost(order, effects.numpy(), passes),
        "passes": passes,
    }


def _coverage(pairs: Pairs, draws: int) -> float:
    """Share of draws of random sets in which the 99% bound of the node of largest effect covers it."""
    space = pairs.space
    effects = effects_of_nodes(pairs, range(len(space))).abs().mean(0)
    # AtP* orders; the first 20 are patched, and the bound is on the largest of the others.
    order = estimate(pairs, "atp_star").scores.mean(0).argsort(descending=True).tolist()
    rest = order[20:]
    worst = max(rest, key=lambda n: float(effects[n]))
    covered = 0
    for seed in range(draws):
        sets = random_sets(64, rest, len(space), 0.1, seed)
        found = effects_of_sets(pairs, sets).double().numpy()
        covered += bool(missed_bounds(found, sets.numpy(), 0.99)[worst] >= float(effects[worst]))
    return covered / draws
