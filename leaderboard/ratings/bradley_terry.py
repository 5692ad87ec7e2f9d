"""Bradley-Terry with ties: strengths that do not depend on the order of the judgments.

Davidson (1970), "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments": with strengths exp(t) and a common tie parameter nu,

    P(i beats j) = exp(t_i) / D,   P(tie) = nu exp((t_i + t_j) / 2) / D,
    D = exp(t_i) + exp(t_j) + nu exp((t_i + t_j) / 2).

Fitted at the mode of likelihood and a small prior, by Newton's method; the logarithm is concave in
(t, log nu), so the mode is the only one. The prior: each agent has half a win and half a loss against a
fixed player of strength 1, so that one who never lost stays finite and scales agree where nobody links
two groups of agents; and nu has one comparison's worth of TrueSkill's share of draws (10 %) between two
equal players, so that it stays above 0 where nobody drew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from basalt.core.comparisons import Comparison
from basalt.io.errors import StudyError
from leaderboard.ratings.trueskill import ENVIRONMENT, in_order

Floats = NDArray[np.float64]

PRIOR_GAMES = 0.5
"""Wins, and losses, of each agent against the prior's fixed player."""

NORMAL_95 = 1.959964
"""Standard deviations to each side that hold 95 % of a normal distribution."""

_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Strength:
    """An agent's place on the scale of log-strength.

    Attributes:
        value: log-strength t above the agents' mean; a difference of 1 is odds of e (2.7) to 1 that one
            wins rather than the other.
        error: its standard error, from the curvature at the mode.
    """

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower bound of the 95 % interval."""
        return self.value - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper bound of the 95 % interval."""
        return self.value + NORMAL_95 * self.error


@dataclass(frozen=True)
class BradleyTerry:
    """A fitted model.

    Attributes:
        strengths: of each agent by name, strongest first.
        ties: Davidson's nu; two equal agents draw with probability nu / (2 + nu).
    """

    strengths: dict[str, Strength]
    ties: float


def fit(comparisons: Iterable[Comparison], agents: Sequence[str] = ()) -> BradleyTerry:
    """Fit the model to wins, losses and draws; ``both_bad`` and ``skip`` say nothing about strength.

    Args:
        comparisons: in any order.
        agents: further agents, who stand at the prior when never compared.

    Raises:
        StudyError: the fit did not converge.
    """
    decisive = in_order(comparisons, decisive=True)
    names = sorted({*agents, *(name for one in decisive for name in _players(one))})
    index = {name: i for i, name in enumerate(names)}
    # Counts by (row, column): sums of whole numbers, the same in every order.
    wins = np.zeros((len(names), len(names)))
    draws = np.zeros_like(wins)
    for one in decisive:
        left, right = index[one.left_agent], index[one.right_agent]
        if one.winner == "draw":
            draws[left, right] += 1
            draws[right, left] += 1
        elif one.winner == "left":
            wins[left, right] += 1
        else:
            wins[right, left] += 1
    point = np.zeros(len(names) + 1)
    value, gradient, curvature = _posterior(point, wins, draws)
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature, gradient)
        # Newton's decrement: twice the gain still to be had.
        if float(gradient @ step) < _TOLERANCE**2:
            break
        length = 1.0
        while (new := _posterior(point + length * step, wins, draws))[0] < value and length > 1e-9:
            length /= 2
        point = point + length * step
        value, gradient, curvature = new
        if float(np.abs(length * step).max()) < _TOLERANCE:
            break
    else:
        raise StudyError(f"Bradley-Terry did not converge in {_STEPS} steps")
    if not names:
        return BradleyTerry({}, float(np.exp(point[-1])))
    about_mean = np.eye(len(names)) - 1 / len(names)
    strengths = about_mean @ point[:-1]
    covariance = about_mean @ np.linalg.inv(curvature)[:-1, :-1] @ about_mean
    errors = np.sqrt(np.diag(covariance))
    order = sorted(range(len(names)), key=lambda i: (-strengths[i], names[i]))
    return BradleyTerry(
        {names[i]: Strength(float(strengths[i]), float(errors[i])) for i in order},
        float(np.exp(point[-1])),
    )


def _players(one: Comparison) -> tuple[str, str]:
    return one.left_agent, one.right_agent


def _posterior(point: Floats, wins: Floats, draws: Floats) -> tuple[float, Floats, Floats]:
    """Log of likelihood and prior, its gradient, and the negative of its second derivatives.

    Args:
        point: (agents + 1,) float64, log-strengths and log nu.
        wins: (agents, agents) float64, how often the row beat the column.
        draws: (agents, agents) float64, symmetric, draws of row and column.
    """
    strengths, log_nu = point[:-1], point[-1]
    agents = len(strengths)
    # Relative to the pair's mean strength, so that nothing overflows.
    half = (strengths[:, None] - strengths[None, :]) / 2
    tallest = np.maximum(np.abs(half), log_nu)
    total = np.log(np.exp(half - tallest) + np.exp(-half - tallest) + np.exp(log_nu - tallest))
    log_win = half - total - tallest
    log_draw = log_nu - total - tallest
    win, draw = np.exp(log_win), np.exp(log_draw)
    games = wins + wins.T + draws  # symmetric

    value = float((wins * log_win).sum() + (draws * log_draw).sum() / 2)
    # Each comparison is worth (its outcome's statistic) - (the statistic expected).
    scores = wins + draws / 2 - games * (win + draw / 2)
    gradient = np.empty(agents + 1)
    gradient[:-1] = scores.sum(axis=1)
    gradient[-1] = (draws - games * draw).sum() / 2

    # Variance of the statistic (half the sign of the outcome) and its covariance with a draw, which
    # is minus (win - loss) / 2 times draw.
    spread = games * ((win + win.T) / 4 - ((win - win.T) / 2) ** 2)
    curvature = np.zeros((agents + 1, agents + 1))
    curvature[:-1, :-1] = np.diag(spread.sum(axis=1)) - spread
    curvature[-1, -1] = (games * draw * (1 - draw)).sum() / 2
    curvature[:-1, -1] = curvature[-1, :-1] = (games * draw * (win.T - win) / 2).sum(axis=1)

    # The prior's games against strength 1, which cannot be drawn.
    chance = 1 / (1 + np.exp(-strengths))
    value += float(PRIOR_GAMES * (np.log(chance) + np.log1p(-chance)).sum())
    gradient[:-1] += PRIOR_GAMES * (1 - 2 * chance)
    curvature[np.arange(agents), np.arange(agents)] += 2 * PRIOR_GAMES * chance * (1 - chance)
    # The prior's one comparison of equal players, who draw with probability nu / (2 + nu).
    share = ENVIRONMENT.draw_probability
    tie = 1 / (1 + 2 * np.exp(-log_nu))
    value += float(share * np.log(tie) + (1 - share) * np.log1p(-tie))
    gradient[-1] += share - tie
    curvature[-1, -1] += tie * (1 - tie)
    return value, gradient, curvature
