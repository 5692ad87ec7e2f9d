"""One score over all tasks: how far above the others an agent is on average.

Per task the ratings are normalised to mean 0 and variance 1 over the agents of the table; the overall score
is the mean over the tasks. To the best of our knowledge the BASALT competition scored like this; its exact
formula was not available. Only agents rated in every task are scored, and each is normalised among the agents
with which comparisons connect it in every task: scores say nothing across such groups. Scores are relative:
they change when another agent joins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.ratings.bootstrap import MIN_COMPARISONS, REPLICATES, TAILS, resample_counts
from leaderboard.ratings.models import Floats
from leaderboard.ratings.ranking import Row, Table


@dataclass(frozen=True)
class OverallRow:
    """One agent over all tasks.

    Attributes:
        agent: Name of the agent.
        score: Mean of its normalised ratings.
        low: Lower bound of the score's resampling range (95% of the replicates), each task resampled on its
            own; None with too few comparisons in a task.
        high: Upper bound of the same range, or None.
        tasks: Normalised rating by task.
        comparisons: Number of wins, losses and draws in all tasks.
        group: Number of the group of agents that comparisons connect in every task, from 1.
    """

    agent: str
    score: float
    low: float | None
    high: float | None
    tasks: dict[str, float]
    comparisons: int
    group: int = 1


def overall(
    tables: Sequence[Table], replicates: int = REPLICATES, seed: int = 0
) -> list[OverallRow]:
    """Agents that are in every table, by group and best first.

    Agents that comparisons connect with no other agent in every task are left out.

    Args:
        tables: Tables of one study, source and model, one per task.
        replicates: Number of bootstrap replicates; 0 gives no ranges.
        seed: Seed of the random numbers.
    """
    rows = [{row.agent: row for row in table.rows} for table in tables]
    agents = sorted(set.intersection(*(set(one) for one in rows))) if rows else []
    groups: dict[tuple[int, ...], list[str]] = {}
    for agent in agents:
        groups.setdefault(tuple(one[agent].group for one in rows), []).append(agent)
    found = sorted(
        (group for group in groups.values() if len(group) > 1),
        key=lambda group: (-len(group), group),
    )
    return [
        row
        for number, group in enumerate(found, start=1)
        for row in _group(tables, rows, group, number, replicates, seed)
    ]


def _group(
    tables: Sequence[Table],
    rows: Sequence[Mapping[str, Row]],
    agents: Sequence[str],
    number: int,
    replicates: int,
    seed: int,
) -> list[OverallRow]:
    """The rows of one group of `overall`, best first."""
    scores = [normalised(np.array([[one[agent].value for agent in agents]]))[0] for one in rows]
    resampled = None
    if replicates and all(table.used for table in tables):
        resampled = np.mean(
            [_replicates(table, agents, replicates, seed + n) for n, table in enumerate(tables)],
            axis=0,
        )
    out = []
    for place, agent in enumerate(agents):
        low = high = None
        counts = [one[agent].comparisons for one in rows]
        if resampled is not None and min(counts) >= MIN_COMPARISONS:
            low, high = (float(x) for x in np.quantile(resampled[:, place], TAILS))
        tasks = {
            table.task: float(score[place]) for table, score in zip(tables, scores, strict=True)
        }
        mean = sum(tasks.values()) / len(tasks)
        out.append(OverallRow(agent, mean, low, high, tasks, sum(counts), number))
    return sorted(out, key=lambda row: (-row.score, row.agent))


def normalised(values: Floats) -> Floats:
    """Ratings (replicates, agents) with mean 0 and variance 1 in each row; equal ones become 0."""
    centred = values - values.mean(axis=1, keepdims=True)
    deviation = values.std(axis=1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12)


def _replicates(table: Table, agents: Sequence[str], replicates: int, seed: int) -> Floats:
    """Normalised ratings of agents in a task's replicates, float64 (replicates, agents)."""
    used, names = table.used, table.agents
    ratings = table.model.resample(used, names, resample_counts(used, replicates, seed))
    return normalised(ratings.value[:, [names.index(agent) for agent in agents]])
