"""`basalt probe grok`: the four predictions of circuit efficiency, on networks that add modulo p (arXiv 2309.02390).

A network can answer by a circuit that memorises or by one that generalises. Weight decay favours the one with the larger
margin for the same norm of weights, the more efficient one: margin / norm^3, since logits scale with the cube of all
weights. Memorised pairs share one norm, so memorising gets less efficient with more pairs; generalising does not. At a
critical number of pairs both are equal.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from safetensors.torch import load_file

from basalt.core.registry import did_you_mean
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.io.tensors import write_tensors
from basalt.probes.grokking.networks import NETWORKS
from basalt.probes.grokking.training import Point, Task, train
from basalt.probes.records import Part, ProbeRecord, number
from basalt.probes.settings import GrokConfig

Kind = Literal["memorise", "generalise", "scratch", "ungrok"]
"""memorise: random answers; generalise: true answers, enough to generalise; scratch: true answers, few; ungrok: the
generalising network of `source` pairs trained on with fewer pairs."""

KIND = "folder of grokking runs"

FILE = "grok.json"

LONGER = 2.5
"""How many times as many steps networks get that are trained on few pairs from the start."""

FELL, FLAT = 2.0, 1.25
"""Efficiency falls if it is more than `FELL` times as large at the fewest pairs as at the most; it is flat within `FLAT`."""

AWAY = 1.5
"""Sizes are near the critical one within this factor, and away from it beyond."""

LOW, HIGH = 0.1, 0.9
"""Test accuracy below which a network does not generalise, and above which it does."""

DELAY = 3.0
"""A rise is delayed if half of it comes after this many times the steps that training accuracy took."""


class RunResult(ProbeRecord):
    """One training (`runs/NAME.json`).

    Attributes:
        kind: What was trained on.
        seed: Seed of the order of pairs and of the weights.
        n: Number of pairs.
        weight_decay: Weight decay.
        curve: Accuracies in the course of the training.
        margin: Mean over the training pairs of the right logit less the mean of the others.
        norm: L2 norm of all weights.
        efficiency: 10^4 margin / norm^3.
    """

    FORMAT: ClassVar[str] = "basalt-grokking-run"

    kind: Kind
    seed: int
    n: int
    weight_decay: float
    curve: tuple[Point, ...]
    margin: float
    norm: float
    efficiency: float

    @property
    def test(self) -> float:
        """Test accuracy at the end."""
        return self.curve[-1].test

    @property
    def is_delayed(self) -> bool:
        """Whether test accuracy rose late: half of it after `DELAY` times the steps to fit the training pairs."""
        fitted = next((point.step for point in self.curve if point.train > 0.99), None)
        risen = next(point.step for point in self.curve if point.test >= self.test / 2)
        return fitted is not None and risen > DELAY * fitted


class Prediction(Part):
    """One prediction.

    Attributes:
        name: What is predicted.
        found: By seed: what was found, for people.
        held: By seed: whether it held.
    """

    name: str
    found: tuple[str, ...]
    held: tuple[bool, ...]


class GrokReport(ProbeRecord):
    """The four predictions, and the runs that they rest on (`report.json`).

    Attributes:
        network, p: The network and the modulus.
        seeds: Seeds.
        critical: By seed: number of pairs at which both circuits are as efficient; None if the two do not cross.
        predictions: The predictions.
        runs: All runs, with the ends of their curves only.
    """

    FORMAT: ClassVar[str] = "basalt-grokking"

    network: str
    p: int
    seeds: tuple[int, ...]
    critical: tuple[float | None, ...]
    predictions: tuple[Prediction, ...]
    runs: tuple[RunResult, ...]

    def lines(self) -> list[str]:
        """The predictions, and tables over sizes with the mean and the range over seeds."""
        critical = ", ".join(number(one, ".0f") for one in self.critical)
        found = [
            f"{self.network} network, sums modulo {self.p}, {len(self.seeds)} seeds; critical number of pairs: {critical}",
        ]
        for one in self.predictions:
            found.append(f"{sum(one.held)} of {len(one.held)} seeds: {one.name}")
            found += [
                f"  seed {seed}: {text}" for seed, text in zip(self.seeds, one.found, strict=True)
            ]
        found.append(
            f"{'runs':<12}{'pairs':>7}{'weight decay':>14}  test accuracy        efficiency"
        )
        keys = dict.fromkeys((run.kind, run.n, run.weight_decay) for run in self.runs)
        for kind, n, decay in keys:
            same = [r for r in self.runs if (r.kind, r.n, r.weight_decay) == (kind, n, decay)]
            test = "" if kind == "memorise" else _spread([run.test for run in same], ".3f")
            efficiency = _spread([run.efficiency for run in same], ".2f")
            found.append(f"{kind:<12}{n:>7}{decay:>14g}  {test:<20} {efficiency}")
        return found


def _spread(values: Sequence[float], form: str) -> str:
    """Mean and range of values over seeds."""
    mean = f"{np.mean(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


@dataclass(frozen=True)
class _Run:
    """A training to do."""

    kind: Kind
    seed: int
    n: int
    weight_decay: float
    steps: int

    @property
    def name(self) -> str:
        return f"seed-{self.seed}-{self.kind}-{self.n}-{self.weight_decay:g}"


def grok(cfg: GrokConfig) -> GrokReport:
    """Run `basalt probe grok`: do the trainings that are not done yet, and write `report.json`.

    Raises:
        ConfigError: There is no such network, a size is not a number of pairs, or the folder holds other runs.
    """
    if cfg.network not in NETWORKS:
        raise ConfigError(
            f"network: unknown network {cfg.network!r}; {did_you_mean(cfg.network, NETWORKS)}available: {', '.join(NETWORKS)}"
        )
    total = cfg.p * (cfg.p + 1) // 2
    for name in ("memorise", "generalise", "scratch", "ungrok"):
        sizes = getattr(cfg, name)
        if not sizes or not all(0 < size < total for size in sizes):
            raise ConfigError(
                f"{name}: expected numbers of pairs from 1 to {total - 1}, got {list(sizes)}"
            )
    if cfg.source not in cfg.generalise:
        raise ConfigError(
            f"source: expected one of generalise={list(cfg.generalise)}, got {cfg.source}"
        )
    out = Path(cfg.out)
    with sole_writer(out, KIND):
        facts = {
            name: getattr(cfg, name)
            for name in ("network", "p", "steps", "lr", "weight_decay", "source")
        }
        claim(out / FILE, KIND, facts)
        runs = [run for seed in cfg.seeds for run in _runs(cfg, seed)]
        results = []
        with progress_bar(total=len(runs), title="trainings", unit="run") as bar:
            for run in runs:
                file = out / "runs" / f"{run.name}.json"
                if not file.is_file():
                    _train(cfg, run, out).write(file)
                results.append(RunResult.read(file))
                bar.update()
        report = make_report(cfg, results)
        report.write(out / "report.json")
    return report


def _runs(cfg: GrokConfig, seed: int) -> Iterator[_Run]:
    for n in cfg.memorise:
        yield _Run("memorise", seed, n, cfg.weight_decay, cfg.steps)
    for n in cfg.generalise:
        yield _Run("generalise", seed, n, cfg.weight_decay, cfg.steps)
    for n in cfg.scratch:
        yield _Run("scratch", seed, n, cfg.weight_decay, int(LONGER * cfg.steps))
    for n in cfg.ungrok:
        for factor in cfg.decays:
            yield _Run("ungrok", seed, n, cfg.weight_decay * factor, cfg.steps)


def _train(cfg: GrokConfig, run: _Run, out: Path) -> RunResult:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = NETWORKS[cfg.network](cfg.p)
    source = out / f"seed-{run.seed}.safetensors"
    if run.kind == "ungrok":
        network.load_state_dict(load_file(source))
    task = Task.make(cfg.p, run.seed, random_labels=run.kind == "memorise")
    trained = train(network, task, run.n, steps=run.steps, lr=cfg.lr, weight_decay=run.weight_decay)
    if run.kind == "generalise" and run.n == cfg.source:
        write_tensors(source, network.state_dict())
    return RunResult(
        kind=run.kind,
        seed=run.seed,
        n=run.n,
        weight_decay=run.weight_decay,
        curve=trained.curve,
        margin=trained.margin,
        norm=trained.norm,
        efficiency=1e4 * trained.margin / trained.norm**network.DEGREE,
    )


def make_report(cfg: GrokConfig, runs: Sequence[RunResult]) -> GrokReport:
    """What the runs say about the predictions.

    Args:
        cfg: Settings.
        runs: All runs of `cfg.seeds`.
    """
    critical = []
    predictions: dict[str, list[tuple[str, bool]]] = {}
    for seed in cfg.seeds:
        mine = [run for run in runs if run.seed == seed]
        size = critical_size(mine)
        critical.append(size)
        for name, found in (
            (
                "memorising gets less efficient with more pairs, generalising does not",
                _efficiency(mine),
            ),
            ("the two are equally efficient at a critical number of pairs", _crossing(mine, size)),
            (
                "fewer pairs than that undo generalising, whatever the weight decay",
                _ungrokking(mine, size),
            ),
            ("near it, networks generalise late and in part", _semi_grokking(mine, size)),
        ):
            predictions.setdefault(name, []).append(found)
    return GrokReport(
        network=cfg.network,
        p=cfg.p,
        seeds=cfg.seeds,
        critical=tuple(critical),
        predictions=tuple(
            Prediction(name=name, found=tuple(t for t, _ in rows), held=tuple(h for _, h in rows))
            for name, rows in predictions.items()
        ),
        runs=tuple(run.model_copy(update={"curve": run.curve[-1:]}) for run in runs),
    )


def _by_size(runs: Sequence[RunResult], kind: Kind) -> list[RunResult]:
    return sorted((run for run in runs if run.kind == kind), key=lambda run: run.n)


def critical_size(runs: Sequence[RunResult]) -> float | None:
    """Number of pairs at which memorising is as efficient as generalising is on average; None if they do not cross.

    Between two sizes, the logarithm of the efficiency is taken to be linear in that of the size.

    Args:
        runs: Runs of a seed.
    """
    memorise = _by_size(runs, "memorise")
    level = math.log(np.mean([run.efficiency for run in _by_size(runs, "generalise")]))
    sizes = [math.log(run.n) for run in memorise]
    above = [math.log(run.efficiency) - level for run in memorise]
    for k in range(len(above) - 1):
        if above[k] >= 0 > above[k + 1]:
            part = above[k] / (above[k] - above[k + 1])
            return math.exp(sizes[k] + part * (sizes[k + 1] - sizes[k]))
    return None


def _efficiency(runs: Sequence[RunResult]) -> tuple[str, bool]:
    memorise, generalise = (
        [run.efficiency for run in _by_size(runs, kind)] for kind in ("memorise", "generalise")
    )
    fell, varied = memorise[0] / memorise[-1], max(generalise) / min(generalise)
    text = f"{fell:.2f} times as efficient at the fewest pairs as at the most; generalising varies {varied:.2f} times"
    return text, fell > FELL and varied < FLAT


def _crossing(runs: Sequence[RunResult], size: float | None) -> tuple[str, bool]:
    sizes = [run.n for run in _by_size(runs, "memorise")]
    if size is None:
        return f"no crossing between {sizes[0]} and {sizes[-1]} pairs", False
    return f"{size:.0f} pairs", True


def _ungrokking(runs: Sequence[RunResult], size: float | None) -> tuple[str, bool]:
    by_n: dict[int, list[float]] = {}
    for run in _by_size(runs, "ungrok"):
        by_n.setdefault(run.n, []).append(run.test)
    spread = {n: max(values) - min(values) for n, values in by_n.items()}
    parts = [f"{n}: {min(values):.2f} to {max(values):.2f}" for n, values in by_n.items()]
    text = f"test accuracy over weight decays by pairs, {'; '.join(parts)}"
    if size is None:
        return text, False
    below = [n for n in by_n if n * AWAY < size]
    beyond = [n for n in by_n if n > size * AWAY]
    held = (
        bool(below and beyond)
        and all(max(by_n[n]) < LOW for n in below)
        and all(min(by_n[n]) > HIGH for n in beyond)
        and all(spread[n] < LOW for n in (*below, *beyond))
    )
    return text, held


def _semi_grokking(runs: Sequence[RunResult], size: float | None) -> tuple[str, bool]:
    parts, held = [], False
    for run in _by_size(runs, "scratch"):
        near = size is not None and size / AWAY < run.n < size * AWAY
        held |= near and LOW < run.test < HIGH and run.is_delayed
        parts.append(f"{run.n}: {run.test:.2f}{' late' if run.is_delayed else ''}")
    return f"test accuracy by pairs, {'; '.join(parts)}", held
