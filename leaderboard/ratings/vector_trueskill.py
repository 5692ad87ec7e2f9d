"""TrueSkill for two players over many replicates at once, in NumPy.

The update of Herbrich, Minka, Graepel (2006) for one against one, in closed form. Bootstrapping replays
the same judgments a thousand times; here each step updates all replicates together. The constants are
those of :data:`leaderboard.ratings.trueskill.ENVIRONMENT`, and the result equals the ``trueskill`` package's to
1e-9: for that, the normal distribution function is the rational-exponential approximation that the
package uses (Numerical Recipes' ``erfcc``, relative error below 1.2e-7), not an exact one.
"""

import math

import numpy as np
import trueskill
from numpy.typing import NDArray

from leaderboard.ratings.trueskill import ENVIRONMENT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# The package's own margin: its inverse of the normal distribution is an approximation too.
DRAW_MARGIN = float(trueskill.calc_draw_margin(ENVIRONMENT.draw_probability, 2, ENVIRONMENT))
"""Draws are where performances differ by less."""

# Numerical Recipes (Press et al.), `erfcc`: coefficients from the lowest power of t to the highest.
_ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip


def replay(
    first: Integers, second: Integers, drawn: NDArray[np.bool_], agents: int
) -> tuple[Floats, Floats]:
    """Rate agents by replaying a sequence of comparisons per replicate, all replicates in step.

    Args:
        first: (replicates, steps) int, the winner's index, or either agent of a draw; -1 where a
            replicate's sequence is shorter and nothing is compared.
        second: (replicates, steps) int, the other agent; -1 as in ``first``.
        drawn: (replicates, steps) bool, whether it was a draw.
        agents: how many agents there are; indices go from 0.

    Returns:
        mu and sigma, each (replicates, agents) float64; the prior for agents never compared.
    """
    replicates, steps = first.shape
    # What is missing at a replicate's end is played by two more players, whom nobody asks for.
    width = agents + 2
    offset = np.arange(replicates, dtype=np.int64) * width
    winners = np.ascontiguousarray((np.where(first < 0, agents, first) + offset[:, None]).T)
    losers = np.ascontiguousarray((np.where(second < 0, agents + 1, second) + offset[:, None]).T)
    draws = np.ascontiguousarray(drawn.T)
    mu = np.full(replicates * width, ENVIRONMENT.mu)
    variance = np.full(replicates * width, ENVIRONMENT.sigma**2)
    for step in range(steps):
        winner, loser = winners[step], losers[step]
        mu[winner], variance[winner], mu[loser], variance[loser] = update(
            mu[winner], variance[winner], mu[loser], variance[loser], draws[step]
        )
    shape = (replicates, width)
    return mu.reshape(shape)[:, :agents], np.sqrt(variance.reshape(shape)[:, :agents])


def update(
    mu_first: Floats,
    variance_first: Floats,
    mu_second: Floats,
    variance_second: Floats,
    drawn: NDArray[np.bool_],
) -> tuple[Floats, Floats, Floats, Floats]:
    """The ratings after one comparison, elementwise.

    Args:
        mu_first, variance_first: (n,) float64, of the winner (of either agent in a draw).
        mu_second, variance_second: (n,) float64, of the other agent.
        drawn: (n,) bool.

    Returns:
        mu and variance of the first, mu and variance of the second, each (n,) float64.
    """
    drift = ENVIRONMENT.tau**2
    variance_first = variance_first + drift
    variance_second = variance_second + drift
    # c of the paper: the deviation of the difference of performances.
    spread_squared = variance_first + variance_second + 2 * ENVIRONMENT.beta**2
    spread = np.sqrt(spread_squared)
    gap = (mu_first - mu_second) / spread
    margin = DRAW_MARGIN / spread
    v, w = _truncated_by_win(gap - margin)
    if drawn.any():
        v[drawn], w[drawn] = _truncated_by_draw(gap[drawn], margin[drawn])
    step = v / spread
    shrink = w / spread_squared
    return (
        mu_first + variance_first * step,
        variance_first * (1 - variance_first * shrink),
        mu_second - variance_second * step,
        variance_second * (1 - variance_second * shrink),
    )


def _truncated_by_win(x: Floats) -> tuple[Floats, Floats]:
    """The paper's V and W of a win; far out, where both underflow, their limits."""
    below = cdf(x)
    possible = below > 0
    v = np.where(possible, _pdf(x) / np.where(possible, below, 1.0), -x)
    w = np.where(possible, v * (v + x), 1.0)
    return v, np.clip(w, 0.0, 1.0)


def _truncated_by_draw(gap: Floats, margin: Floats) -> tuple[Floats, Floats]:
    """The paper's V and W of a draw; far out, where both underflow, their limits."""
    distance = np.abs(gap)
    high, low = margin - distance, -margin - distance
    inside = cdf(high) - cdf(low)
    possible = inside > 0
    inside = np.where(possible, inside, 1.0)
    pdf_high, pdf_low = _pdf(high), _pdf(low)
    v = np.where(possible, (pdf_low - pdf_high) / inside, high)
    w = np.where(possible, v**2 + (high * pdf_high - low * pdf_low) / inside, 1.0)
    return np.where(gap < 0, -v, v), w


def _pdf(x: Floats) -> Floats:
    return np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def cdf(x: Floats) -> Floats:
    """The normal distribution function, as the package computes it."""
    z = np.abs(x) * (1 / math.sqrt(2))
    t = 1 / (1 + 0.5 * z)
    power = np.full_like(t, _ERFC[-1])
    for coefficient in _ERFC[-2::-1]:
        power *= t
        power += coefficient
    tail = 0.5 * t * np.exp(power - z * z)
    return np.where(x > 0, 1 - tail, tail)
