"""Ratings computed anew, and a digest by which two machines can compare them.

Nothing of ratings is stored: every table is computed from the judgments when it is shown. So this computes
them by two ways that share no update: the ``trueskill`` package, as tables do, and our vectorised replay,
with the judgments given in another order.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basalt.core.comparisons import Comparison
from basalt.io.errors import StudyError
from leaderboard.ratings.bootstrap import outcomes
from leaderboard.ratings.trueskill import Table, in_order, rate
from leaderboard.ratings.vector_trueskill import replay

TOLERANCE = 1e-9
"""Both ways agree to so much."""

_DIGITS = 6
"""Decimals of mu and sigma in the digest: beyond what processors round differently."""


class RatingsDifferError(StudyError):
    """Two computations of the same ratings that came out apart."""


@dataclass(frozen=True)
class Recomputed:
    """Ratings computed by two ways that agree.

    Attributes:
        judgments: how many there were.
        ratings: how many they gave, over all tables.
        difference: the largest between both ways, in mu or sigma.
        digest: SHA-256 over the ratings of all tables, in a stated order: the same judgments, the same.
    """

    judgments: int
    ratings: int
    difference: float
    digest: str


def recompute(comparisons: Sequence[Comparison]) -> Recomputed:
    """Compute all ratings by both ways.

    Args:
        comparisons: from :func:`leaderboard.studies.export.load_comparisons`.

    Raises:
        RatingsDifferError: the two ways are apart by more than ``TOLERANCE``.
    """
    # A stable sort: judgments of one moment keep the order in which they were made.
    newest_first = sorted(comparisons, key=lambda one: one.created, reverse=True)
    tables, again = rate(comparisons), rate(newest_first)
    difference = 0.0
    for table, other in zip(tables, again, strict=True):
        if [row.agent for row in table.rows] != [row.agent for row in other.rows]:
            raise RatingsDifferError(f"{table.task}, {table.source}: other agents or another order")
        difference = max(difference, _difference(table, other))
    if not difference <= TOLERANCE:
        raise RatingsDifferError(
            f"ratings computed twice differ by {difference:.3g}; please report this"
        )
    return Recomputed(
        len(comparisons), sum(len(table.rows) for table in tables), difference, digest(tables)
    )


def digest(tables: Sequence[Table]) -> str:
    """SHA-256 (hexadecimal) over every agent's rating in every table, in order of names."""
    lines = sorted(
        repr((table.study, table.task, table.world, table.world_version, table.source, row.agent))
        + f" {row.mu:.{_DIGITS}f} {row.sigma:.{_DIGITS}f} {row.comparisons} {row.both_bad}"
        for table in tables
        for row in table.rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _difference(table: Table, other: Table) -> float:
    """The largest between a table's ratings and a vectorised replay of another's comparisons."""
    decisive = in_order(other.comparisons, decisive=True)
    if not decisive:
        return 0.0
    names = [row.agent for row in table.rows]
    first, second, drawn = outcomes(decisive, names)
    mu, sigma = replay(first[None], second[None], drawn[None], len(names))
    expected = np.array([(row.mu, row.sigma) for row in table.rows])
    return float(np.abs(np.stack([mu[0], sigma[0]], axis=-1) - expected).max())
