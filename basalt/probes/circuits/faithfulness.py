"""`basalt probe circuit`: how much of a choice a circuit carries, by its size.

A circuit is the set of the nodes of largest estimated contribution. All other nodes are ablated: replaced by zero, by
their mean, or by their activation in the other window of the pair (resample). With m the metric, the faithfulness of a
circuit C is f = (m(C) - m(nothing)) / (m(everything) - m(nothing)); over pairs, the numerators and denominators are
summed, each pair with the sign that makes its denominator positive. CPR is the area under f over the share of nodes,
CMD the area between f and 1 (the measures of MIB, arXiv 2504.13151).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.io.errors import ConfigError
from basalt.probes.patching.attribution import estimate
from basalt.probes.patching.exact import Pairs, effects_of_nodes, effects_of_sets
from basalt.probes.patching.probe import held_out_pairs
from basalt.probes.records import Estimate, Part, ProbeRecord, number
from basalt.probes.settings import CircuitConfig

SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Sizes of circuits, as shares of all nodes (MIB's)."""

ABLATIONS = ("zero", "mean", "resample")


class Curve(Part):
    """Faithfulness over the size of the circuit.

    Attributes:
        ablation: What replaces the nodes outside the circuit, of `ABLATIONS`.
        faithfulness: f at each size in the report's `sizes`; None where the ablation of everything changes nothing.
        cpr: Area under f over the share of nodes, with its interval over episodes.
        cmd: Area between f and 1.
    """

    ablation: str
    faithfulness: tuple[float | None, ...]
    cpr: Estimate
    cmd: float | None


class CircuitReport(ProbeRecord):
    """How much of a choice the nodes of largest contribution carry, on held-out recordings.

    Attributes:
        method, metric, pairs: As asked for.
        n_nodes, n_pairs, episodes, frames: Sizes: nodes, pairs, episodes that they are from, frames of a window.
        sizes: Number of nodes in each circuit.
        curves: By ablation, of the circuits in the method's order.
        random_curves: By ablation, the mean over circuits of random nodes, a control.
        order: Names of the nodes, largest contribution first.
    """

    FORMAT: ClassVar[str] = "basalt-circuit"

    method: str
    metric: str
    pairs: str
    n_nodes: int
    n_pairs: int
    episodes: int
    frames: int
    sizes: tuple[int, ...]
    curves: tuple[Curve, ...]
    random_curves: tuple[Curve, ...]
    order: tuple[str, ...]

    def lines(self) -> list[str]:
        """The curves, one column per ablation, with the control beside each."""
        columns = [
            curve for both in zip(self.curves, self.random_curves, strict=True) for curve in both
        ]
        titles = [title for curve in self.curves for title in (curve.ablation, "random nodes")]
        found = [
            f"{self.metric}: faithfulness of circuits of the largest nodes by {self.method}, {self.n_pairs} pairs "
            f"({self.pairs}) of {self.episodes} held-out episodes, {self.n_nodes} nodes",
            f"{'nodes':>8}" + "".join(f"{title:>14}" for title in titles),
        ]
        for row, size in enumerate(self.sizes):
            values = (number(curve.faithfulness[row], ".3f") for curve in columns)
            found.append(f"{size:>8}" + "".join(f"{value:>14}" for value in values))
        for name, cells in (
            ("CPR", [number(curve.cpr.value, ".3f") for curve in columns]),
            ("95%", [curve.cpr.range_text(".2f") for curve in columns]),
            ("CMD", [number(curve.cmd, ".3f") for curve in columns]),
        ):
            found.append(f"{name:>8}" + "".join(f"{cell:>14}" for cell in cells))
        found.append(f"first nodes: {', '.join(self.order[:12])}")
        return found


def circuit(cfg: CircuitConfig) -> CircuitReport:
    """Run `basalt probe circuit`: measure circuits on held-out recordings, and write the report to `cfg.out`.

    Raises:
        BasaltError: The checkpoint or data is missing or too short, or a setting is unknown.
    """
    pairs, episode = held_out_pairs(cfg, cfg.nodes, by_frame=cfg.by_frame)
    report = measure_circuits(pairs, episode, cfg)
    if cfg.out:
        report.write(Path(cfg.out))
    return report


def measure_circuits(pairs: Pairs, episode: NDArray[np.int64], cfg: CircuitConfig) -> CircuitReport:
    """Faithfulness curves of the method's order and of random orders, for every ablation.

    Args:
        pairs: The pairs.
        episode: Episode of each pair, int64 [P].
        cfg: Settings; those of the policy and the recordings are not used.

    Raises:
        ConfigError: There is no such method or ablation.
    """
    for name in cfg.ablations:
        if name not in ABLATIONS:
            raise ConfigError(f"ablations: expected {', '.join(ABLATIONS)}, got {name!r}")
    space = pairs.space
    if cfg.method == "exhaustive":
        scores = effects_of_nodes(pairs, range(len(space))).abs().mean(0)
    else:
        scores = estimate(pairs, cfg.method).scores.mean(0)
    order = scores.argsort(descending=True).tolist()
    rng = np.random.default_rng(cfg.seed)
    control = [rng.permutation(len(space)).tolist() for _ in range(cfg.random)]
    sizes = circuit_sizes(len(space))
    return CircuitReport(
        method=cfg.method,
        metric=cfg.metric,
        pairs=cfg.pairs,
        n_nodes=len(space),
        n_pairs=len(pairs),
        episodes=len(np.unique(episode)),
        frames=pairs.windows.frames,
        sizes=sizes,
        curves=tuple(faithfulness(pairs, [order], name, episode) for name in cfg.ablations),
        random_curves=tuple(faithfulness(pairs, control, name, episode) for name in cfg.ablations),
        order=tuple(str(space.nodes[n]) for n in order),
    )


def circuit_sizes(nodes: int) -> tuple[int, ...]:
    """Numbers of nodes of the circuits that are measured, ascending, each once."""
    return tuple(sorted({round(share * nodes) for share in SHARES}))


def faithfulness(
    pairs: Pairs, orders: Sequence[Sequence[int]], ablation: str, episode: NDArray[np.int64]
) -> Curve:
    """The curve of circuits that are the first nodes of an order, averaged over orders.

    Args:
        pairs: The pairs.
        orders: Orders of all nodes, the first of a circuit first.
        ablation: One of `ABLATIONS`.
        episode: Episode of each pair, int64 [P].
    """
    sizes = circuit_sizes(len(pairs.space))
    replaced = torch.ones(len(orders) * len(sizes), len(pairs.space), dtype=torch.bool)
    for row, order in enumerate(orders):
        for column, size in enumerate(sizes):
            replaced[
                row * len(sizes) + column, torch.tensor(list(order[:size]), dtype=torch.long)
            ] = False
    # m(C) - m(everything) of each pair and circuit; the smallest circuit is empty, the largest everything.
    change = effects_of_sets(pairs, replaced, _values(pairs, ablation), title=ablation)
    change = change.double().cpu().unflatten(1, (len(orders), len(sizes))).mean(1)
    whole = -change[:, :1]
    gained = ((change + whole) * whole.sign()).numpy()
    worth = whole.abs()[:, 0].numpy()
    share = np.array(sizes) / len(pairs.space)
    number_of, group = np.unique(episode, return_inverse=True)
    by_episode = (
        np.bincount(group, weights=x, minlength=len(number_of))
        for x in (np.trapezoid(gained, share, axis=1), worth)
    )
    if not worth.sum():
        nothing = (None,) * len(sizes)
        return Curve(ablation=ablation, faithfulness=nothing, cpr=Estimate(value=None), cmd=None)
    curve = gained.sum(0) / worth.sum()
    return Curve(
        ablation=ablation,
        faithfulness=tuple(curve.tolist()),
        cpr=Estimate.ratio(*by_episode),
        cmd=float(np.trapezoid(abs(1 - curve), share)),
    )


def _values(pairs: Pairs, ablation: str) -> dict[str, Tensor]:
    """By hook point: what replaces an activation, float [P, T, width]."""
    if ablation == "resample":
        return pairs.noise.activations
    clean = {site.name: pairs.clean.activations[site.name] for site in pairs.space.sites}
    if ablation == "zero":
        return {name: torch.zeros_like(x) for name, x in clean.items()}
    return {name: x.mean((0, 1)).expand_as(x) for name, x in clean.items()}
