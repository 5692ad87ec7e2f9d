"""What a table says beyond its ratings: how certain they are, and what the other models find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from basalt.core.intervals import Z_95
from basalt.io.errors import ConfigError
from leaderboard.ratings.bootstrap import MIN_RATERS, REPLICATES, ResamplingRange, bootstrap
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.control import Control, Looks, control_for
from leaderboard.ratings.ranking import Row, Table
from leaderboard.ratings.trueskill import TRUESKILL

ALWAYS_SHOWN = (TRUESKILL, BRADLEY_TERRY)
"""Models whose ratings are shown beside those of the table's model."""

NO_LOOKS: Looks = {}

INTERVAL = "95%"
RANGE = "resampling range"


@dataclass(frozen=True)
class Bounds:
    """Bounds of a rating.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        kind: `95%` for a confidence interval; `resampling range`; or the name of the model's own bounds, where
            the agent has too few comparisons for a resampling range.
    """

    low: float
    high: float
    kind: str


def own_bounds(table: Table, row: Row) -> Bounds:
    """Return bounds of a row's rating, computed from the model's own error."""
    half = table.model.bound_errors * row.error
    kind = INTERVAL if table.model.claims_order else table.model.bounds_name
    return Bounds(row.value - half, row.value + half, kind)


@dataclass(frozen=True)
class Lead:
    """How far an agent is ahead of the next one of its group.

    Attributes:
        difference: Difference of the two ratings.
        low: Lower bound of its 95% interval.
        high: Upper bound.
        reversed: Probability that the next agent is the better one, from 0 to 1, by a normal distribution of
            the difference.
        flips: Number of further answers, all for the next agent against this one, that would put it first.
    """

    difference: float
    low: float
    high: float
    reversed: float
    flips: int


@dataclass(frozen=True)
class Analysis:
    """A table with what the data say about it, and with the ratings of other models.

    Attributes:
        table: The table.
        ranges: Resampling range by agent, for models that claim no order; empty where none were asked for.
        others: The same comparisons rated by each other model of `ALWAYS_SHOWN`.
        ranks: Best and worst rank by agent, within its group, that the 95% intervals of the differences leave
            open; empty for models that claim no order.
        leads: Lead by agent, without the last of each group; empty for models that claim no order.
        control: Strengths with looks taken out; None where no control was asked for.
    """

    table: Table
    ranges: Mapping[str, ResamplingRange]
    others: tuple[Table, ...]
    ranks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    leads: Mapping[str, Lead] = field(default_factory=dict)
    control: Control | None = None

    def bounds(self, row: Row) -> Bounds:
        """Return the bounds to show for a row: the resampling range if there are enough comparisons."""
        found = self.ranges.get(row.agent)
        if found is None or not found.enough:
            return own_bounds(self.table, row)
        return Bounds(found.low, found.high, RANGE)

    @property
    def few_raters(self) -> int | None:
        """Number of raters, where there are several but too few to show how raters differ; otherwise None."""
        raters = {one.rater for one in self.table.used if one.rater is not None}
        return len(raters) if 1 < len(raters) < MIN_RATERS else None


def analyse(
    table: Table,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    control: Sequence[str] = (),
    looks: Looks = NO_LOOKS,
) -> Analysis:
    """Intervals of a table, the certainty of its order, and the ratings of the other models.

    Args:
        table: Table from `rate`.
        replicates: Number of bootstrap replicates for models that claim no order; 0 gives no ranges.
        seed: Seed of the random numbers.
        control: Names of the looks to control for.
        looks: Their values by comparison.

    Raises:
        ConfigError: control was asked for, and the table's model is not Bradley-Terry.
        StudyError: the data do not allow the control.
    """
    if control and table.model.name != BRADLEY_TERRY.name:
        raise ConfigError(
            f"control: expected a table by {BRADLEY_TERRY.name}, got one by {table.model.name}; "
            f"use --model {BRADLEY_TERRY.name}"
        )
    others = tuple(
        table.rated_by(model) for model in ALWAYS_SHOWN if model.name != table.model.name
    )
    if not table.model.claims_order:
        return Analysis(table, bootstrap(table, replicates, seed), others)
    controlled = control_for(table, control, looks) if control else None
    return Analysis(table, {}, others, *_order(table), controlled)


def _order(table: Table) -> tuple[dict[str, tuple[int, int]], dict[str, Lead]]:
    """Ranks and leads of a table whose model claims an order; see `Analysis`."""
    neighbours = [pair for rows in table.groups for pair in pairwise(rows)]
    found = table.model.certainty(
        table.used, table.agents, [(row.agent, following.agent) for row, following in neighbours]
    )
    place = {agent: number for number, agent in enumerate(table.agents)}
    leads = {}
    for (row, following), flips in zip(neighbours, found.flips, strict=True):
        error = float(found.errors[place[row.agent], place[following.agent]])
        gap = row.value - following.value
        leads[row.agent] = Lead(
            gap, gap - Z_95 * error, gap + Z_95 * error, NormalDist().cdf(-gap / error), flips
        )
    ranks = {}
    for rows in table.groups:
        at = [place[row.agent] for row in rows]
        values = np.array([row.value for row in rows])
        clearly = values[:, None] - values[None, :] > Z_95 * found.errors[np.ix_(at, at)]
        for row, behind, ahead in zip(rows, clearly.sum(axis=0), clearly.sum(axis=1), strict=True):
            ranks[row.agent] = (1 + int(behind), len(rows) - int(ahead))
    return ranks, leads
