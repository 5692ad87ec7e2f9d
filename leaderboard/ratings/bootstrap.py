"""Intervals for a table by bootstrap: how far its ratings and places would move with other judgments.

A replicate draws raters anew with replacement, with all that each of them judged, and replays what
was drawn in order of time. Judgments of one rater hang together, so they are drawn together (cluster
bootstrap; Davison and Hinkley 1997, section 3.8). Fewer than :data:`MIN_RATERS` raters cannot say how
raters differ: then each drawn rater's comparisons are drawn anew as well, so that one rater gives the
plain bootstrap over comparisons. Judgments without a rater (rules, models) are drawn one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from basalt.core.comparisons import Comparison
from leaderboard.ratings.trueskill import Table, in_order
from leaderboard.ratings.vector_trueskill import Floats, Integers, replay

REPLICATES = 1_000
"""How often the judgments are drawn anew."""

LEVEL = 0.95
"""Share of replicates inside an interval."""

MIN_RATERS = 10
"""With fewer raters their comparisons are drawn anew too."""

MIN_COMPARISONS = 30
"""Below so many comparisons of an agent the drawn samples are too much alike to bound its rating."""

# Replicates are replayed in blocks of about so many comparisons, so that memory stays below 200 MB.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """Where an agent stands in 95 % of the replicates.

    Attributes:
        mu_low, mu_high: bounds of its rating mu (percentiles of the replicates).
        rank_low, rank_high: best and worst place, by mu - 3 sigma as in the table.
        comparisons: how many comparisons of the agent stand behind it.
        behind: by other agent, the share of replicates in which this one is behind it, by mu - 3 sigma;
            a replicate in which both stand level counts half.
    """

    mu_low: float
    mu_high: float
    rank_low: int
    rank_high: int
    comparisons: int
    behind: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def enough(self) -> bool:
        """Whether there are comparisons enough to show this rather than mu +- 2 sigma."""
        return self.comparisons >= MIN_COMPARISONS


def bootstrap(table: Table, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
    """The intervals of a table's agents.

    The same comparisons give the same intervals, in whatever order they are given.

    Args:
        table: from :func:`leaderboard.ratings.trueskill.rate`, which keeps the comparisons it was made of.
        replicates: how many; 0 gives no intervals.
        seed: of the random numbers.

    Returns:
        An interval per agent; empty without replicates or without wins, losses and draws.
    """
    decisive = in_order(table.comparisons, decisive=True)
    if not decisive or replicates < 1:
        return {}
    names = sorted(row.agent for row in table.rows)
    mu, sigma = resampled_ratings(decisive, names, replicates, seed)
    conservative = mu - 3 * sigma
    better = conservative[:, None, :] > conservative[:, :, None]
    places = 1 + better.sum(axis=2)
    # Of (one, other): how often the other is better.
    ahead = better.mean(axis=0)
    behind = (ahead + 1 - ahead.T) / 2
    tail = (1 - LEVEL) / 2
    bounds = np.quantile(mu, [tail, 1 - tail], axis=0)
    ranks = np.quantile(places, [tail, 1 - tail], axis=0, method="inverted_cdf")
    counts = {row.agent: row.comparisons for row in table.rows}
    return {
        name: Interval(
            float(bounds[0, i]),
            float(bounds[1, i]),
            int(ranks[0, i]),
            int(ranks[1, i]),
            counts[name],
            {other: float(behind[i, j]) for j, other in enumerate(names) if j != i},
        )
        for i, name in enumerate(names)
    }


def resampled_ratings(
    decisive: Sequence[Comparison], names: Sequence[str], replicates: int, seed: int
) -> tuple[Floats, Floats]:
    """Ratings of the agents in each replicate.

    Args:
        decisive: wins, losses and draws in order of time.
        names: the agents, in the order of the result.
        replicates: how many.
        seed: of the random numbers.

    Returns:
        mu and sigma, each (replicates, agents) float64.
    """
    first, second, drawn = outcomes(decisive, names)
    counts = draw_anew(decisive, replicates, seed)
    block = max(1, _BLOCK // len(decisive))
    parts = []
    for start in range(0, replicates, block):
        order = sequences(counts[start : start + block])
        empty = order < 0
        parts.append(
            replay(
                np.where(empty, -1, first[order]),
                np.where(empty, -1, second[order]),
                drawn[order] & ~empty,
                len(names),
            )
        )
    mus, sigmas = zip(*parts, strict=True)
    return np.concatenate(mus), np.concatenate(sigmas)


def outcomes(
    decisive: Sequence[Comparison], names: Sequence[str]
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Winner, loser (of a draw: left, right) and whether it was a draw, each (comparisons,)."""
    index = {name: i for i, name in enumerate(names)}
    left = np.array([index[one.left_agent] for one in decisive], dtype=np.int64)
    right = np.array([index[one.right_agent] for one in decisive], dtype=np.int64)
    swapped = np.array([one.winner == "right" for one in decisive])
    drawn = np.array([one.winner == "draw" for one in decisive])
    return np.where(swapped, right, left), np.where(swapped, left, right), drawn


def draw_anew(decisive: Sequence[Comparison], replicates: int, seed: int) -> Integers:
    """(replicates, comparisons) int: how often each comparison stands in each replicate."""
    rng = np.random.default_rng(seed)
    return _draw(_clusters(decisive), len(decisive), replicates, rng)


def _clusters(decisive: Sequence[Comparison]) -> Integers:
    """(comparisons,) int: which are drawn together, numbered in order of first appearance."""
    numbers: dict[str, int] = {}
    keys = (
        f"one {place}" if one.rater is None else f"rater {one.rater}"
        for place, one in enumerate(decisive)
    )
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _draw(clusters: Integers, size: int, replicates: int, rng: np.random.Generator) -> Integers:
    """How often each comparison is drawn, see :func:`draw_anew`."""
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


def sequences(counts: Integers) -> Integers:
    """(replicates, longest) int: each replicate's comparisons in order of time, then -1."""
    lengths = counts.sum(axis=1)
    order = np.full((len(counts), int(lengths.max())), -1, dtype=np.int64)
    everything = np.arange(counts.shape[1])
    for row, count, length in zip(order, counts, lengths, strict=True):
        row[:length] = np.repeat(everything, count)
    return order
