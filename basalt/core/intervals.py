"""Confidence intervals over episodes.

Frames of one episode are correlated, so the bootstrap resamples whole episodes.
"""

import math
from collections.abc import Hashable, Sequence
from functools import cache

import numpy as np

MIN_EPISODES = 3
"""Fewer episodes have no bootstrap interval."""

Z_95 = 1.959964
"""Number of standard deviations around the mean, on each side, that contain 95% of a normal distribution."""


def episode_interval(
    totals: Sequence[float], counts: Sequence[float], *, draws: int = 2000, seed: int = 0
) -> list[float] | None:
    """95% percentile bootstrap interval of sum(totals) / sum(counts), resampling episodes.

    Args:
        totals: Total of each episode, e.g. its summed loss.
        counts: Weight of each episode, e.g. its number of frames.
        draws: Number of bootstrap samples.
        seed: Seed of the resampling.

    Returns:
        [low, high], or None below `MIN_EPISODES` episodes.
    """
    total, count = np.asarray(totals, dtype=float), np.asarray(counts, dtype=float)
    if len(total) < MIN_EPISODES:
        return None
    picks = np.random.default_rng(seed).integers(len(total), size=(draws, len(total)))
    sums = count[picks].sum(1)
    ratios = total[picks].sum(1)[sums > 0] / sums[sums > 0]
    if not len(ratios):
        return None
    low, high = np.quantile(ratios, [0.025, 0.975])
    return [float(low), float(high)]


def rate_interval(successes: float, episodes: float) -> list[float]:
    """95% interval of a success rate by Wilson's score (1927), valid for few episodes and rates of 0 or 1.

    Args:
        successes: Number of successes; the mean of several training runs need not be whole.
        episodes: Number of episodes; an effective number need not be whole.

    Returns:
        [low, high], within 0 and 1.

    Raises:
        ValueError: There are no episodes, or not 0 <= successes <= episodes.
    """
    if episodes <= 0 or not 0 <= successes <= episodes:
        raise ValueError(
            f"expected 0 <= successes <= episodes, got {successes} successes of {episodes}"
        )
    rate = successes / episodes
    centre = rate + Z_95**2 / (2 * episodes)
    spread = Z_95 * math.sqrt(rate * (1 - rate) / episodes + (Z_95 / (2 * episodes)) ** 2)
    low, high = (centre - spread, centre + spread)
    scale = 1 + Z_95**2 / episodes
    return [max(0.0, low / scale), min(1.0, high / scale)]


def clustered_interval(
    hits: Sequence[float], clusters: Sequence[Hashable], fewest: int = MIN_EPISODES
) -> list[float] | None:
    """95% interval of a share of trials that come in clusters, such as pairs that share a seed.

    Wilson's score at the effective number of trials, which is the number that would be as sure if they were
    independent, made smaller for few clusters by the ratio of the normal to Student's quantile (Korn and Graubard 1998,
    Survey Methodology 24). Where all trials hit, or none, clusters say nothing about their spread: each counts once.

    Args:
        hits: Trials: 1 for a hit, 0 for a miss.
        clusters: Cluster of each trial.
        fewest: Fewer clusters have no interval.

    Returns:
        [low, high], or None below `fewest` clusters.
    """
    values = np.asarray(hits, dtype=float)
    _, index = np.unique([repr(one) for one in clusters], return_inverse=True)
    number = int(index.max()) + 1 if len(values) else 0
    if number < max(fewest, 2):
        return None
    share, n = float(values.mean()), float(len(values))
    sums = np.bincount(index, weights=values - share)
    variance = number / (number - 1) * float((sums**2).sum()) / n**2
    if share in (0.0, 1.0):
        effective = float(number)
    else:
        effective = min(n, share * (1 - share) / variance) if variance > 0 else n
    effective *= min(1.0, (Z_95 / student_quantile(number - 1)) ** 2)
    return rate_interval(share * effective, effective)


@cache
def student_quantile(freedom: int) -> float:
    """0.975 quantile of Student's t distribution, by numerical integration.

    With t = sqrt(freedom) tan(x), the density of x is proportional to cos(x) ** (freedom - 1).

    Args:
        freedom: Degrees of freedom, at least 1.
    """
    x = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(x) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp(0.95 * mass[-1], mass, x)))
