"""The checks that a probe without labels must pass before its accuracy says anything (Farquhar et al. 2023, arXiv 2312.10029).

Any feature of the pairs that is opposite on both sides has a CCS loss of 0, so a low loss and even a high accuracy do not
show that a probe found what was asked for. So each method is fitted again to pairs with a planted distractor.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.probes.elicitation.methods import (
    UNSUPERVISED,
    Fit,
    Normalisation,
    Sides,
    ccs_starts,
    random_direction,
    supervised,
)
from basalt.probes.records import Estimate, Part

RANDOM = 200
"""Number of random directions of the floor."""

ORTHOGONAL = 4
"""Largest number of further, orthogonal probes that are fitted."""

NEAR = 0.05
"""Accuracies that differ by less are about the same."""

PLANTED = ("square", "arrow")
"""The planted distractors: a coloured square on a random side, and the opinion of another, an arrow to a random side."""

TEMPLATES = ("plain", "dim", "framed")
"""The same pairs as pictures of another look, in which nothing that is asked for changes."""


class Variant(NamedTuple):
    """The pairs in one look.

    Attributes:
        sides: Activations.
        planted: What the planted distractor says about each pair, bool [n]; None without one.
    """

    sides: Sides
    planted: Tensor | None = None


class PairSet(NamedTuple):
    """n contrast pairs in all looks.

    Attributes:
        variants: By name in `PLANTED` and `TEMPLATES`.
        truth: Whether the statement holds for x+, bool [n].
        group: Episode or seed of each pair, int64 [n].
        test: Pairs that no probe is fitted to, bool [n]; their groups have no other pairs.
    """

    variants: Mapping[str, Variant]
    truth: Tensor
    group: NDArray[np.int64]
    test: Tensor


class PlantedResult(Part):
    """A method fitted to pairs with a planted distractor, on held-out pairs with it.

    Attributes:
        truth: Accuracy on what was asked for.
        planted: Accuracy on the distractor.
    """

    truth: Estimate
    planted: Estimate


class MethodResult(Part):
    """A probe without labels on held-out pairs; the better of both signs counts, since the sign is arbitrary.

    Attributes:
        method: Name in `UNSUPERVISED`.
        accuracy: Share of pairs on which it says what is true.
        agreement: By name of another method: share of pairs on which both say the same.
        random_agreement: 95% quantile over random directions of their agreement with it.
        loss, random_loss: CCS's loss on held-out pairs, and the median of that of random directions; None for other methods.
        seeds: Accuracy from each seed, or from each start of CCS.
        planted: By distractor.
        templates: By look: accuracy on it, fitted to it.
        orthogonal: Number of further probes, each orthogonal to all before, that are about as accurate.
        checks: By name of a check: whether it passed.
    """

    method: str
    accuracy: Estimate
    agreement: dict[str, float]
    random_agreement: float
    loss: float | None
    random_loss: float | None
    seeds: tuple[float, ...]
    planted: dict[str, PlantedResult]
    templates: dict[str, Estimate]
    orthogonal: int
    checks: dict[str, bool]


class Results(NamedTuple):
    """What all methods found.

    Attributes:
        methods: The methods.
        ceiling: Accuracy of logistic regression with labels.
        floor: 95% quantile of the accuracies of random directions.
    """

    methods: tuple[MethodResult, ...]
    ceiling: Estimate
    floor: float


class _Fold:
    """Pairs of one look, normalised, split into those that probes are fitted to and the others."""

    def __init__(self, pairs: PairSet, look: str) -> None:
        variant = pairs.variants[look]
        train, test = (
            Sides(*(x[chosen] for x in variant.sides)) for chosen in (~pairs.test, pairs.test)
        )
        norm = Normalisation.of(train)
        self.train, self.test = norm(train), norm(test)
        self.truth = pairs.truth[pairs.test]
        self.planted = None if variant.planted is None else variant.planted[pairs.test]
        self._group = pairs.group[pairs.test.numpy()]

    def estimate(self, said: Tensor, true: Tensor | None = None) -> Estimate:
        """Accuracy of what a probe says of the test pairs, with the better sign, and its interval over groups."""
        right = said == (self.truth if true is None else true)
        if right.float().mean() < 0.5:
            right = ~right
        return self.exact(right)

    def exact(self, right: Tensor) -> Estimate:
        """Share of test pairs that are right, with its interval over groups."""
        _, group, counts = np.unique(self._group, return_inverse=True, return_counts=True)
        return Estimate.ratio(np.bincount(group, weights=right.double().numpy()), counts)


def agreement(said: Tensor, other: Tensor) -> float:
    """Share of pairs on which two probes say the same, with the better of both signs."""
    same = float((said == other).float().mean())
    return max(same, 1 - same)


def run_checks(pairs: PairSet, seed: int = 0) -> Results:
    """Fit every method and run all checks.

    Args:
        pairs: The pairs in all looks.
        seed: Seed of the fits.
    """
    folds = {look: _Fold(pairs, look) for look in (*TEMPLATES, *PLANTED)}
    plain = folds["plain"]
    directions = [random_direction(plain.train, n) for n in range(RANDOM)]
    guesses = [fit.says(plain.test) for fit in directions]
    floor = float(np.quantile([agreement(said, plain.truth) for said in guesses], 0.95))
    labelled = supervised(plain.train, pairs.truth[~pairs.test], plain.test)
    ceiling = plain.exact(labelled == plain.truth)
    fits = {name: fit(plain.train, seed) for name, fit in UNSUPERVISED.items()}
    said = {name: fit.says(plain.test) for name, fit in fits.items()}
    random_loss = float(np.median([fit.loss(plain.test) for fit in directions]))
    found = []
    for name, method in UNSUPERVISED.items():
        accuracy = plain.estimate(said[name])
        if name == "ccs":
            again = ccs_starts(plain.train, seed + 1)
        else:
            again = [method(plain.train, seed + 1 + n) for n in range(3)]
        seeds = tuple(agreement(fit.says(plain.test), plain.truth) for fit in again)
        planted = {}
        for look in PLANTED:
            fold = folds[look]
            answer = method(fold.train, seed).says(fold.test)
            planted[look] = PlantedResult(
                truth=fold.estimate(answer), planted=fold.estimate(answer, fold.planted)
            )
        templates = {
            look: folds[look].estimate(method(folds[look].train, seed).says(folds[look].test))
            for look in TEMPLATES
        }
        result = MethodResult(
            method=name,
            accuracy=accuracy,
            agreement={
                other: agreement(said[name], said[other]) for other in said if other != name
            },
            random_agreement=float(
                np.quantile([agreement(said[name], one) for one in guesses], 0.95)
            ),
            loss=fits[name].loss(plain.test) if name == "ccs" else None,
            random_loss=random_loss if name == "ccs" else None,
            seeds=seeds,
            planted=planted,
            templates=templates,
            orthogonal=_orthogonal(plain, name, fits[name], seed),
            checks={},
        )
        found.append(result.model_copy(update={"checks": _passed(result, ceiling, floor)}))
    return Results(tuple(found), ceiling, floor)


def _orthogonal(fold: _Fold, name: str, fit: Fit, seed: int) -> int:
    """Number of further probes, each orthogonal to all before, about as accurate as the first."""
    first = fold.estimate(fit.says(fold.test)).value or 0.0
    directions = torch.nn.functional.normalize(fit.weight, dim=0)[None]
    for count in range(ORTHOGONAL):
        train, test = (sides.without(directions) for sides in (fold.train, fold.test))
        further = UNSUPERVISED[name](train, seed)
        if (fold.estimate(further.says(test)).value or 0.0) < first - NEAR:
            return count
        rest = further.weight - further.weight @ directions.T @ directions
        directions = torch.cat([directions, torch.nn.functional.normalize(rest, dim=0)[None]])
    return ORTHOGONAL


def _above(estimate: Estimate, limit: float) -> bool:
    """Whether an accuracy is above a limit beyond chance; never without an interval."""
    return estimate.interval is not None and estimate.interval[0] > limit


def _passed(result: MethodResult, ceiling: Estimate, floor: float) -> dict[str, bool]:
    value, most = result.accuracy.value or 0.0, ceiling.value or 0.0
    found = {
        "above_random": _above(result.accuracy, floor),
        "near_ceiling": _above(ceiling, floor) and value > most - 2 * NEAR,
        "agreement": min(result.agreement.values()) > result.random_agreement,
        **{
            look: _above(one.truth, floor) and (one.truth.value or 0) > (one.planted.value or 0)
            for look, one in result.planted.items()
        },
        "templates": all(_above(one, floor) for one in result.templates.values()),
        "seeds": max(result.seeds) - min(result.seeds) < 2 * NEAR and min(result.seeds) > floor,
        "orthogonal": result.orthogonal == 0,
    }
    if result.loss is not None and result.random_loss is not None:
        found["held_out_loss"] = result.loss < result.random_loss
    return found
