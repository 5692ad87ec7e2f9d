"""Tables of agents: a pure function of the judgments, never stored."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter

from basalt.core.comparisons import Comparison
from leaderboard.ratings.groups import connected_groups
from leaderboard.ratings.models import RatingModel
from leaderboard.ratings.trueskill import TRUESKILL


@dataclass(frozen=True)
class Row:
    """One agent in a table.

    Attributes:
        agent: Name of the agent.
        value: Its rating.
        error: Standard deviation of the rating.
        score: Number by which rows are ranked, see `Ratings`.
        comparisons: Number of wins, losses and draws.
        wins: Number of comparisons won.
        losses: Number of comparisons lost.
        draws: Number of comparisons drawn.
        both_bad: Number of pairs in which neither episode was acceptable.
        source: Source of the judgments, as in the table.
        group: Number of the group of compared agents that it is in, from 1.
    """

    agent: str
    value: float
    error: float
    score: float
    comparisons: int
    wins: int
    losses: int
    draws: int
    both_bad: int
    source: str
    group: int = 1


@dataclass(frozen=True)
class Table:
    """The ranking of a task in one world and version, by one source of judgments and one model.

    Attributes:
        study: Name of the study.
        task: Name of the task.
        world: Name of the world in which the episodes were played.
        world_version: Version of that world.
        source: Source of the judgments; several are joined by `+` where mixing was asked for.
        rows: Agents by group, the best of each group first.
        comparisons: Comparisons that the table was made of, oldest first.
        model: Model by which the agents are rated.
    """

    study: str
    task: str
    world: str
    world_version: str
    source: str
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = field(default=(), repr=False, compare=False)
    model: RatingModel = field(default=TRUESKILL, compare=False)

    @cached_property
    def used(self) -> tuple[Comparison, ...]:
        """The comparisons that the model uses, oldest first."""
        return tuple(one for one in self.comparisons if self.model.uses(one))

    @property
    def agents(self) -> list[str]:
        """Names of the agents in alphabetical order, in which models get them."""
        return sorted(row.agent for row in self.rows)

    @property
    def groups(self) -> tuple[tuple[Row, ...], ...]:
        """Rows by group, the best first.

        Agents of different groups were never compared, even indirectly: nothing may be ranked across groups.
        """
        return tuple(tuple(rows) for _, rows in groupby(self.rows, key=lambda row: row.group))

    def rated_by(self, model: RatingModel) -> "Table":
        """The same agents and comparisons, rated and ranked by another model."""
        return replace(self, rows=_rated(self.rows, self.comparisons, model), model=model)


def in_order(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Comparisons in order of `created`, those of the same moment in the order given."""
    return tuple(sorted(comparisons, key=attrgetter("created")))


def rate(
    comparisons: Iterable[Comparison], *, mix_sources: bool = False, model: RatingModel = TRUESKILL
) -> list[Table]:
    """One table per study, task, world, version of the world, and source.

    `both_bad` is counted in a column of its own; an agent whose pairs were all skipped is in the table. Answers to
    single questions, checks of raters and answers about clips are left out.

    Args:
        comparisons: Comparisons in any order; those of the same moment are taken in the order given.
        mix_sources: Whether all sources go into one table; otherwise people, rules and models are kept
            apart.
        model: Model by which agents are rated.
    """
    kept_apart = () if mix_sources else ("source",)
    key = attrgetter("study", "task", "world", "world_version", *kept_apart)
    groups: dict[tuple[str, ...], list[Comparison]] = defaultdict(list)
    for one in in_order(comparisons):
        if not (one.question or one.is_check or one.left_start is not None):
            groups[key(one)].append(one)
    tables = []
    for (study, task, world, version, *_), group in sorted(groups.items()):
        source = "+".join(sorted({one.source for one in group}))
        agents = sorted({name for one in group for name in (one.left_agent, one.right_agent)})
        rows = _rows(group, agents, source, model)
        tables.append(Table(study, task, world, version, source, rows, tuple(group), model))
    return tables


def digest(tables: Sequence[Table]) -> str:
    """SHA-256 (hexadecimal) over every agent's rating in every table, to compare machines by.

    Ratings enter with six decimals: processors may round the digits after those differently.
    """
    lines = sorted(
        repr((table.study, table.task, table.world, table.world_version, table.source, row.agent))
        + f" {row.value:.6f} {row.error:.6f} {row.comparisons} {row.both_bad}"
        for table in tables
        for row in table.rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rows(
    comparisons: Sequence[Comparison], agents: Sequence[str], source: str, model: RatingModel
) -> tuple[Row, ...]:
    """Agents rated by a model, by group and best first, with the numbers of their wins, losses and draws."""
    left = Counter((one.left_agent, one.winner) for one in comparisons)
    right = Counter((one.right_agent, one.winner) for one in comparisons)
    rows = []
    for agent in agents:
        wins = left[agent, "left"] + right[agent, "right"]
        losses = left[agent, "right"] + right[agent, "left"]
        draws, both_bad = (left[agent, word] + right[agent, word] for word in ("draw", "both_bad"))
        number = wins + losses + draws
        rows.append(Row(agent, 0.0, 0.0, 0.0, number, wins, losses, draws, both_bad, source))
    return _rated(rows, comparisons, model)


def _rated(
    rows: Sequence[Row], comparisons: Sequence[Comparison], model: RatingModel
) -> tuple[Row, ...]:
    """Rows with the ratings and groups of a model, by group and best first."""
    rows = sorted(rows, key=lambda row: row.agent)
    agents = [row.agent for row in rows]
    used = [one for one in comparisons if model.uses(one)]
    ratings = model.fit(used, agents)
    groups = connected_groups(agents, (one.winner_loser for one in used))
    number = {agent: place for place, group in enumerate(groups, start=1) for agent in group}
    figures = zip(ratings.value, ratings.error, ratings.score, strict=True)
    rated = [
        replace(
            row, value=float(value), error=float(error), score=float(score), group=number[row.agent]
        )
        for row, (value, error, score) in zip(rows, figures, strict=True)
    ]
    return tuple(sorted(rated, key=lambda row: (row.group, -row.score, -row.value, row.agent)))
