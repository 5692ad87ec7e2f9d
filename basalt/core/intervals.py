"""How sure a figure over episodes is. Frames of one episode are near-copies, so episodes are drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MIN_EPISODES = 3

Z_95 = 1.959964
"""Standard deviations to each side of the mean that hold 95% of a normal distribution."""


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


def with_intervals(columns: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Ratios of sums over episodes, JSON-ready: `NAME` and `NAME_interval`, see `episode_interval`.

    Args:
        columns: by name: float [episodes] totals and float [episodes] counts.
    """
    found: dict[str, Any] = {}
    for name, (totals, counts) in columns.items():
        total, count = np.asarray(totals, dtype=float), np.asarray(counts, dtype=float)
        found[name] = float(total.sum() / count.sum()) if count.sum() else float("nan")
        found[f"{name}_interval"] = episode_interval(total.tolist(), count.tolist())
    return found


def rate_interval(successes: int, episodes: int) -> list[float]:
    """95 % interval of a success rate by Wilson's score (1927), sound for few episodes and rates of 0 or 1.

    Returns:
        [low, high] within 0 and 1.

    Raises:
        ValueError: not 0 <= successes <= episodes, or no episodes.
    """
    if episodes < 1 or not 0 <= successes <= episodes:
        raise ValueError(f"{successes} successes in {episodes} episodes")
    rate = successes / episodes
    centre = rate + Z_95**2 / (2 * episodes)
    spread = Z_95 * math.sqrt(rate * (1 - rate) / episodes + (Z_95 / (2 * episodes)) ** 2)
    low, high = (centre - spread, centre + spread)
    scale = 1 + Z_95**2 / episodes
    return [max(0.0, low / scale), min(1.0, high / scale)]
