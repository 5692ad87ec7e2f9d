"""Ratings: a pure function of the judgments, never stored as truth.

TrueSkill (Herbrich, Minka, Graepel 2006) by the ``trueskill`` package at its published defaults, one
rating per agent and table, updated in the order of time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import trueskill

from basalt.core.comparisons import Comparison

ENVIRONMENT = trueskill.TrueSkill(
    mu=25.0, sigma=25.0 / 3.0, beta=25.0 / 6.0, tau=25.0 / 300.0, draw_probability=0.10
)
"""TrueSkill's constants: prior mean and deviation, width of a skill class, drift a comparison, share
of draws."""


@dataclass(frozen=True)
class Row:
    """One agent in a table.

    Attributes:
        agent: its name.
        mu: mean of its rating.
        sigma: standard deviation of its rating, its uncertainty.
        comparisons: judgments that updated it (wins, losses and draws).
        wins, losses, draws: how they went.
        both_bad: pairs in which neither episode was acceptable; they update nothing.
        source: who judged, as in the table.
    """

    agent: str
    mu: float
    sigma: float
    comparisons: int
    wins: int
    losses: int
    draws: int
    both_bad: int
    source: str

    @property
    def conservative(self) -> float:
        """mu - 3 sigma: what the agent is at least worth, almost surely; rows are ordered by it."""
        return self.mu - 3 * self.sigma


@dataclass(frozen=True)
class Table:
    """The ranking of a task in one world and version, by one source of judgments.

    Attributes:
        study: the study's name.
        task: the task's name.
        world, world_version: where the episodes were played.
        source: who judged; several joined by ``+`` where mixing was asked for.
        rows: the agents, best first.
        comparisons: what it was made of, in order of time; intervals and other models start from them.
    """

    study: str
    task: str
    world: str
    world_version: str
    source: str
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = field(default=(), repr=False, compare=False)


def in_order(
    comparisons: Iterable[Comparison], *, decisive: bool = False
) -> tuple[Comparison, ...]:
    """Comparisons in order of ``created``, those of the same moment in the order given.

    Args:
        comparisons: in any order.
        decisive: only those that say who did better, or that both did equally well.
    """
    kept = (one for one in comparisons if not decisive or one.winner in ("left", "right", "draw"))
    return tuple(sorted(kept, key=lambda one: one.created))


def rate(comparisons: Iterable[Comparison], *, mix_sources: bool = False) -> list[Table]:
    """One table per study, task, world, version of the world, and source.

    A win or a draw updates both agents. ``both_bad`` says that neither episode is acceptable, not
    that they are equally good, so it is counted in its own column and updates no rating; ``skip`` says
    nothing and is left out, except that its agents stand in the table.

    Args:
        comparisons: in any order; they are taken in order of ``created``, those of the same moment in
            the order given.
        mix_sources: put all sources into one table; otherwise people, rules and models never meet.
    """
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for one in in_order(comparisons):
        key = (one.study, one.task, one.world, one.world_version)
        groups.setdefault(key if mix_sources else (*key, one.source), []).append(one)
    tables = []
    for (study, task, world, version, *_), group in sorted(groups.items()):
        source = "+".join(sorted({one.source for one in group}))
        rows = _rows(group, source)
        tables.append(Table(study, task, world, version, source, rows, tuple(group)))
    return tables


class _Tally:
    """One agent's rating and counts while judgments are replayed."""

    def __init__(self) -> None:
        self.rating = ENVIRONMENT.create_rating()
        self.wins = self.losses = self.draws = self.both_bad = 0


def _rows(comparisons: list[Comparison], source: str) -> tuple[Row, ...]:
    tallies: dict[str, _Tally] = {}
    for one in comparisons:
        left = tallies.setdefault(one.left_agent, _Tally())
        right = tallies.setdefault(one.right_agent, _Tally())
        if one.winner == "skip":
            continue
        if one.winner == "both_bad":
            left.both_bad += 1
            right.both_bad += 1
            continue
        first, second = (right, left) if one.winner == "right" else (left, right)
        drawn = one.winner == "draw"
        first.rating, second.rating = trueskill.rate_1vs1(
            first.rating, second.rating, drawn, env=ENVIRONMENT
        )
        if drawn:
            left.draws += 1
            right.draws += 1
        else:
            first.wins += 1
            second.losses += 1
    rows = [
        Row(
            agent=agent,
            mu=tally.rating.mu,
            sigma=tally.rating.sigma,
            comparisons=tally.wins + tally.losses + tally.draws,
            wins=tally.wins,
            losses=tally.losses,
            draws=tally.draws,
            both_bad=tally.both_bad,
            source=source,
        )
        for agent, tally in tallies.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.conservative, -row.mu, row.agent)))
