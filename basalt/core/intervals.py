"""Confidence intervals over episodes.

Frames of one episode are correlated, so the bootstrap resamples whole episodes.
"""

import math
from collections.abc import Sequence

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


def rate_interval(successes: float, episodes: int) -> list[float]:
    """95% interval of a success rate by Wilson's score (1927), valid for few episodes and rates of 0 or 1.

    Args:
        successes: Number of successes; the mean of several training runs need not be whole.
        episodes: Number of episodes.

    Returns:
        [low, high], within 0 and 1.

    Raises:
        ValueError: There are no episodes, or not 0 <= successes <= episodes.
    """
    if episodes < 1 or not 0 <= successes <= episodes:
        raise ValueError(
            f"expected 0 <= successes <= episodes, got {successes} successes of {episodes}"
        )
    rate = successes / episodes
    centre = rate + Z_95**2 / (2 * episodes)
    spread = Z_95 * math.sqrt(rate * (1 - rate) / episodes + (Z_95 / (2 * episodes)) ** 2)
    low, high = (centre - spread, centre + spread)
    scale = 1 + Z_95**2 / episodes
    return [max(0.0, low / scale), min(1.0, high / scale)]
