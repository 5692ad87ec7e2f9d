"""What a rating model is. TrueSkill and two kinds of Bradley-Terry are here; another package may add more.

A model turns comparisons into a value and an error per agent. Tables, the bootstrap, planning, overall
scores and plots take any model; matchmaking takes one that is updated comparison by comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from basalt.core.registry import Registry

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Ratings:
    """Ratings of agents, in the order in which the agents were given.

    Attributes:
        value: Ratings, float64 (agents,) or, of resampled comparisons, (replicates, agents).
        error: Their standard deviations, of the same shape.
        score: Numbers by which agents are ranked, the highest first, of the same shape. A model may rank
            by a lower bound of the rating rather than by the rating.
    """

    value: Floats
    error: Floats
    score: Floats


@dataclass(frozen=True)
class Certainty:
    """What the data say about the order of agents, by a model that can say it.

    Attributes:
        errors: Standard errors of the differences of ratings, float64 (agents, agents).
        flips: Number of further answers that would flip the order of each pair of neighbours, all of them
            for the agent behind against the one ahead.
    """

    errors: Floats
    flips: tuple[int, ...]


class RatingModel(Protocol):
    """A way to rate agents by comparisons. Inherit from it and write `name` and `fit`.

    The models of this package use wins, losses and draws. `both_bad` says that neither episode is
    acceptable, not that they are equally good, and `skip` says nothing: they leave ratings as they are.
    A model that uses them overrides `uses`.
    """

    name: str
    """Name on the command line and in the registry."""

    bound_errors: float = Z_95
    """Half width, in errors, of the bounds of a rating that come from its error."""

    claims_order: bool = False
    """Whether `certainty` says how certain the order is. The ranges of other models show how far their ratings
    move when the judgments are resampled, and no claim of order rests on them."""

    uses_strength: bool = False
    """Whether `fit` uses how much better the winner is (`Comparison.strength`), and not the side only."""

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        """Rate agents.

        Args:
            comparisons: Comparisons for which `uses` is true, oldest first.
            agents: Names of all agents to rate; some may not have been compared.
        """
        ...

    def resample(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], counts: Integers
    ) -> Ratings:
        """Rate agents by each of many resampled sets of comparisons.

        This fits one set after another; a model with a faster way overrides it.

        Args:
            comparisons: As in `fit`.
            agents: As in `fit`.
            counts: Number of times that each replicate holds each comparison,
                integers (replicates, comparisons).

        Returns:
            Ratings of shape (replicates, agents).
        """
        fits = [
            self.fit(
                [one for one, times in zip(comparisons, row, strict=True) for _ in range(times)],
                agents,
            )
            for row in counts
        ]
        return Ratings(
            *(
                np.stack([getattr(one, name) for one in fits])
                for name in ("value", "error", "score")
            )
        )

    def certainty(
        self,
        comparisons: Sequence[Comparison],
        agents: Sequence[str],
        neighbours: Sequence[tuple[str, str]],
    ) -> Certainty:
        """How certain the order of agents is; models with `claims_order` override it.

        Args:
            comparisons: As in `fit`.
            agents: As in `fit`.
            neighbours: Names of the agent ahead and of the agent behind, of each pair whose flip is counted.
        """
        nothing = np.full((len(agents), len(agents)), np.inf)
        return Certainty(nothing, (1,) * len(neighbours))

    def one_more_answer(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], ratings: Ratings
    ) -> tuple[Floats, Floats]:
        """Lowest and highest rating that each agent can have after one more answer.

        This fits a loss to the lowest-rated other agent and a win over the highest-rated one; a model with an
        exact way overrides it.

        Args:
            comparisons: As in `fit`; at least one.
            agents: As in `fit`; at least two.
            ratings: Their ratings.

        Returns:
            float64 (agents,) each.
        """
        order = [agents[place] for place in np.argsort(ratings.value)]
        last = comparisons[-1]
        low, high = np.empty((2, len(agents)))
        for place, agent in enumerate(agents):
            worst, best = (
                next(name for name in side if name != agent) for side in (order, order[::-1])
            )
            lost = replace(last, left_agent=agent, right_agent=worst, winner="right")
            won = replace(last, left_agent=agent, right_agent=best, winner="left")
            low[place] = self.fit([*comparisons, lost], agents).value[place]
            high[place] = self.fit([*comparisons, won], agents).value[place]
        return low, high

    def uses(self, comparison: Comparison) -> bool:
        """Whether the outcome of a comparison affects the ratings."""
        return comparison.decisive

    @property
    def title(self) -> str:
        """Name of the model in captions."""
        return self.name

    @property
    def value_name(self) -> str:
        """Short name of the rating, for axes and column heads."""
        return "rating"

    @property
    def error_name(self) -> str:
        """Short name of the rating's error."""
        return "error"

    @property
    def score_name(self) -> str:
        """Short name of the number by which agents are ranked; the rating's where it is the same."""
        return self.value_name

    @property
    def bounds_name(self) -> str:
        """Name of the bounds that come from the rating's error."""
        return f"{self.value_name} ± {self.bound_errors:.3g} {self.error_name}"

    @property
    def keys(self) -> tuple[str, str, str]:
        """Names of value, error and score in JSON records."""
        return self.name, f"{self.name}_error", f"{self.name}_score"


class OnlineRatingModel(RatingModel, Protocol):
    """A model that is updated comparison by comparison, so that matchmaking can plan with it."""

    def prior(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Values and variances of agents that were never compared, float64 of a shape."""
        ...

    def update(
        self, mu_first: Floats, variance_first: Floats, mu_second: Floats, variance_second: Floats,
        drawn: Booleans,
    ) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
        """Ratings after one comparison, elementwise.

        Args:
            mu_first: Values of the winners (of either agent of a draw), float64 (n,).
            variance_first: Variances of the same, float64 (n,).
            mu_second: Values of the other agents, float64 (n,).
            variance_second: Variances of the same, float64 (n,).
            drawn: Whether the comparison was a draw, bool (n,).

        Returns:
            Value and variance of the first agent, value and variance of the second, float64 (n,) each.
        """
        ...

    def play(self, mu: Floats, variance: Floats, pairs: Integers, drawn: Booleans) -> None:
        """Update ratings by comparisons in order of time, in place.

        Args:
            mu: Values, float64 (agents,).
            variance: Variances, float64 (agents,).
            pairs: Indices of winner and loser (of either agent of a draw), int (comparisons, 2).
            drawn: Whether each comparison was a draw, bool (comparisons,).
        """
        # Comparisons without an agent in common commute: each level holds such, and is updated at once.
        level = levels(pairs, len(mu))
        order = np.argsort(level, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(level[order])) + 1):
            first, second = pairs[rows].T
            mu[first], variance[first], mu[second], variance[second] = self.update(
                mu[first], variance[first], mu[second], variance[second], drawn[rows]
            )

    def one_more_answer(
        self, comparisons: Sequence[Comparison], agents: Sequence[str], ratings: Ratings
    ) -> tuple[Floats, Floats]:
        """See `RatingModel.one_more_answer`; here every answer about every pair is tried."""
        value, variance = ratings.value, ratings.error**2
        one, other = np.nonzero(~np.eye(len(agents), dtype=bool))
        low, high = value.copy(), value.copy()
        for drawn in (False, True):
            words = np.full(len(one), drawn)
            found = self.update(value[one], variance[one], value[other], variance[other], words)
            for places, after in ((one, found[0]), (other, found[2])):
                np.minimum.at(low, places, after)
                np.maximum.at(high, places, after)
        return low, high

    def expected_drops(
        self, mu: Floats, variance: Floats, one: Integers, other: Integers
    ) -> tuple[Floats, Floats]:
        """Amounts by which comparing two agents is expected to lower the variance of each.

        Args:
            mu: Present values, float64 (agents,).
            variance: Present variances, float64 (agents,).
            one: Indices of the first agents, int (pairs,).
            other: Indices of the second agents, int (pairs,).

        Returns:
            Expected drop of the first agent's variance and of the second's, float64 (pairs,) each.
        """
        ...


def levels(pairs: Integers, agents: int) -> Integers:
    """Steps in which comparisons can be played so that each agent's are in order, int64 (comparisons,).

    Args:
        pairs: Indices of the agents of each comparison in order of time, int (comparisons, 2).
        agents: Number of agents.
    """
    played = [0] * agents
    out = []
    for one, other in zip(*pairs.T.tolist(), strict=True):
        step = max(played[one], played[other])
        played[one] = played[other] = step + 1
        out.append(step)
    return np.array(out, dtype=np.int64)


def sides_and_winners(
    comparisons: Sequence[Comparison], agents: Sequence[str]
) -> tuple[Integers, Integers, NDArray[np.str_]]:
    """Comparisons as arrays.

    Args:
        comparisons: Comparisons in any order.
        agents: Names of all agents.

    Returns:
        Indices of the left agents and of the right agents, int64 (comparisons,) each, and the winners,
        str (comparisons,).
    """
    index = {name: place for place, name in enumerate(agents)}
    return (
        np.array([index[one.left_agent] for one in comparisons], dtype=np.int64),
        np.array([index[one.right_agent] for one in comparisons], dtype=np.int64),
        np.array([one.winner for one in comparisons], dtype=np.str_),
    )


RATING_MODELS: Registry[RatingModel] = Registry("rating model", "basalt.rating_models")
"""The models by name; other packages add theirs under the entry point group `basalt.rating_models`."""

RATING_MODELS.register("bt", "leaderboard.ratings.bradley_terry:BRADLEY_TERRY")
RATING_MODELS.register("ordinal", "leaderboard.ratings.ordinal:ORDINAL")
RATING_MODELS.register("trueskill", "leaderboard.ratings.trueskill:TRUESKILL")

DEFAULT_MODEL = "bt"
"""Name of the model of tables whose answers name a side only: one whose order has intervals."""


def default_model(comparisons: Iterable[Comparison]) -> str:
    """Name of the model of tables where none is asked for: `ordinal` where answers say how much better a side is."""
    return "ordinal" if any(one.strength for one in comparisons) else DEFAULT_MODEL
