"""One score over all tasks: how far above the others an agent stands on average.

Per task the ratings are brought to mean 0 and variance 1 over the agents of the table; the overall score is
the mean over the tasks. So, to the best of our knowledge, did the BASALT competition; its exact formula was
not at hand. An agent must stand in every task's table. Scores are relative: another agent changes them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.ratings.bootstrap import LEVEL, MIN_COMPARISONS, REPLICATES, resampled_ratings
from leaderboard.ratings.trueskill import Table, in_order
from leaderboard.ratings.vector_trueskill import Floats


@dataclass(frozen=True)
class OverallRow:
    """An agent over all tasks.

    Attributes:
        agent: its name.
        score: mean of the normalised ratings.
        low, high: 95 % interval by bootstrap, tasks drawn apart; None with too few comparisons in a task.
        tasks: normalised rating by task.
        comparisons: of all tasks together.
    """

    agent: str
    score: float
    low: float | None
    high: float | None
    tasks: dict[str, float]
    comparisons: int


def overall(
    tables: Sequence[Table], replicates: int = REPLICATES, seed: int = 0
) -> list[OverallRow]:
    """The agents that stand in every table, the best first.

    Args:
        tables: of one study and source, one a task.
        replicates: of the bootstrap; 0 gives no intervals.
        seed: of the random numbers.
    """
    if not tables:
        return []
    rows = [{row.agent: row for row in table.rows} for table in tables]
    agents = sorted(set.intersection(*(set(one) for one in rows)))
    if not agents:
        return []
    scores = [normalised(np.array([[one[agent].mu for agent in agents]]))[0] for one in rows]
    resampled = None
    if replicates and all(any(row.comparisons for row in table.rows) for table in tables):
        resampled = np.mean(
            [_replicates(table, agents, replicates, seed + n) for n, table in enumerate(tables)],
            axis=0,
        )
    out = []
    for place, agent in enumerate(agents):
        low = high = None
        enough = min(one[agent].comparisons for one in rows) >= MIN_COMPARISONS
        if resampled is not None and enough:
            tail = (1 - LEVEL) / 2
            low, high = (float(x) for x in np.quantile(resampled[:, place], [tail, 1 - tail]))
        tasks = {
            table.task: float(score[place]) for table, score in zip(tables, scores, strict=True)
        }
        out.append(
            OverallRow(
                agent,
                sum(tasks.values()) / len(tasks),
                low,
                high,
                tasks,
                sum(one[agent].comparisons for one in rows),
            )
        )
    return sorted(out, key=lambda row: (-row.score, row.agent))


def normalised(mu: Floats) -> Floats:
    """Ratings (replicates, agents) with mean 0 and variance 1 in each row; equal ones become 0."""
    centred = mu - mu.mean(axis=1, keepdims=True)
    deviation = mu.std(axis=1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12)


def _replicates(table: Table, agents: Sequence[str], replicates: int, seed: int) -> Floats:
    """(replicates, agents) float64: the normalised ratings of a task's replicates."""
    decisive = in_order(table.comparisons, decisive=True)
    names = sorted(row.agent for row in table.rows)
    mu, _ = resampled_ratings(decisive, names, replicates, seed)
    return normalised(mu[:, [names.index(agent) for agent in agents]])
