"""Resampling ranges: how far ratings move when the judgments are drawn again.

A replicate draws raters with replacement, with all comparisons of each, and fits the model to what was
drawn. Comparisons of one rater are correlated, so they are drawn together (cluster bootstrap; Davison and
Hinkley 1997, section 3.8). Fewer than `MIN_RATERS` raters do not show how raters differ: then the
comparisons of each drawn rater are resampled too, so that one rater gives the plain bootstrap over
comparisons. Judgments without a rater (rules, models) are drawn one by one.

Replicates of one-sided data are all alike, so a range is at least as wide as one more answer could move
the rating. A range says how firm a rating is; it does not say which of two agents is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basalt.core.comparisons import Comparison
from leaderboard.ratings.models import Integers, Ratings
from leaderboard.ratings.ranking import Table

REPLICATES = 1_000
"""Number of replicates."""

LEVEL = 0.95
"""Share of replicates inside a range."""

TAILS = ((1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2)
"""Quantiles that bound a range."""

MIN_RATERS = 10
"""Fewer raters do not show how raters differ."""

MIN_COMPARISONS = 30
"""With fewer comparisons of an agent, resamples are too similar to bound its rating."""


@dataclass(frozen=True)
class ResamplingRange:
    """Range of an agent's rating in 95% of the replicates.

    Attributes:
        low: Lower bound of the rating.
        high: Upper bound of the rating.
        comparisons: Number of the agent's wins, losses and draws.
    """

    low: float
    high: float
    comparisons: int

    @property
    def enough(self) -> bool:
        """Whether there are enough comparisons to show this range."""
        return self.comparisons >= MIN_COMPARISONS


def bootstrap(
    table: Table, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, ResamplingRange]:
    """Resampling ranges of a table's agents, by the table's model.

    The same comparisons give the same ranges, in whatever order they are given.

    Args:
        table: Table from `rate`, which keeps the comparisons that it was made of.
        replicates: Number of replicates; 0 gives no ranges.
        seed: Seed of the random numbers.

    Returns:
        A range per agent; empty without replicates or without comparisons that the model uses.
    """
    used, agents = table.used, table.agents
    if not used or replicates < 1:
        return {}
    ratings = table.model.resample(used, agents, resample_counts(used, replicates, seed))
    low, high = np.quantile(ratings.value, TAILS, axis=0)
    rows = {row.agent: row for row in table.rows}
    value, error, score = (
        np.array([getattr(rows[agent], name) for agent in agents])
        for name in ("value", "error", "score")
    )
    lowest, highest = table.model.one_more_answer(used, agents, Ratings(value, error, score))
    return {
        agent: ResamplingRange(
            float(min(low[i], lowest[i])), float(max(high[i], highest[i])), rows[agent].comparisons
        )
        for i, agent in enumerate(agents)
    }


def resample_counts(comparisons: Sequence[Comparison], replicates: int, seed: int) -> Integers:
    """Count how often each replicate contains each comparison, int64 (replicates, comparisons).

    Args:
        comparisons: Comparisons to draw from; at least one.
        replicates: Number of replicates.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    return _draw(rater_clusters(comparisons), len(comparisons), replicates, rng)


def rater_clusters(comparisons: Sequence[Comparison]) -> Integers:
    """Number of the rater of each comparison, by first appearance, int64 (comparisons,).

    A comparison without a rater has a number of its own.
    """
    keys = [place if one.rater is None else one.rater for place, one in enumerate(comparisons)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


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
