"""Bradley-Terry with ties: strengths that do not depend on the order of the judgments.

Davidson (1970), "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments": with strengths exp(t) and a common tie parameter nu,

    P(i beats j) = exp(t_i) / D,   P(tie) = nu exp((t_i + t_j) / 2) / D,
    D = exp(t_i) + exp(t_j) + nu exp((t_i + t_j) / 2).

Fitted by Newton's method at the mode of the likelihood and a weak prior. The logarithm is concave in
(t, log nu), so there is one mode. The prior: each agent has half a win and half a loss against a fixed
player of strength 1, so that an undefeated agent stays finite and groups of agents that never met are on
one scale; and nu has one comparison between two equal players who draw in 10% of cases, so that it stays
above 0 where nobody drew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basalt.core.comparisons import Comparison
from basalt.io.errors import StudyError
from leaderboard.ratings.models import Floats, Integers, RatingModel, Ratings
from leaderboard.ratings.trueskill import DRAW_PROBABILITY

PRIOR_GAMES = 0.5
"""Wins, and losses, of each agent against the prior's fixed player."""

_STEPS = 100
_TOLERANCE = 1e-10


class BradleyTerryModel(RatingModel):
    """Bradley-Terry with ties: log-strengths about the agents' mean, and their standard errors.

    A difference of 1 is odds of e (2.7) to 1 that one agent wins rather than the other. Wins, losses and
    draws count; `both_bad` and `skip` say nothing about strength. Rows are ranked by strength.
    """

    name = "bt"
    title = "Bradley–Terry"
    value_name = "strength"
    error_name = "SE"
    keys = ("bt", "bt_error", "bt")

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """See `RatingModel.fit`.

        Raises:
            StudyError: the fit did not converge.
        """
        once = self.resample(comparisons, agents, np.ones((1, len(comparisons)), dtype=np.int64))
        return Ratings(once.value[0], once.error[0], once.score[0])

    def resample(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], counts: Integers
    ) -> Ratings:
        """See `RatingModel.resample`.

        Raises:
            StudyError: a fit did not converge.
        """
        index = {name: i for i, name in enumerate(agents)}
        pairs = np.array([[index[name] for name in one.winner_loser] for one in comparisons])
        pairs = pairs.reshape(-1, 2).astype(np.int64)
        drawn = np.array([one.winner == "draw" for one in comparisons], dtype=bool)
        fits = []
        for row in counts:
            wins, draws = np.zeros((2, len(agents), len(agents)))
            # Sums of whole numbers: the same in every order of the comparisons.
            np.add.at(wins, tuple(pairs[~drawn].T), row[~drawn])
            np.add.at(draws, tuple(pairs[drawn].T), row[drawn])
            fits.append(fit_davidson(wins, draws + draws.T))
        value = np.stack([one.strengths for one in fits])
        return Ratings(value, np.stack([one.errors for one in fits]), value)


BRADLEY_TERRY = BradleyTerryModel()


@dataclass(frozen=True)
class Davidson:
    """A fitted model.

    Attributes:
        strengths: Log-strengths about their mean, float64 (agents,).
        errors: Their standard errors, from the curvature at the mode, float64 (agents,).
        ties: Davidson's nu; two equal agents draw with probability nu / (2 + nu).
    """

    strengths: Floats
    errors: Floats
    ties: float


def fit_davidson(wins: Floats, draws: Floats) -> Davidson:
    """Fit the model to counts.

    Args:
        wins: Number of times that the row's agent beat the column's, float64 (agents, agents).
        draws: Number of draws of the two, float64 (agents, agents), symmetric.

    Raises:
        StudyError: the fit did not converge.
    """
    agents = len(wins)
    point = np.zeros(agents + 1)
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
        raise StudyError(f"Bradley-Terry did not converge in {_STEPS} steps; please report this")
    about_mean = np.eye(agents) - 1 / max(1, agents)
    covariance = about_mean @ np.linalg.inv(curvature)[:-1, :-1] @ about_mean
    return Davidson(about_mean @ point[:-1], np.sqrt(np.diag(covariance)), float(np.exp(point[-1])))


def _posterior(point: Floats, wins: Floats, draws: Floats) -> tuple[float, Floats, Floats]:
    """Log of likelihood and prior, its gradient, and the negative of its second derivatives.

    Args:
        point: Log-strengths and log nu, float64 (agents + 1,).
        wins: As in `fit_davidson`.
        draws: As in `fit_davidson`.
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
    # The gradient of each comparison: its outcome's statistic minus the expected statistic.
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
    share = DRAW_PROBABILITY
    tie = 1 / (1 + 2 * np.exp(-log_nu))
    value += float(share * np.log(tie) + (1 - share) * np.log1p(-tie))
    gradient[-1] += share - tie
    curvature[-1, -1] += tie * (1 - tie)
    return value, gradient, curvature
