"""How sure a figure over episodes is. Frames of one episode are near-copies, so episodes are drawn."""

from collections.abc import Sequence

import numpy as np

MIN_EPISODES = 3


def episode_interval(
    totals: Sequence[float], counts: Sequence[float], *, draws: int = 2000, seed: int = 0
) -> list[float] | None:
    """95 % percentile bootstrap interval of sum(totals) / sum(counts), episodes drawn with replacement.

    Args:
        totals: per episode, e.g. summed loss.
        counts: per episode, e.g. frames.
        draws: bootstrap samples.
        seed: of the draws.

    Returns:
        [low, high], or None below three episodes, where a bootstrap says nothing.
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
