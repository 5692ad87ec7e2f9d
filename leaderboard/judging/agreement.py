"""How far raters agree: Krippendorff's alpha and Gwet's AC1, with intervals."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERDICTS = ("first", "second", "draw", "both_bad")
"""Answers to a pair regardless of sides, without `skip`."""

REPLICATES = 1000
"""Number of bootstrap replicates of an interval."""

FEWEST_UNITS = 3
"""Fewer units with two answers have no interval."""

Answers = Sequence[tuple[str, str, str]]
"""Triples of rater, unit (what is answered about, such as a pair) and value; `skip` counts as no answer."""


@dataclass(frozen=True)
class Agreement:
    """How far raters agree about one question.

    Attributes:
        units: Number of units with two answers or more.
        alpha: Krippendorff's alpha; None if no unit has two answers, or all answers are equal.
        alpha_interval: 95% percentile interval of alpha, from `REPLICATES` bootstrap samples of the units; None with fewer
            than `FEWEST_UNITS`.
        ac1: Gwet's AC1; None if no unit has two answers. Where nearly all answers are alike, alpha is near 0 although raters
            agree, and AC1 is not.
        ac1_interval: The same interval of AC1.
    """

    units: int
    alpha: float | None
    alpha_interval: tuple[float, float] | None
    ac1: float | None
    ac1_interval: tuple[float, float] | None


def measure_agreement(answers: Answers, values: Sequence[str], *, seed: int = 0) -> Agreement:
    """Both coefficients of nominal answers by any number of raters, with their intervals.

    Args:
        answers: The answers.
        values: All values that could be given, whether or not they were; at least two.
        seed: Seed of the resampling.
    """
    counts = _counts(answers, values)
    shared = int((counts.sum(axis=1) > 1).sum())
    once = np.ones((1, len(counts)))
    draws = np.empty((0, len(counts)))
    if shared >= FEWEST_UNITS:
        chances = np.full(len(counts), 1 / len(counts))
        draws = (
            np.random.default_rng(seed)
            .multinomial(len(counts), chances, REPLICATES)
            .astype(np.float64)
        )
    return Agreement(
        units=shared,
        alpha=_value(_alpha(counts, once)),
        alpha_interval=_interval(_alpha(counts, draws)),
        ac1=_value(_ac1(counts, once)),
        ac1_interval=_interval(_ac1(counts, draws)),
    )


def krippendorff_alpha(answers: Answers) -> tuple[float | None, int]:
    """Krippendorff's alpha of nominal answers by any number of raters, with answers missing.

    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: alpha = 1 - o / e over the n answers to
    units with two or more. Each of the m answers to a unit is paired with the m - 1 others, and a pair counts 1 / (m - 1);
    o is the share of the counts that unequal pairs have. e is the share of unequal pairs among all pairs of the n answers.

    Returns:
        Alpha, or None if no unit has two answers or all answers are equal; and the number of units with
        at least two answers.
    """
    counts = _counts(answers, sorted({value for *_, value in answers} - {"skip"}))
    alpha = _value(_alpha(counts, np.ones((1, len(counts)))))
    return alpha, int((counts.sum(axis=1) > 1).sum())


def gwet_ac1(answers: Answers, values: Sequence[str]) -> float | None:
    """Gwet's AC1 of nominal answers by any number of raters, with answers missing.

    Gwet (2008), "Computing inter-rater reliability and its variance in the presence of high agreement":
    AC1 = (a - e) / (1 - e), where a is the mean over the units with two answers or more of the share of
    equal pairs of answers, e = sum of p (1 - p) / (number of values - 1), and p is the mean over all units
    of a value's share of the answers.

    Args:
        answers: The answers.
        values: All values that could be given, whether or not they were; at least two.

    Returns:
        AC1, or None if no unit has two answers.
    """
    counts = _counts(answers, values)
    return _value(_ac1(counts, np.ones((1, len(counts)))))


def _counts(answers: Answers, values: Sequence[str]) -> NDArray[np.float64]:
    """Number of answers, by unit and value [U, V]."""
    units: dict[str, Counter[str]] = defaultdict(Counter)
    for _, unit, value in answers:
        if value != "skip":
            units[unit][value] += 1
    counts = [[unit[value] for value in values] for unit in units.values()]
    return np.array(counts, np.float64).reshape(len(units), len(values))


def _alpha(counts: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Alpha [R] where each unit counts as often as its weight [R, U] says; NaN where it is not defined."""
    shared = counts.sum(axis=1) > 1
    counts, weights = counts[shared], weights[:, shared]
    times = counts.sum(axis=1)
    equal = (counts * (counts - 1)).sum(axis=1)
    unequal = (times * (times - 1) - equal) / (times - 1)
    total = weights @ times
    of_value = weights @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = 1 - (of_value * (of_value - 1)).sum(axis=1) / (total * (total - 1))
        alpha: NDArray[np.float64] = 1 - weights @ unequal / total / expected
    return alpha


def _ac1(counts: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """AC1 [R] where each unit counts as often as its weight [R, U] says; NaN where it is not defined."""
    times = counts.sum(axis=1)
    shared = times > 1
    equal = (counts * (counts - 1)).sum(axis=1)[shared] / (times * (times - 1))[shared]
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = weights[:, shared] @ equal / weights[:, shared].sum(axis=1)
        share = weights @ (counts / times[:, None]) / weights.sum(axis=1)[:, None]
        by_chance = (share * (1 - share)).sum(axis=1) / (counts.shape[1] - 1)
        ac1: NDArray[np.float64] = (agreed - by_chance) / (1 - by_chance)
    return ac1


def _value(found: NDArray[np.float64]) -> float | None:
    return float(found[0]) if np.isfinite(found[0]) else None


def _interval(found: NDArray[np.float64]) -> tuple[float, float] | None:
    """95% percentile interval of the replicates that are defined; None if there are none."""
    defined = found[np.isfinite(found)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
