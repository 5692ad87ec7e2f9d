"""What a table says beyond its ratings: how sure they are, and what an order-free model finds."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

from leaderboard.ratings.bootstrap import REPLICATES, Interval, bootstrap
from leaderboard.ratings.bradley_terry import Strength, fit
from leaderboard.ratings.trueskill import Row, Table

Model = Literal["trueskill", "bt"]

MODELS: tuple[Model, ...] = get_args(Model)
"""By what rows can stand in order: TrueSkill's mu - 3 sigma, or Bradley-Terry's strength."""


@dataclass(frozen=True)
class ErrorBar:
    """A rating's bounds, and where they are from.

    Attributes:
        low, high: bounds of mu.
        bootstrapped: True for the 95 % interval of the bootstrap; False for mu - 2 sigma to
            mu + 2 sigma, where the agent has too few comparisons for it.
    """

    low: float
    high: float
    bootstrapped: bool


@dataclass(frozen=True)
class Analysis:
    """A table with its intervals and its Bradley-Terry strengths.

    Attributes:
        table: the table; its rows stand in order of the chosen model.
        intervals: bootstrap interval by agent; empty where none were asked for.
        strengths: Bradley-Terry strength by agent.
    """

    table: Table
    intervals: dict[str, Interval]
    strengths: dict[str, Strength]

    def error_bar(self, row: Row) -> ErrorBar:
        """The bounds to show for a row: the bootstrap's where there are comparisons enough."""
        interval = self.intervals.get(row.agent)
        if interval is None or not interval.enough:
            return ErrorBar(row.mu - 2 * row.sigma, row.mu + 2 * row.sigma, False)
        return ErrorBar(interval.mu_low, interval.mu_high, True)

    def places(self, row: Row) -> tuple[int, int] | None:
        """Best and worst place in 95 % of the replicates; None with too few comparisons."""
        interval = self.intervals.get(row.agent)
        if interval is None or not interval.enough:
            return None
        return interval.rank_low, interval.rank_high

    def reversals(self) -> dict[str, float]:
        """By agent, the share of replicates that put the next row's agent before it, from 0 to 1.

        Near 0 the order of the two rows is sure, near 0.5 it is open. Replicates are ordered by
        TrueSkill's mu - 3 sigma, whatever the order of the rows. Rows of which one has too few
        comparisons are left out, and so is the last row.
        """
        shares = {}
        for row, following in pairwise(self.table.rows):
            one, other = (self.intervals.get(each.agent) for each in (row, following))
            if one is not None and other is not None and one.enough and other.enough:
                shares[row.agent] = one.behind[following.agent]
        return shares


def analyse(
    table: Table, *, model: Model = "trueskill", replicates: int = REPLICATES, seed: int = 0
) -> Analysis:
    """Intervals and Bradley-Terry strengths of a table.

    Args:
        table: from :func:`leaderboard.ratings.trueskill.rate`.
        model: by what the rows stand in order.
        replicates: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap's random numbers.
    """
    strengths = fit(table.comparisons, [row.agent for row in table.rows]).strengths
    if model == "bt":
        by_agent = {row.agent: row for row in table.rows}
        table = replace(table, rows=tuple(by_agent[agent] for agent in strengths))
    return Analysis(table, bootstrap(table, replicates, seed), strengths)
