"""Targeted probe perturbation and the removal of a spurious correlation, after SAEBench (arXiv 2503.09532).

Both rank features by what they do to a linear probe: the difference of a feature's mean value between both classes, times
its direction's product with the probe's weights. The first few are held at their means, and probes are measured again.
Unlike there, features are held at their means rather than at 0, so that latents and neurons are treated alike.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.probes.records import Estimate
from basalt.probes.removal.bases import Basis
from basalt.probes.suite.concepts import LinearProbe, fit_linear

MIN_ROWS = 20
"""Frames that each combination of labels must have."""

DRAWS = 500
"""Number of bootstrap samples of an interval."""

NOTHING_TO_GAIN = 0.02
"""Gap of accuracy between the biased probe and an unbiased one below which there is nothing to remove."""


class Split(NamedTuple):
    """Activations with labels.

    Attributes:
        x: Activations, float32 [n, d].
        flags: Labels by concept, bool [n] each.
        episode: Episode of each row, int64 [n].
    """

    x: Tensor
    flags: Mapping[str, Tensor]
    episode: NDArray[np.int64]


def balanced(cells: Tensor, seed: int) -> Tensor:
    """Numbers of rows, as many from each cell as the smallest has; none if there is only one cell.

    Args:
        cells: Cell of each row, int64 [n].
        seed: Seed of the choice.
    """
    names, counts = cells.unique(return_counts=True)
    if len(names) < 2:
        return torch.zeros(0, dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for name in names:
        rows = torch.nonzero(cells == name)[:, 0]
        found.append(rows[torch.randperm(len(rows), generator=generator)[: int(counts.min())]])
    return torch.cat(found).sort().values


def ranking(basis: Basis, x: Tensor, flags: Tensor, probe: LinearProbe) -> Tensor:
    """Numbers of the features in order of what they do to a probe, most first.

    Args:
        basis: Features.
        x: Training activations [n, d].
        flags: Labels, bool [n].
        probe: Probe of these labels.
    """
    values = basis.encode(x)
    apart = values[flags].mean(0) - values[~flags].mean(0)
    return (apart * (basis.directions @ probe.weight[:, 0])).abs().argsort(descending=True)


class SpuriousPair:
    """A concept that a probe is asked for, and another that is always present with it in the probe's training.

    Args:
        training: Training activations.
        held_out: Held-out activations.
        target: Concept that is asked for.
        spurious: The other concept.
        seed: Seed of the choice of rows.

    Raises:
        ValueError: A combination of the two is too rare; the message says which.
    """

    def __init__(
        self, training: Split, held_out: Split, target: str, spurious: str, seed: int
    ) -> None:
        rows = {}
        for name, split in (("training", training), ("held-out", held_out)):
            cells = 2 * split.flags[target].long() + split.flags[spurious].long()
            counts = cells.bincount(minlength=4)
            if counts.min() < MIN_ROWS:
                k = int(counts.argmin())
                words = [("" if k // 2 else "not ") + target, ("" if k % 2 else "not ") + spurious]
                raise ValueError(f"only {int(counts[k])} {name} frames are {' and '.join(words)}")
            rows[name] = balanced(cells, seed)
        labels, other = training.flags[target], training.flags[spurious]
        same = torch.nonzero(labels == other)[:, 0]
        same = same[balanced(labels[same].long(), seed)]
        self.biased = fit_linear(training.x[same], labels[same][:, None])
        chosen = rows["training"]
        self._x, self._spurious = training.x[chosen], other[chosen]
        oracle = fit_linear(self._x, labels[chosen][:, None])
        self._probe = fit_linear(self._x, self._spurious[:, None])
        test = rows["held-out"]
        self._test, self._target = held_out.x[test], held_out.flags[target][test]
        _, self._group = np.unique(held_out.episode[test.numpy()], return_inverse=True)
        self._base = self._right(self.biased, self._test)
        self._gain = self._right(oracle, self._test) - self._base
        self.accuracy = float(self._base.sum() / len(test))
        self.oracle = self.accuracy + float(self._gain.sum() / len(test))

    def _right(self, probe: LinearProbe, x: Tensor) -> NDArray[np.float64]:
        """Number of right answers in each episode."""
        right = (probe.scores(x)[:, 0] > 0) == self._target
        return np.asarray(np.bincount(self._group, right.double().numpy()), np.float64)

    def score(self, basis: Basis, sizes: Sequence[int]) -> list[Estimate]:
        """Share of the gap between the biased probe and an unbiased one that is closed, by number of features.

        Args:
            basis: Features.
            sizes: Numbers of features to remove.
        """
        if self.oracle - self.accuracy < NOTHING_TO_GAIN:
            return [Estimate(value=None)] * len(sizes)
        order = ranking(basis, self._x, self._spurious, self._probe)
        mean = basis.encode(self._x).mean(0)
        found = []
        for size in sizes:
            chosen = order[:size]
            x = basis.removed(self._test, chosen, mean[chosen])
            found.append(Estimate.ratio(self._right(self.biased, x) - self._base, self._gain))
        return found


class Perturbation:
    """Probes of several concepts, and what the removal of one concept's features takes from each.

    Args:
        training: Training activations.
        held_out: Held-out activations.
        seed: Seed of the choice of rows.
    """

    def __init__(self, training: Split, held_out: Split, seed: int) -> None:
        self._names = list(training.flags)
        self._training, self._held_out = training, held_out
        self._probes, self._rows, self._tests = [], [], []
        for name in self._names:
            rows = balanced(training.flags[name].long(), seed)
            self._rows.append(rows)
            self._probes.append(fit_linear(training.x[rows], training.flags[name][rows][:, None]))
            self._tests.append(balanced(held_out.flags[name].long(), seed))
        number_of, self._group = np.unique(held_out.episode, return_inverse=True)
        self._episodes = len(number_of)
        self._count = np.stack(
            [np.bincount(self._group[rows], minlength=self._episodes) for rows in self._tests], 1
        )

    def _right(self, x: Tensor) -> NDArray[np.float64]:
        """Number of right answers by episode and probe."""
        found = []
        for name, probe, rows in zip(self._names, self._probes, self._tests, strict=True):
            right = (probe.scores(x[rows])[:, 0] > 0) == self._held_out.flags[name][rows]
            weights = right.double().numpy()
            found.append(np.bincount(self._group[rows], weights, minlength=self._episodes))
        return np.stack(found, 1)

    def score(self, basis: Basis, sizes: Sequence[int]) -> list[Estimate]:
        """Mean loss of accuracy of a concept's own probe, less that of the others' probes, by number of features.

        Args:
            basis: Features.
            sizes: Numbers of features to remove.
        """
        base = self._right(self._held_out.x)
        orders, means = [], []
        for name, probe, rows in zip(self._names, self._probes, self._rows, strict=True):
            x = self._training.x[rows]
            orders.append(ranking(basis, x, self._training.flags[name][rows], probe))
            means.append(basis.encode(x).mean(0))
        found = []
        for size in sizes:
            lost = []  # [removed concept][episodes, probes]
            for order, mean in zip(orders, means, strict=True):
                chosen = order[:size]
                x = basis.removed(self._held_out.x, chosen, mean[chosen])
                lost.append(base - self._right(x))
            found.append(self._estimate(np.stack(lost, 1)))
        return found

    def _estimate(self, lost: NDArray[np.float64]) -> Estimate:
        """From right answers lost, by episode, removed concept and probe."""
        own = np.eye(len(self._names), dtype=bool)

        def value(picks: NDArray[np.int64]) -> float:
            share = lost[picks].sum(0) / np.maximum(self._count[picks].sum(0), 1)
            return float(share[own].mean() - share[~own].mean())

        rng = np.random.default_rng(0)
        everything = np.arange(self._episodes)
        drawn = [value(rng.integers(self._episodes, size=self._episodes)) for _ in range(DRAWS)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = (float(low), float(high)) if self._episodes >= 3 else None
        return Estimate(value=value(everything), interval=interval)
