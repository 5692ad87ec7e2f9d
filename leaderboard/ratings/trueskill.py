"""TrueSkill for one against one, at its published defaults.

Herbrich, Minka, Graepel (2006), "TrueSkill: A Bayesian Skill Rating System", in closed form. All replicates
of a bootstrap are updated together, one comparison at a time. The tests hold the results against the
`trueskill` package to 1e-9; for that the normal distribution function is the rational-exponential
approximation that the package uses (Numerical Recipes' `erfcc`, relative error below 1.2e-7).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from basalt.core.comparisons import Comparison
from leaderboard.ratings.models import (
    Booleans,
    Floats,
    Integers,
    OnlineRatingModel,
    Ratings,
    sides_and_winners,
)

MU = 25.0
"""Mean of the prior."""

SIGMA = MU / 3
"""Standard deviation of the prior."""

BETA = SIGMA / 2
"""Standard deviation of one performance about the skill."""

TAU = MU / 300
"""Standard deviation of a skill's drift from comparison to comparison."""

DRAW_PROBABILITY = 0.10
"""Share of draws between equal agents."""

_PENALTY = 3
"""Rows are ranked by mu minus this many sigma."""

# Resampled sequences are replayed in blocks of this many comparisons, so that memory stays below 200 MB.
_BLOCK = 4_000_000

# Numerical Recipes (Press et al.), `erfcc`: coefficients from the lowest power of t to the highest.
_ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip


class TrueSkillModel(OnlineRatingModel):
    """TrueSkill: a normal distribution per agent, updated in order of time.

    Wins, losses and draws are updates; `both_bad` and `skip` are not.
    """

    name = "trueskill"
    title = "TrueSkill"
    value_name = "μ"
    error_name = "σ"
    score_name = f"μ − {_PENALTY}σ"
    keys = ("mu", "sigma", "conservative")
    bound_errors = 2.0
    bounds_name = "μ ± 2σ"

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """See `RatingModel.fit`."""
        pairs, drawn = _played(comparisons, agents)
        mu, variance = self.prior((len(agents),))
        self.play(mu, variance, pairs, drawn)
        sigma = np.sqrt(variance)
        return Ratings(mu, sigma, mu - _PENALTY * sigma)

    def resample(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], counts: Integers
    ) -> Ratings:
        """See `RatingModel.resample`; the comparisons of a replicate are replayed in order of time."""
        pairs, drawn = _played(comparisons, agents)
        # A last one for the end of replicates with fewer comparisons: nobody against nobody.
        first, second = np.append(pairs, [[-1, -1]], axis=0).T
        drawn = np.append(drawn, False)
        block = max(1, _BLOCK // max(1, len(comparisons)))
        parts = []
        for start in range(0, len(counts), block):
            order = sequences(counts[start : start + block])
            parts.append(replay(first[order], second[order], drawn[order], len(agents)))
        mus, sigmas = zip(*parts, strict=True)
        mu, sigma = np.concatenate(mus), np.concatenate(sigmas)
        return Ratings(mu, sigma, mu - _PENALTY * sigma)

    def prior(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """See `OnlineRatingModel.prior`."""
        return np.full(shape, MU), np.full(shape, SIGMA**2)

    def update(
        self, mu_first: Floats, variance_first: Floats, mu_second: Floats, variance_second: Floats,
        drawn: Booleans,
    ) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
        """See `OnlineRatingModel.update`."""
        variance_first = variance_first + TAU**2
        variance_second = variance_second + TAU**2
        # c of the paper: the deviation of the difference of performances.
        spread_squared = variance_first + variance_second + 2 * BETA**2
        spread = np.sqrt(spread_squared)
        gap = (mu_first - mu_second) / spread
        margin = DRAW_MARGIN / spread
        v, w = _truncated(gap, margin, drawn)
        step = v / spread
        shrink = w / spread_squared
        return (
            mu_first + variance_first * step,
            variance_first * (1 - variance_first * shrink),
            mu_second - variance_second * step,
            variance_second * (1 - variance_second * shrink),
        )

    def expected_drops(
        self, mu: Floats, variance: Floats, one: Integers, other: Integers
    ) -> tuple[Floats, Floats]:
        """See `OnlineRatingModel.expected_drops`; the drift (tau), the same for all pairs, is left out."""
        m1, v1, m2, v2 = mu[one], variance[one], mu[other], variance[other]
        spread = np.sqrt(v1 + v2 + 2 * TAU**2 + 2 * BETA**2)
        first_wins = cdf((m1 - m2 - DRAW_MARGIN) / spread)
        second_wins = cdf((m2 - m1 - DRAW_MARGIN) / spread)
        no, yes = np.zeros(len(m1), bool), np.ones(len(m1), bool)
        _, won_first, _, lost_second = self.update(m1, v1, m2, v2, no)
        _, won_second, _, lost_first = self.update(m2, v2, m1, v1, no)
        _, drawn_first, _, drawn_second = self.update(m1, v1, m2, v2, yes)
        chances = first_wins, second_wins, np.clip(1 - first_wins - second_wins, 0, 1)

        def drop(before: Floats, *after: Floats) -> Floats:
            return sum(
                (
                    chance * (before + TAU**2 - left)
                    for chance, left in zip(chances, after, strict=True)
                ),
                start=np.zeros(len(before)),
            )

        return (
            drop(v1, won_first, lost_first, drawn_first),
            drop(v2, lost_second, won_second, drawn_second),
        )


TRUESKILL = TrueSkillModel()


def _played(comparisons: Sequence[Comparison], agents: Sequence[str]) -> tuple[Integers, Booleans]:
    """Indices of winner and loser (of either agent of a draw), int64 (comparisons, 2), and whether it was a draw."""
    left, right, winners = sides_and_winners(comparisons, agents)
    swapped = winners == "right"
    pairs = np.stack([np.where(swapped, right, left), np.where(swapped, left, right)], axis=1)
    return pairs, winners == "draw"


def sequences(counts: Integers) -> Integers:
    """Indices of each replicate's comparisons in order of time, then -1.

    Args:
        counts: Number of times that each replicate holds each comparison,
            integers (replicates, comparisons).

    Returns:
        int64 (replicates, longest replicate).
    """
    lengths = counts.sum(axis=1)
    order = np.full((len(counts), int(lengths.max())), -1, dtype=np.int64)
    everything = np.arange(counts.shape[1])
    for row, count, length in zip(order, counts, lengths, strict=True):
        row[:length] = np.repeat(everything, count)
    return order


def replay(
    first: Integers, second: Integers, drawn: Booleans, agents: int
) -> tuple[Floats, Floats]:
    """Rate agents by one sequence of comparisons per replicate, all replicates in step.

    Args:
        first: Indices of the winners, or of either agent of a draw, int (replicates, steps); -1 where a
            replicate's sequence has ended.
        second: Indices of the other agents, int (replicates, steps); -1 as in `first`.
        drawn: Whether each comparison was a draw, bool (replicates, steps).
        agents: Number of agents; indices go from 0.

    Returns:
        mu and sigma, float64 (replicates, agents) each; the prior for agents never compared.
    """
    replicates, steps = first.shape
    # After a replicate's end two more players meet, and nobody reads their ratings.
    width = agents + 2
    offset = np.arange(replicates, dtype=np.int64) * width
    winners = np.ascontiguousarray((np.where(first < 0, agents, first) + offset[:, None]).T)
    losers = np.ascontiguousarray((np.where(second < 0, agents + 1, second) + offset[:, None]).T)
    draws = np.ascontiguousarray(drawn.T)
    mu, variance = TRUESKILL.prior((replicates * width,))
    for step in range(steps):
        winner, loser = winners[step], losers[step]
        mu[winner], variance[winner], mu[loser], variance[loser] = TRUESKILL.update(
            mu[winner], variance[winner], mu[loser], variance[loser], draws[step]
        )
    shape = (replicates, width)
    return mu.reshape(shape)[:, :agents], np.sqrt(variance.reshape(shape)[:, :agents])


def draw_margin(probability: float) -> float:
    """Difference of two performances below which a game is a draw.

    Args:
        probability: Share of draws between equal agents, at least 0 and below 1.
    """
    target = (1 + probability) / 2
    x = np.array(NormalDist().inv_cdf(target))
    # Newton's method: the inverse of the approximate distribution function, not of the exact one.
    for _ in range(3):
        x -= (cdf(x) - target) / _pdf(x)
    return float(x) * math.sqrt(2) * BETA


def _truncated(gap: Floats, margin: Floats, drawn: Booleans) -> tuple[Floats, Floats]:
    """The paper's V and W of wins and draws; their limits where the outcome's probability underflows."""
    # By index, which is faster than by a mask three times.
    (at,) = drawn.nonzero()
    # The outcome's normal variable is below `high`; in a draw it is also above `low`.
    high = gap - margin
    distance = np.abs(gap[at])
    high[at], low = margin[at] - distance, -margin[at] - distance
    edges = np.concatenate([high, low])
    # One call for all edges: most of its time does not depend on their number.
    probability, low_probability = np.split(cdf(edges), [len(high)])
    density, low_density = np.split(_pdf(edges), [len(high)])
    probability[at] -= low_probability
    possible = probability > 0
    probability = np.where(possible, probability, 1.0)
    v = np.where(possible, density / probability, -high)
    w = np.where(possible, v * (v + high), 1.0).clip(0.0, 1.0)
    if len(at):
        inside, possible = probability[at], possible[at]
        high, density = high[at], density[at]
        drawn_v = np.where(possible, (low_density - density) / inside, high)
        slope = (high * density - low * low_density) / inside
        v[at] = np.where(gap[at] < 0, -drawn_v, drawn_v)
        w[at] = np.where(possible, drawn_v**2 + slope, 1.0)
    return v, w


def _pdf(x: Floats) -> Floats:
    return np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def cdf(x: Floats) -> Floats:
    """The normal distribution function, as the `trueskill` package computes it."""
    z = np.abs(x) * (1 / math.sqrt(2))
    t = 1 / (1 + 0.5 * z)
    power = _ERFC[-1] * t
    for coefficient in _ERFC[-2:0:-1]:
        power += coefficient
        power *= t
    power += _ERFC[0]
    tail = 0.5 * t * np.exp(power - z * z)
    return np.where(x > 0, 1 - tail, tail)


DRAW_MARGIN = draw_margin(DRAW_PROBABILITY)
"""Draws are games in which performances differ by less than this."""
