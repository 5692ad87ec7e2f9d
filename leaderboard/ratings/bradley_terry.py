"""Bradley-Terry with ties: strengths that do not depend on the order of the judgments.

Davidson (1970), "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments": with log-strengths t and a common tie parameter nu,

    P(i beats j) = exp(d / 2) / D,   P(tie) = nu / D,   D = exp(d / 2) + exp(-d / 2) + nu,
    d = t_i - t_j + x b,

where x are known looks of the two episodes (such as the difference of their lengths) and b their effects;
without control for looks there are none. Fitted by Newton's method at the mode of the likelihood and a weak
prior. The logarithm is concave in (t, log nu, b), so there is one mode. The prior: each agent has half a win
and half a loss against a fixed player of strength 1, so that an undefeated agent stays finite; nu has one
comparison between two equal players who draw in 10% of cases, so that it stays above 0 where nobody drew;
each effect is normal about 0 with standard deviation 5.

Standard errors are from the curvature at the mode. With `MIN_RATERS` raters or more they are also computed
from the raters' summed scores, because answers of one rater are correlated (cluster-robust "sandwich"
variance; Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models"), and the larger
of the two variances counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from basalt.core.comparisons import Comparison
from basalt.io.errors import StudyError
from leaderboard.ratings.bootstrap import MIN_RATERS, rater_clusters
from leaderboard.ratings.groups import connected_groups
from leaderboard.ratings.models import (
    Certainty,
    Floats,
    Integers,
    RatingModel,
    Ratings,
    sides_and_winners,
)
from leaderboard.ratings.newton import mode
from leaderboard.ratings.trueskill import DRAW_PROBABILITY

PRIOR_GAMES = 0.5
"""Wins, and losses, of each agent against the prior's fixed player."""

PRIOR_EFFECT = 5.0
"""Standard deviation of the prior of an effect of looks, in log-odds per unit."""

_STEPS = 100

# Neighbours closer than this in log-strength are flipped with the curvature at the mode: it differs from
# the curvature at equality by less than 1%, and the solution is iterated anyway.
_CLOSE = 0.2


class BradleyTerryModel(RatingModel):
    """Bradley-Terry with ties: log-strengths about the mean of each group, and their standard errors.

    A difference of 1 is odds of e (2.7) to 1 that one agent wins rather than the other. Wins, losses and
    draws count; `both_bad` and `skip` say nothing about strength. Rows are ranked by strength.
    """

    name = "bt"
    title = "Bradley–Terry"
    value_name = "strength"
    error_name = "SE"
    keys = ("bt", "bt_error", "bt")
    claims_order = True

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """See `RatingModel.fit`.

        Raises:
            StudyError: the fit did not converge.
        """
        _, fitted, covariances = _fit_with_raters(comparisons, agents)
        centred = centring(comparisons, agents)
        value = centred @ fitted.strengths
        variances = [np.diag(centred @ one @ centred.T) for one in covariances]
        return Ratings(value, np.sqrt(np.max(variances, axis=0)), value)

    def resample(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], counts: Integers
    ) -> Ratings:
        """See `RatingModel.resample`; the errors are those of independent answers.

        Raises:
            StudyError: a fit did not converge.
        """
        pairs = pair_counts(outcomes_of(comparisons, agents), len(agents))
        centred = centring(comparisons, agents)
        values, errors = [], []
        for row in counts:
            fitted = fit_outcomes(pairs.counted(row), len(agents))
            covariance = fitted.covariance[: len(agents), : len(agents)]
            values.append(centred @ fitted.strengths)
            errors.append(np.sqrt(np.diag(centred @ covariance @ centred.T)))
        value = np.array(values).reshape(len(counts), len(agents))
        return Ratings(value, np.array(errors).reshape(value.shape), value)

    def certainty(
        self,
        comparisons: Sequence[Comparison],
        agents: Sequence[str],
        neighbours: Sequence[tuple[str, str]],
    ) -> Certainty:
        """See `RatingModel.certainty`.

        Raises:
            StudyError: the fit did not converge.
        """
        index = {name: place for place, name in enumerate(agents)}
        pairs, fitted, covariances = _fit_with_raters(comparisons, agents)
        errors = np.sqrt(np.max([difference_variances(one) for one in covariances], axis=0))
        flips = tuple(
            answers_to_flip(pairs, fitted, index[ahead], index[behind])
            for ahead, behind in neighbours
        )
        return Certainty(errors, flips)


BRADLEY_TERRY = BradleyTerryModel()


def _fit_with_raters(
    comparisons: Sequence[Comparison], agents: Sequence[str]
) -> tuple["Outcomes", "Davidson", list[Floats]]:
    """Counts by pair, their fit, and the covariances of the strengths, of which the largest counts."""
    rows = outcomes_of(comparisons, agents)
    pairs = pair_counts(rows, len(agents)).counted(np.ones(len(comparisons), np.int64))
    fitted = fit_outcomes(pairs, len(agents))
    covariances = fitted.covariances(rows, rater_clusters(comparisons))
    return pairs, fitted, [one[: len(agents), : len(agents)] for one in covariances]


@dataclass(frozen=True)
class Outcomes:
    """What is fitted: rows of comparisons, or of all comparisons of a pair together.

    Attributes:
        first: Indices of the first agents, int (rows,).
        second: Indices of the second agents, int (rows,).
        wins: Number of wins of the first agents, float64 (rows,).
        losses: Number of their losses, float64 (rows,).
        draws: Number of draws, float64 (rows,).
        looks: Known looks of the first episode relative to the second, float64 (rows, looks).
    """

    first: Integers
    second: Integers
    wins: Floats
    losses: Floats
    draws: Floats
    looks: Floats

    @cached_property
    def games(self) -> Floats:
        """Number of comparisons, float64 (rows,)."""
        return self.wins + self.losses + self.draws


def outcomes_of(
    comparisons: Sequence[Comparison], agents: Sequence[str], looks: Floats | None = None
) -> Outcomes:
    """A row per comparison, left first.

    Args:
        comparisons: Wins, losses and draws.
        agents: Names of all agents.
        looks: Looks of the left episode relative to the right one, float64 (comparisons, looks); None for
            no control.
    """
    left, right, winners = sides_and_winners(comparisons, agents)
    return Outcomes(
        left,
        right,
        (winners == "left").astype(np.float64),
        (winners == "right").astype(np.float64),
        (winners == "draw").astype(np.float64),
        np.zeros((len(comparisons), 0)) if looks is None else looks,
    )


@dataclass(frozen=True)
class PairCounts:
    """Comparisons sorted into pairs of agents, to be counted again for each resample.

    Attributes:
        first: Index of the first agent of each pair, int (pairs,).
        second: Index of the second, int (pairs,).
        cell: Pair and outcome of each comparison: 3 times the pair's number plus 0 for a win of the first
            agent, 1 for a loss, 2 for a draw; int (comparisons,).
    """

    first: Integers
    second: Integers
    cell: Integers

    def counted(self, times: Integers) -> Outcomes:
        """One row per pair.

        Args:
            times: Number of times that each comparison counts, int (comparisons,).
        """
        # Sums of whole numbers: the same in every order of the comparisons.
        counts: Floats = np.bincount(self.cell, times, 3 * len(self.first)).astype(np.float64)
        wins, losses, draws = counts.reshape(-1, 3).T
        return Outcomes(
            self.first, self.second, wins, losses, draws, np.zeros((len(self.first), 0))
        )


def pair_counts(rows: Outcomes, agents: int) -> PairCounts:
    """Sort rows, one per comparison, into pairs of agents."""
    low, high = np.minimum(rows.first, rows.second), np.maximum(rows.first, rows.second)
    pairs, number = np.unique(low * agents + high, return_inverse=True)
    won = np.where(rows.first == low, rows.wins, rows.losses) > 0
    outcome = np.where(rows.draws > 0, 2, np.where(won, 0, 1))
    width = max(1, agents)
    return PairCounts(pairs // width, pairs % width, 3 * number.reshape(-1) + outcome)


def centring(comparisons: Sequence[Comparison], agents: Sequence[str]) -> Floats:
    """Matrix that takes the mean of each group from strengths, float64 (agents, agents).

    An agent that was never compared stays as it is: its rating is the prior's.
    """
    index = {name: place for place, name in enumerate(agents)}
    matrix = np.eye(len(agents))
    for group in connected_groups(agents, (one.winner_loser for one in comparisons)):
        if len(group) > 1:
            places = [index[name] for name in group]
            matrix[np.ix_(places, places)] -= 1 / len(places)
    return matrix


@dataclass(frozen=True)
class Davidson:
    """A fitted model.

    Attributes:
        point: Log-strengths, log nu and effects at the mode, float64 (agents + 1 + looks,).
        covariance: Inverse of the curvature there, float64 (agents + 1 + looks, agents + 1 + looks).
        agents: Number of agents.
    """

    point: Floats
    covariance: Floats
    agents: int

    @property
    def strengths(self) -> Floats:
        """Log-strengths relative to the prior's fixed player, float64 (agents,)."""
        return self.point[: self.agents]

    @property
    def ties(self) -> float:
        """Davidson's nu; two equal agents draw with probability nu / (2 + nu)."""
        return float(np.exp(self.point[self.agents]))

    @property
    def effects(self) -> Floats:
        """Effects of the looks in log-odds per unit, float64 (looks,)."""
        return self.point[self.agents + 1 :]

    def covariances(self, outcomes: Outcomes, clusters: Integers) -> list[Floats]:
        """Covariances of the point: of independent answers, and of raters where there are enough.

        Args:
            outcomes: Rows that were fitted, one per comparison.
            clusters: Number of the rater of each row, int (rows,), as `rater_clusters` gives them.
        """
        number = int(clusters.max()) + 1 if len(clusters) else 0
        if not MIN_RATERS <= number < len(clusters):
            return [self.covariance]
        by_strength, by_ties = _scores(self.point, outcomes, self.agents)
        sums = np.zeros((number, len(self.point)))
        np.add.at(sums, (clusters, outcomes.first), by_strength)
        np.add.at(sums, (clusters, outcomes.second), -by_strength)
        sums[:, self.agents] = np.bincount(clusters, by_ties, number)
        for place, look in enumerate(outcomes.looks.T, start=self.agents + 1):
            sums[:, place] = np.bincount(clusters, by_strength * look, number)
        pulled = sums @ self.covariance
        return [self.covariance, pulled.T @ pulled * (number / (number - 1))]


def fit_davidson(wins: Floats, draws: Floats) -> Davidson:
    """Fit the model to tables of counts.

    Args:
        wins: Number of times that the row's agent beat the column's, float64 (agents, agents).
        draws: Number of draws of the two, float64 (agents, agents), symmetric.

    Raises:
        StudyError: the fit did not converge.
    """
    return fit_outcomes(counted_pairs(wins, draws), len(wins))


def counted_pairs(wins: Floats, draws: Floats) -> Outcomes:
    """A row per pair of agents, from tables as in `fit_davidson`."""
    first, second = np.triu_indices(len(wins), 1)
    return Outcomes(
        first, second, wins[first, second], wins[second, first], draws[first, second],
        np.zeros((len(first), 0)),
    )  # fmt: skip


def fit_outcomes(outcomes: Outcomes, agents: int) -> Davidson:
    """Fit the model to rows of outcomes.

    Raises:
        StudyError: the fit did not converge.
    """
    point = np.zeros(agents + 1 + outcomes.looks.shape[1])
    point, curvature = mode(lambda at: posterior(at, outcomes, agents), point, "Bradley-Terry")
    return Davidson(point, inverse(curvature), agents)


def inverse(matrix: Floats) -> Floats:
    """Inverse of a matrix of float64."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def difference_variances(covariance: Floats) -> Floats:
    """Variances of all differences of strengths, float64 (agents, agents)."""
    own = np.diag(covariance)
    return np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0)


def answers_to_flip(pairs: Outcomes, fitted: Davidson, ahead: int, behind: int) -> int:
    """Number of further answers, all for the agent behind against the one ahead, that put it first.

    At the number m that makes the two equal, the mode has equal strengths, and there each further answer
    pulls them by 1/2 in both directions whatever the ties are. So m is the multiplier of the constraint that
    the two are equal: one constrained fit gives it exactly.

    Args:
        pairs: Outcomes that were fitted, without looks.
        fitted: Their fit.
        ahead: Index of the agent ahead.
        behind: Index of the agent behind.
    """
    agents = fitted.agents
    pull = np.zeros(agents + 1)
    pull[ahead], pull[behind] = 1.0, -1.0
    point = fitted.point.copy()
    covariance = fitted.covariance
    close = abs(float(pull @ point)) < _CLOSE
    gradient = np.zeros(agents + 1)  # At the mode.
    answers = 0.0
    for _ in range(_STEPS):
        # One further answer at equality: 1/2 for the one, -1/2 for the other, and one draw fewer than expected.
        each = pull / 2
        each[agents] = 1 / (1 + 2 * np.exp(-point[agents]))
        towards = covariance @ each
        before = answers
        answers = float((pull @ point + pull @ covariance @ gradient) / (pull @ towards))
        point = point + covariance @ gradient - answers * towards
        moved = abs(answers - before)
        # Each step is much shorter than the one before: the whole number is known before the last digits.
        settled = moved < 0.01 and (answers - moved) // 1 == (answers + moved) // 1
        if settled or moved < 1e-7 * max(1.0, answers):
            break
        gradient = slope(point, pairs, agents)
        if not close:
            covariance = inverse(posterior(point, pairs, agents)[2])
    else:
        raise StudyError(
            f"the flip of two agents did not converge in {_STEPS} steps; please report this"
        )
    # A number of answers that makes the two equal to the last digit does not yet flip them.
    return int(np.floor(max(0.0, answers) + 1e-5)) + 1


def _chances(half: Floats, log_nu: float) -> tuple[Floats, Floats, Floats]:
    """Logarithms of the probabilities of a win, a loss and a draw, by half the difference of strengths."""
    apart = np.abs(half)
    total = apart + np.log(1 + np.exp(-2 * apart) + np.exp(log_nu - apart))
    return half - total, -half - total, log_nu - total


def _half(point: Floats, outcomes: Outcomes, agents: int) -> Floats:
    """Half the difference of strengths of each row, looks included."""
    lead = point[outcomes.first] - point[outcomes.second]
    if outcomes.looks.size:
        lead += outcomes.looks @ point[agents + 1 :]
    return np.asarray(lead / 2)


def _scores(point: Floats, outcomes: Outcomes, agents: int) -> tuple[Floats, Floats]:
    """Derivatives of each row's log-likelihood by the difference of strengths and by log nu."""
    chances = _chances(_half(point, outcomes, agents), float(point[agents]))
    win, loss, draw = (np.exp(one) for one in chances)
    # The outcome's statistic (half the sign, or a draw) minus the expected statistic.
    by_strength = (outcomes.wins - outcomes.losses - outcomes.games * (win - loss)) / 2
    return by_strength, outcomes.draws - outcomes.games * draw


def slope(point: Floats, outcomes: Outcomes, agents: int) -> Floats:
    """Gradient of the log of likelihood and prior; arguments as in `posterior`."""
    first, second = outcomes.first, outcomes.second
    by_strength, by_ties = _scores(point, outcomes, agents)
    gradient = np.empty(len(point))
    gradient[:agents] = np.bincount(first, by_strength, agents)
    gradient[:agents] -= np.bincount(second, by_strength, agents)
    gradient[agents] = by_ties.sum()
    gradient[agents + 1 :] = by_strength @ outcomes.looks
    # The prior, see `posterior`.
    gradient[:agents] += PRIOR_GAMES * (1 - 2 / (1 + np.exp(-point[:agents])))
    gradient[agents] += DRAW_PROBABILITY - 1 / (1 + 2 * np.exp(-point[agents]))
    gradient[agents + 1 :] -= point[agents + 1 :] / PRIOR_EFFECT**2
    return gradient


def posterior(point: Floats, outcomes: Outcomes, agents: int) -> tuple[float, Floats, Floats]:
    """Log of likelihood and prior, its gradient, and the negative of its second derivatives.

    Args:
        point: Log-strengths, log nu and effects, float64 (agents + 1 + looks,).
        outcomes: Rows to fit.
        agents: Number of agents.
    """
    strengths, log_nu, effects = point[:agents], float(point[agents]), point[agents + 1 :]
    logs = _chances(_half(point, outcomes, agents), log_nu)
    log_win, log_loss, log_draw = logs
    win, loss, draw = (np.exp(one) for one in logs)
    games, first, second, looks = outcomes.games, outcomes.first, outcomes.second, outcomes.looks

    value = float(outcomes.wins @ log_win + outcomes.losses @ log_loss + outcomes.draws @ log_draw)
    # Variance of the statistic, and its covariance with a draw.
    spread = games * ((win + loss) / 4 - ((win - loss) / 2) ** 2)
    shared = games * draw * (loss - win) / 2
    curvature = np.zeros((len(point), len(point)))
    between = np.bincount(first * agents + second, spread, agents * agents)
    between = between.reshape(agents, agents)
    between = between + between.T
    curvature[:agents, :agents] = np.diag(between.sum(axis=1)) - between
    edge = np.bincount(first, shared, agents) - np.bincount(second, shared, agents)
    curvature[:agents, agents] = curvature[agents, :agents] = edge
    curvature[agents, agents] = (games * draw * (1 - draw)).sum()
    for place, look in enumerate(looks.T, start=agents + 1):
        pulled = spread * look
        edge = np.bincount(first, pulled, agents) - np.bincount(second, pulled, agents)
        curvature[:agents, place] = curvature[place, :agents] = edge
        curvature[agents, place] = curvature[place, agents] = shared @ look
        curvature[place, agents + 1 :] = pulled @ looks

    # The prior's games against strength 1, which cannot be drawn.
    chance = 1 / (1 + np.exp(-strengths))
    value += float(PRIOR_GAMES * (np.log(chance) + np.log1p(-chance)).sum())
    own = np.arange(agents)
    curvature[own, own] += 2 * PRIOR_GAMES * chance * (1 - chance)
    # The prior's one comparison of equal players, who draw with probability nu / (2 + nu).
    tie = 1 / (1 + 2 * np.exp(-log_nu))
    value += float(DRAW_PROBABILITY * np.log(tie) + (1 - DRAW_PROBABILITY) * np.log1p(-tie))
    curvature[agents, agents] += tie * (1 - tie)
    # The prior of the effects.
    value -= float(effects @ effects) / (2 * PRIOR_EFFECT**2)
    rest = np.arange(agents + 1, len(point))
    curvature[rest, rest] += 1 / PRIOR_EFFECT**2
    return value, slope(point, outcomes, agents), curvature
