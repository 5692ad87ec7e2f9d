"""What a table says beyond its ratings: how certain they are, and what the other models find."""

from dataclasses import dataclass
from itertools import pairwise

from leaderboard.ratings.bootstrap import REPLICATES, Interval, bootstrap
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.ranking import Row, Table
from leaderboard.ratings.trueskill import TRUESKILL

ALWAYS_SHOWN = (TRUESKILL, BRADLEY_TERRY)
"""Models whose ratings are shown beside those of the table's model."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a rating.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        bootstrapped: True for the 95% interval of the bootstrap; False for the model's own bounds, where
            the agent has too few comparisons for a bootstrap.
    """

    low: float
    high: float
    bootstrapped: bool


def own_bounds(table: Table, row: Row) -> Bounds:
    """Bounds of a row's rating by the model's own error."""
    half = table.model.bound_errors * row.error
    return Bounds(row.value - half, row.value + half, False)


@dataclass(frozen=True)
class Analysis:
    """A table with its intervals, and with the ratings of other models.

    Attributes:
        table: The table.
        intervals: Bootstrap interval by agent; empty where none were asked for.
        others: The same comparisons rated by each other model of `ALWAYS_SHOWN`.
    """

    table: Table
    intervals: dict[str, Interval]
    others: tuple[Table, ...]

    def interval(self, agent: str) -> Interval | None:
        """An agent's bootstrap interval; None with too few comparisons or without a bootstrap."""
        found = self.intervals.get(agent)
        return found if found is not None and found.enough else None

    def bounds(self, row: Row) -> Bounds:
        """The bounds to show for a row: the bootstrap's where there are enough comparisons."""
        interval = self.interval(row.agent)
        if interval is None:
            return own_bounds(self.table, row)
        return Bounds(interval.low, interval.high, True)

    def reversals(self) -> dict[str, float]:
        """By agent, the share of replicates in which the next row's agent ranks before it, from 0 to 1.

        Near 0 the order of the two rows is certain, near 0.5 it is open. The last row, and rows of which
        one has too few comparisons, are left out.
        """
        shares = {}
        for row, following in pairwise(self.table.rows):
            one = self.interval(row.agent)
            if one is not None and self.interval(following.agent) is not None:
                shares[row.agent] = one.behind[following.agent]
        return shares


def analyse(table: Table, *, replicates: int = REPLICATES, seed: int = 0) -> Analysis:
    """Intervals of a table, and the ratings of the other models.

    Args:
        table: Table from `rate`.
        replicates: Number of bootstrap replicates; 0 gives no intervals.
        seed: Seed of the random numbers.
    """
    others = tuple(
        table.rated_by(model) for model in ALWAYS_SHOWN if model.name != table.model.name
    )
    return Analysis(table, bootstrap(table, replicates, seed), others)
