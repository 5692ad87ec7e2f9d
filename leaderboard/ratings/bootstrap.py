"""Intervals of ratings and ranks by bootstrap.

A replicate draws raters with replacement, with all comparisons of each, and fits the model to what was
drawn. Comparisons of one rater are correlated, so they are drawn together (cluster bootstrap; Davison and
Hinkley 1997, section 3.8). Fewer than `MIN_RATERS` raters do not show how raters differ: then the
comparisons of each drawn rater are resampled too, so that one rater gives the plain bootstrap over
comparisons. Judgments without a rater (rules, models) are drawn one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from basalt.core.comparisons import Comparison
from leaderboard.ratings.models import Integers
from leaderboard.ratings.ranking import Table

REPLICATES = 1_000
"""Number of replicates."""

LEVEL = 0.95
"""Share of replicates inside an interval."""

TAILS = ((1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2)
"""Quantiles that bound an interval."""

MIN_RATERS = 10
"""With fewer raters, the comparisons of each are resampled too."""

MIN_COMPARISONS = 30
"""With fewer comparisons of an agent, resamples are too similar to bound its rating."""


@dataclass(frozen=True)
class Interval:
    """95% intervals of an agent's rating and rank.

    Attributes:
        low: Lower bound of the rating.
        high: Upper bound of the rating.
        rank_low: Best rank.
        rank_high: Worst rank.
        comparisons: Number of the agent's wins, losses and draws.
        behind: Share of replicates in which each other agent ranks before this one, by name; a replicate
            in which both have the same score counts half.
    """

    low: float
    high: float
    rank_low: int
    rank_high: int
    comparisons: int
    behind: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def enough(self) -> bool:
        """Whether there are enough comparisons to show this interval."""
        return self.comparisons >= MIN_COMPARISONS


def bootstrap(table: Table, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
    """Intervals of a table's agents, by the table's model.

    The same comparisons give the same intervals, in whatever order they are given.

    Args:
        table: Table from `rate`, which keeps the comparisons that it was made of.
        replicates: Number of replicates; 0 gives no intervals.
        seed: Seed of the random numbers.

    Returns:
        An interval per agent; empty without replicates or without comparisons that the model uses.
    """
    used, agents = table.used, table.agents
    if not used or replicates < 1:
        return {}
    ratings = table.model.resample(used, agents, resample_counts(used, replicates, seed))
    better = ratings.score[:, None, :] > ratings.score[:, :, None]
    # [one, other]: share of replicates in which the other is better.
    ahead = better.mean(axis=0)
    behind = (ahead + 1 - ahead.T) / 2
    bounds = np.quantile(ratings.value, TAILS, axis=0)
    ranks = np.quantile(1 + better.sum(axis=2), TAILS, axis=0, method="inverted_cdf")
    counts = {row.agent: row.comparisons for row in table.rows}
    return {
        agent: Interval(
            float(bounds[0, i]),
            float(bounds[1, i]),
            int(ranks[0, i]),
            int(ranks[1, i]),
            counts[agent],
            {other: float(behind[i, j]) for j, other in enumerate(agents) if j != i},
        )
        for i, agent in enumerate(agents)
    }


def resample_counts(comparisons: Sequence[Comparison], replicates: int, seed: int) -> Integers:
    """Number of times that each replicate holds each comparison, int64 (replicates, comparisons).

    Args:
        comparisons: Comparisons to draw from; at least one.
        replicates: Number of replicates.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    return _draw(_clusters(comparisons), len(comparisons), replicates, rng)


def _clusters(comparisons: Sequence[Comparison]) -> Integers:
    """Numbers of the groups that are drawn together, by first appearance, int64 (comparisons,)."""
    numbers: dict[str, int] = {}
    keys = (
        f"one {place}" if one.rater is None else f"rater {one.rater}"
        for place, one in enumerate(comparisons)
    )
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _draw(clusters: Integers, size: int, replicates: int, rng: np.random.Generator) -> Integers:
    """See `resample_counts`."""
    number = int(clusters.max()) + 1
    times = rng.multinomial(number, np.full(number, 1 / number), size=replicates)
    if number >= MIN_RATERS:
        return times[:, clusters]
    counts = np.zeros((replicates, size), dtype=np.int64)
    for cluster in range(number):
        members = np.flatnonzero(clusters == cluster)
        counts[:, members] = rng.multinomial(
            times[:, cluster] * len(members), np.full(len(members), 1 / len(members))
        )
    return counts
