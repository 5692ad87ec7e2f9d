"""Whether one agent did better than another on the same seeds.

All functions take one value per seed and arm, in the same order of seeds in both arms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from basalt.io.errors import ConfigError

DRAWS = 10_000
"""Number of bootstrap samples of a difference."""

SIGNIFICANCE = 0.05
"""Level of every two-sided test."""


@dataclass(frozen=True)
class Difference:
    """A mean difference between two arms, paired by seed.

    Attributes:
        mean: Mean of the first arm minus the second.
        interval: 95% percentile bootstrap interval [low, high], resampling seeds.
        seeds: Number of seeds that both arms played.
    """

    mean: float
    interval: tuple[float, float]
    seeds: int


def paired_difference(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], *, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """Difference of two arms, each the mean of its training seeds.

    The bootstrap resamples the seeds of the world, with both arms and all their training seeds together, so that
    it holds for these trained policies on new seeds of the world.

    Args:
        first: Values of the first arm: one array of n values per training seed.
        second: Values of the second arm in the same way.
        draws: Number of bootstrap samples.
        seed: Seed of the resampling.

    Raises:
        ConfigError: There are no values, or the arrays differ in length.
    """
    arms = [np.atleast_2d(np.asarray(arm, dtype=float)).mean(axis=0) for arm in (first, second)]
    if arms[0].shape != arms[1].shape or not arms[0].size:
        raise ConfigError(
            f"expected both arms to have played the same seeds, got {arms[0].size} and {arms[1].size}"
        )
    differences = arms[0] - arms[1]
    rng, n = np.random.default_rng(seed), len(differences)
    # One sample at a time: with many seeds all samples at once would not fit into memory.
    means = [differences[rng.integers(n, size=n)].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(differences.mean()), (float(low), float(high)), len(differences))


def sign_test(wins: int, losses: int, *, mid: bool = False, one_sided: bool = False) -> float:
    """Exact p-value of an equal chance to win, ties left out (McNemar's exact test).

    Args:
        wins: Number of seeds on which only the first arm succeeded.
        losses: Number of seeds on which only the second did.
        mid: Whether to count the observed result half (the mid-p value), which is less conservative.
        one_sided: Whether only a larger chance to win is looked for; otherwise the test is two-sided.
    """
    n, larger = wins + losses, wins if one_sided else max(wins, losses)
    tail: float = sum(math.comb(n, k) for k in range(larger, n + 1)) / 2**n
    if mid:
        tail -= math.comb(n, larger) / 2 ** (n + 1)
    return tail if one_sided else min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of several tests by Holm's method (1979), in the order of the tests.

    Each may be held against `SIGNIFICANCE`; the chance of any false alarm stays below it.
    """
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, n in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[n]))
        adjusted[n] = largest
    return adjusted


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all values (Agarwal et al. 2021, arXiv 2108.13264).

    As scipy's `trim_mean(values, 0.25)`: a quarter of the values, rounded down, is left out on each side.
    """
    ordered = np.sort(np.asarray(values, dtype=float).ravel())
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(first: ArrayLike, second: ArrayLike) -> float:
    """Chance that a random run of the first arm is better than one of the second; a tie counts half.

    The same source as `interquartile_mean`.

    Args:
        first: Scores of the first arm's runs.
        second: Scores of the second arm's runs.
    """
    a, b = (np.asarray(runs, dtype=float).ravel() for runs in (first, second))
    return float((np.sign(a[:, None] - b[None, :]) / 2 + 0.5).mean())


def paired_power(rate: float, better: float, seeds: int, correlation: float = 0.0) -> float:
    """Chance that McNemar's mid-p test sees a difference between two success rates, by enumeration.

    Args:
        rate: Success rate of one arm.
        better: Success rate of the other.
        seeds: Number of seeds, played by both.
        correlation: Correlation of the arms' successes over seeds (phi).

    Raises:
        ConfigError: The rates cannot have this correlation.
    """
    both = rate * better + correlation * math.sqrt(rate * (1 - rate) * better * (1 - better))
    only_first, only_second = rate - both, better - both
    neither = 1 - both - only_first - only_second
    if min(both, only_first, only_second, neither) < -1e-12:
        raise ConfigError(
            f"correlation: success rates of {rate:g} and {better:g} cannot have a correlation of {correlation:g}"
        )
    discordant = max(0.0, only_first) + max(0.0, only_second)
    if discordant == 0:
        return 0.0
    share = max(0.0, only_second) / discordant
    return float(
        sum(
            chance * _binomial(n, share)[_significant(n)].sum()
            for n, chance in enumerate(_binomial(seeds, discordant))
            if chance > 1e-12
        )
    )


def seeds_needed(
    rate: float, better: float, power: float = 0.8, correlation: float = 0.0, limit: int = 20_000
) -> int | None:
    """Smallest number of paired seeds with a power, to the nearest 2%; None if `limit` does not suffice.

    Args:
        rate: Success rate of one arm.
        better: Success rate of the other.
        power: Chance to see the difference.
        correlation: See `paired_power`.
        limit: Largest number to try.
    """
    low, high = 0, 8
    while paired_power(rate, better, high, correlation) < power:
        low, high = high, 2 * high
        if low > limit:
            return None
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        if paired_power(rate, better, middle, correlation) < power:
            low = middle
        else:
            high = middle
    return high


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    """Probabilities of 0 to n successes in n trials, float64 [n + 1]."""
    if p in (0.0, 1.0):
        certain: NDArray[np.float64] = np.zeros(n + 1)
        certain[round(n * p)] = 1
        return certain
    k = np.arange(n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = factorials[n] - factorials - factorials[::-1]
    chances: NDArray[np.float64] = np.exp(logs + k * math.log(p) + (n - k) * math.log1p(-p))
    return chances


def _significant(n: int) -> NDArray[np.bool_]:
    """Which numbers of wins among n discordant seeds have a mid-p value below the level, bool [n + 1]."""
    chances = _binomial(n, 0.5)
    upper = np.cumsum(chances[::-1])[::-1] - chances / 2  # P(more) + P(equal) / 2
    tail = np.minimum(upper, upper[::-1])
    return 2 * tail < SIGNIFICANCE
