"""Ordinal Bradley-Terry: answers that say whether one episode is much or slightly better.

The cumulative logit model of Agresti (1992), "Analysis of ordinal paired comparison data", without an effect of the side: with
log-strengths t, two thresholds 0 < a < b, and u = t_i - t_j + a logistic error,

    much better: b < u,   slightly better: a < u <= b,   draw: -a < u <= a,   and the same for j below -a and -b.

An answer that names a side without saying how much is a < u. So answers of both scales are on one scale of strength, and
without "much" and "slightly" this is the model of ties of Rao and Kupper (1967). A difference of 1 multiplies by e the odds
that an answer is at least as good for i as any given one.

Fitted by Newton's method at the mode of the likelihood and a weak prior. Each answer is an interval of u whose bounds are
linear in (t, a, b), and the logistic density is log-concave, so there is one mode (Pratt 1981, "Concavity of the log
likelihood"). The prior: each agent has half a win and half a loss against a fixed player of strength 0; two equal players
have one further comparison, which is a draw in 10% of cases, and much better in half of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basalt.core.comparisons import Comparison
from leaderboard.ratings.bootstrap import MIN_RATERS, rater_clusters
from leaderboard.ratings.bradley_terry import (
    PRIOR_GAMES,
    centring,
    difference_variances,
    inverse,
)
from leaderboard.ratings.models import Certainty, Floats, Integers, RatingModel, Ratings
from leaderboard.ratings.newton import mode
from leaderboard.ratings.trueskill import DRAW_PROBABILITY

ANSWERS = (
    ("left", "much"), ("left", "slightly"), ("left", None), ("draw", None), ("right", None), ("right", "slightly"),
    ("right", "much"),
)  # fmt: skip
"""The kinds of answer: the winner, and how much better it is; None if the answer does not say."""

_KIND = {answer: number for number, answer in enumerate(ANSWERS)}

# Bounds of u for each kind of answer, as multiples of the two thresholds; those of an open end are not used.
_LOW = np.array([[0, 1], [1, 0], [1, 0], [-1, 0], [0, 0], [0, -1], [0, 0]], dtype=np.float64)
_HIGH = np.array([[0, 0], [0, 1], [0, 0], [1, 0], [-1, 0], [-1, 0], [0, -1]], dtype=np.float64)
_OPEN_LOW = np.array([False, False, False, False, True, False, True])
_OPEN_HIGH = np.array([True, False, True, False, False, False, False])

_PRIOR_KINDS = np.arange(len(ANSWERS))
_PRIOR_WEIGHTS = np.zeros(len(ANSWERS))
_PRIOR_WEIGHTS[_KIND["draw", None]] = DRAW_PROBABILITY
for _side in ("left", "right"):
    for _strength in ("much", "slightly"):
        _PRIOR_WEIGHTS[_KIND[_side, _strength]] = (1 - DRAW_PROBABILITY) / 4


class OrdinalModel(RatingModel):
    """Ordinal Bradley-Terry: strengths about the mean of each group, and their standard errors.

    Much better, slightly better, draws and plain wins count; `both_bad` and `skip` say nothing about strength.
    """

    name = "ordinal"
    title = "Ordinal Bradley–Terry"
    value_name = "strength"
    error_name = "SE"
    keys = ("ordinal", "ordinal_error", "ordinal")
    claims_order = True
    uses_strength = True

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """See `RatingModel.fit`.

        Raises:
            StudyError: the fit did not converge.
        """
        answers, fitted = _fit(comparisons, agents)
        centred = centring(comparisons, agents)
        value = centred @ fitted.strengths
        variances = [
            np.diag(centred @ one @ centred.T)
            for one in fitted.covariances(answers, rater_clusters(comparisons))
        ]
        return Ratings(value, np.sqrt(np.max(variances, axis=0)), value)

    def resample(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], counts: Integers
    ) -> Ratings:
        """See `RatingModel.resample`; the errors are those of independent answers.

        Raises:
            StudyError: a fit did not converge.
        """
        answers = answers_of(comparisons, agents)
        centred = centring(comparisons, agents)
        values, errors = [], []
        for row in counts:
            fitted = fit_answers(answers.weighted(row), len(agents))
            values.append(centred @ fitted.strengths)
            covariance = fitted.covariance[: len(agents), : len(agents)]
            errors.append(np.sqrt(np.diag(centred @ covariance @ centred.T)))
        value = np.array(values).reshape(len(counts), len(agents))
        return Ratings(value, np.array(errors).reshape(value.shape), value)

    def certainty(
        self,
        comparisons: Sequence[Comparison],
        agents: Sequence[str],
        neighbours: Sequence[tuple[str, str]],
    ) -> Certainty:
        """See `RatingModel.certainty`; the further answers that flip an order say "slightly better".

        Raises:
            StudyError: the fit did not converge.
        """
        index = {name: place for place, name in enumerate(agents)}
        answers, fitted = _fit(comparisons, agents)
        covariances = fitted.covariances(answers, rater_clusters(comparisons))
        errors = np.sqrt(np.max([difference_variances(one) for one in covariances], axis=0))
        grouped = answers.grouped(len(agents))
        flips = tuple(
            answers_to_flip(grouped, fitted, index[ahead], index[behind])
            for ahead, behind in neighbours
        )
        return Certainty(errors, flips)


ORDINAL = OrdinalModel()


def _fit(comparisons: Sequence[Comparison], agents: Sequence[str]) -> tuple["Answers", "Ordinal"]:
    """Comparisons as rows, and their fit."""
    answers = answers_of(comparisons, agents)
    return answers, fit_answers(answers, len(agents))


@dataclass(frozen=True)
class Answers:
    """What is fitted: rows of answers.

    Attributes:
        first: Indices of the left agents, int (rows,).
        second: Indices of the right agents, int (rows,).
        kind: Kind of each answer, an index into `ANSWERS`, int (rows,).
        weight: Number of times that each row counts, float64 (rows,).
    """

    first: Integers
    second: Integers
    kind: Integers
    weight: Floats

    def weighted(self, times: Integers) -> "Answers":
        """The same rows, each counted a number of times, int (rows,)."""
        return Answers(self.first, self.second, self.kind, np.asarray(times, dtype=np.float64))

    def grouped(self, agents: int) -> "Answers":
        """A row for each pair of agents and kind of answer."""
        key = (self.first * agents + self.second) * len(ANSWERS) + self.kind
        keys, number = np.unique(key, return_inverse=True)
        pair, kind = np.divmod(keys, len(ANSWERS))
        weight: Floats = np.bincount(number.reshape(-1), self.weight, len(keys)).astype(np.float64)
        return Answers(pair // agents, pair % agents, kind, weight)

    def with_row(self, first: int, second: int, kind: int, weight: float) -> "Answers":
        """These rows and one more."""
        return Answers(
            np.append(self.first, first),
            np.append(self.second, second),
            np.append(self.kind, kind),
            np.append(self.weight, weight),
        )


def answers_of(comparisons: Sequence[Comparison], agents: Sequence[str]) -> Answers:
    """A row per comparison, all of which are wins, losses or draws."""
    index = {name: place for place, name in enumerate(agents)}
    return Answers(
        np.array([index[one.left_agent] for one in comparisons], dtype=np.int64),
        np.array([index[one.right_agent] for one in comparisons], dtype=np.int64),
        np.array([_KIND[one.winner, one.strength] for one in comparisons], dtype=np.int64),
        np.ones(len(comparisons)),
    )


@dataclass(frozen=True)
class Ordinal:
    """A fitted model.

    Attributes:
        point: Log-strengths and the two thresholds at the mode, float64 (agents + 2,).
        covariance: Inverse of the curvature there, float64 (agents + 2, agents + 2).
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
    def thresholds(self) -> Floats:
        """Thresholds of "slightly better" and "much better", float64 (2,)."""
        return self.point[self.agents :]

    def covariances(self, answers: Answers, clusters: Integers) -> list[Floats]:
        """Covariances of the strengths: of independent answers, and of raters where there are enough.

        Args:
            answers: Rows that were fitted, one per comparison.
            clusters: Number of the rater of each row, int (rows,), as `rater_clusters` gives them.
        """
        number = int(clusters.max()) + 1 if len(clusters) else 0
        found = [self.covariance]
        if MIN_RATERS <= number < len(clusters):
            one = _derivatives(self.point, answers, self.agents)
            sums = np.zeros((number, len(self.point)))
            np.add.at(sums, (clusters, answers.first), one.lead)
            np.add.at(sums, (clusters, answers.second), -one.lead)
            for place in range(2):
                sums[:, self.agents + place] = np.bincount(
                    clusters, one.thresholds[:, place], number
                )
            pulled = sums @ self.covariance
            found.append(pulled.T @ pulled * (number / (number - 1)))
        return [one[: self.agents, : self.agents] for one in found]


def fit_answers(answers: Answers, agents: int) -> Ordinal:
    """Fit the model to rows of answers.

    Raises:
        StudyError: the fit did not converge.
    """
    answers = answers.grouped(agents)
    point = np.zeros(agents + 2)
    point[agents:] = 0.5, 1.5
    point, curvature = mode(
        lambda at: posterior(at, answers, agents), point, "ordinal Bradley-Terry"
    )
    return Ordinal(point, inverse(curvature), agents)


def answers_to_flip(answers: Answers, fitted: Ordinal, ahead: int, behind: int) -> int:
    """Number of further answers, all that the agent behind is slightly better than the one ahead, that put it first.

    Args:
        answers: Rows that were fitted.
        fitted: Their fit.
        ahead: Index of the agent ahead.
        behind: Index of the agent behind.
    """

    def flipped(further: int) -> bool:
        more = answers.with_row(behind, ahead, _KIND["left", "slightly"], further)
        strengths = fit_answers(more, fitted.agents).strengths
        return bool(strengths[behind] > strengths[ahead])

    most = 1
    while not flipped(most):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if flipped(middle) else (middle, most)
    return most


@dataclass(frozen=True)
class _Derivatives:
    """Log-likelihood of each row, and its derivatives by the difference of strengths and by the thresholds.

    Attributes:
        value: Log-likelihood, float64 (rows,).
        lead: First derivative by the difference, float64 (rows,).
        thresholds: First derivatives by the thresholds, float64 (rows, 2).
        lead_lead: Second derivative by the difference, float64 (rows,).
        lead_thresholds: Mixed ones, float64 (rows, 2).
        thresholds_thresholds: Second derivatives by the thresholds, float64 (rows, 2, 2).
    """

    value: Floats
    lead: Floats
    thresholds: Floats
    lead_lead: Floats
    lead_thresholds: Floats
    thresholds_thresholds: Floats


def _derivatives(point: Floats, answers: Answers, agents: int) -> _Derivatives:
    """The rows' derivatives, weighted by their weights.

    An interval from l to h has the log-probability log(1 - exp(l - h)) + log F(h) + log(1 - F(l)), where F is the logistic
    distribution function.
    """
    lead = point[answers.first] - point[answers.second]
    to_low, to_high = _LOW[answers.kind], _HIGH[answers.kind]
    low = np.where(_OPEN_LOW[answers.kind], -np.inf, to_low @ point[agents:] - lead)
    high = np.where(_OPEN_HIGH[answers.kind], np.inf, to_high @ point[agents:] - lead)
    with np.errstate(over="ignore", divide="ignore"):
        below = 1 / (1 + np.exp(-low))
        above = 1 / (1 + np.exp(high))
        narrow = 1 / np.expm1(high - low)
        value = np.log(-np.expm1(low - high)) - np.logaddexp(0, -high) - np.logaddexp(0, low)
    by_low, by_high = -below - narrow, above + narrow
    shared = narrow * (1 + narrow)
    low_low, high_high = -below * (1 - below) - shared, -above * (1 - above) - shared
    weight = answers.weight

    def product(one: Floats, other: Floats) -> Floats:
        return one[:, :, None] * other[:, None, :]

    return _Derivatives(
        weight * value,
        -weight * (by_low + by_high),
        weight[:, None] * (by_low[:, None] * to_low + by_high[:, None] * to_high),
        weight * (low_low + 2 * shared + high_high),
        -weight[:, None]
        * ((low_low + shared)[:, None] * to_low + (high_high + shared)[:, None] * to_high),
        weight[:, None, None]
        * (
            low_low[:, None, None] * product(to_low, to_low)
            + high_high[:, None, None] * product(to_high, to_high)
            + shared[:, None, None] * (product(to_low, to_high) + product(to_high, to_low))
        ),
    )


def posterior(point: Floats, answers: Answers, agents: int) -> tuple[float, Floats, Floats]:
    """Log of likelihood and prior, its gradient, and the negative of its second derivatives.

    Where the thresholds are out of order, the first is minus infinity and the others are zeros.

    Args:
        point: Log-strengths and thresholds, float64 (agents + 2,).
        answers: Rows to fit.
        agents: Number of agents.
    """
    size = len(point)
    gradient, curvature = np.zeros(size), np.zeros((size, size))
    slight, much = point[agents:]
    if not 0 < slight < much:
        return -np.inf, gradient, curvature
    one = _derivatives(point, answers, agents)
    gradient[:agents] = np.bincount(answers.first, one.lead, agents)
    gradient[:agents] -= np.bincount(answers.second, one.lead, agents)
    gradient[agents:] = one.thresholds.sum(0)
    between = np.bincount(answers.first * agents + answers.second, one.lead_lead, agents * agents)
    between = between.reshape(agents, agents)
    between = between + between.T
    curvature[:agents, :agents] = np.diag(between.sum(axis=1)) - between
    for place in range(2):
        edge = np.bincount(answers.first, one.lead_thresholds[:, place], agents)
        edge -= np.bincount(answers.second, one.lead_thresholds[:, place], agents)
        curvature[:agents, agents + place] = curvature[agents + place, :agents] = edge
    curvature[agents:, agents:] = one.thresholds_thresholds.sum(0)

    # The prior's comparison of two equal players.
    same = np.zeros(len(ANSWERS), dtype=np.int64)
    prior = _derivatives(
        np.array([0.0, slight, much]), Answers(same, same, _PRIOR_KINDS, _PRIOR_WEIGHTS), 1
    )
    gradient[agents:] += prior.thresholds.sum(0)
    curvature[agents:, agents:] += prior.thresholds_thresholds.sum(0)
    # The prior's games against strength 0, which cannot be drawn.
    strengths = point[:agents]
    chance = 1 / (1 + np.exp(-strengths))
    gradient[:agents] += PRIOR_GAMES * (1 - 2 * chance)
    own = np.arange(agents)
    curvature[own, own] -= 2 * PRIOR_GAMES * chance * (1 - chance)
    games = float((np.log(chance) + np.log1p(-chance)).sum())
    value = float(one.value.sum() + prior.value.sum()) + PRIOR_GAMES * games
    return value, gradient, -curvature
