"""How many comparisons a study needs: simulated studies, rated and bootstrapped as real ones are.

Agents' true skills are drawn from a normal distribution; pairs are drawn at random; each answer follows
TrueSkill's own model of performances, with a margin that gives the stated share of draws between equals.
Answers are independent of each other: raters who judge alike widen the interval beyond what is said here.
Matchmaking by information gain (:mod:`leaderboard.judging.matchmaking`) is left out of account.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import trueskill

from basalt.io.errors import ConfigError
from leaderboard.ratings.bootstrap import LEVEL, sequences
from leaderboard.ratings.trueskill import ENVIRONMENT
from leaderboard.ratings.vector_trueskill import replay

STUDIES = 6
"""Simulated studies for each number of comparisons."""

REPLICATES = 80
"""Of the bootstrap of each simulated study."""

SPREAD = ENVIRONMENT.sigma / 2
"""Standard deviation of the true skills unless told otherwise: half of TrueSkill's prior."""

MAX_AGENTS = 200
MAX_COMPARISONS = 10_000
"""Of one task; a simulated study of more would take minutes."""

_FIRST = 8
"""Comparisons per agent of the smallest simulated study; each further one has twice as many."""


@dataclass(frozen=True)
class Planned:
    """What is to be expected of a study of one size.

    Attributes:
        comparisons: wins, losses and draws in one task.
        width: mean width of the agents' 95 % intervals of mu.
        error: 95 % uncertainty of ``width``, from how much the simulated studies differ.
    """

    comparisons: int
    width: float
    error: float


@dataclass(frozen=True)
class Plan:
    """How many comparisons one task needs.

    Attributes:
        agents, wanted, spread, draws, seed: what was asked and assumed.
        rows: simulated sizes, the smallest first.
        needed: comparisons for the wanted width, between two rows on logarithmic scales; None where
            no simulated size reaches it.
    """

    agents: int
    wanted: float
    spread: float
    draws: float
    seed: int
    rows: tuple[Planned, ...]
    needed: int | None


def plan(
    agents: int,
    width: float,
    *,
    sizes: Sequence[int] | None = None,
    spread: float = SPREAD,
    draws: float = ENVIRONMENT.draw_probability,
    seed: int = 0,
) -> Plan:
    """Simulate studies of one task, ever larger ones until the interval is as narrow as wanted.

    Args:
        agents: how many are compared.
        width: wanted width of the 95 % interval of mu.
        sizes: numbers of comparisons to simulate, all of them; None chooses.
        spread: standard deviation of true skills.
        draws: share of draws between equal agents.
        seed: of the random numbers.

    Raises:
        ConfigError: a number out of its bounds.
    """
    if not 2 <= agents <= MAX_AGENTS:
        raise ConfigError(f"plan: agents: {agents} is not from 2 to {MAX_AGENTS}")
    if not (math.isfinite(width) and width > 0):
        raise ConfigError(f"plan: width: {width} is not a positive number")
    if not 0 <= spread <= 100:
        raise ConfigError(f"plan: spread: {spread} is not from 0 to 100")
    if not 0 <= draws <= 0.9:
        raise ConfigError(f"plan: draws: {draws} is not from 0 to 0.9")
    for size in sizes or ():
        if not 1 <= size <= MAX_COMPARISONS:
            raise ConfigError(f"plan: judgments: {size} is not from 1 to {MAX_COMPARISONS}")
    rows: list[Planned] = []
    for size in sorted(set(sizes)) if sizes else _sizes(agents):
        rows.append(_simulate(agents, size, spread, draws, seed))
        if not sizes and rows[-1].width + rows[-1].error < width:
            break
    return Plan(agents, width, spread, draws, seed, tuple(rows), _needed(rows, width))


_FLOOR = (
    " From some size on more comparisons narrow nothing: TrueSkill\nlets skills drift (tau), "
    "so old answers fade. Ask for a wider interval, or read Bradley-Terry's errors."
)


def _levelled_off(rows: Sequence[Planned]) -> bool:
    """Whether twice as many comparisons, or more, did not make the interval narrower for certain."""
    if len(rows) < 2:
        return False
    fewer, most = rows[-2:]
    return most.width + most.error > fewer.width - fewer.error


def text_plan(made: Plan) -> str:
    """The plan for a terminal, with its assumptions."""
    lines = [
        f"One task, {made.agents} agents, 95 % interval of mu {made.wanted:g} wide",
        f"{'comparisons':>12} {'expected width':>20}",
        *(f"{one.comparisons:>12} {one.width:>11.2f} +- {one.error:.2f}" for one in made.rows),
    ]
    if made.needed is None:
        lines.append(
            "No size simulated here is enough." + (_FLOOR if _levelled_off(made.rows) else "")
        )
    else:
        lines.append(f"About {made.needed} comparisons are needed.")
    lines.append(
        f"Assumed: true skills spread by {made.spread:.2f} (standard deviation, in units of mu), "
        f"{made.draws:.0%} draws\nbetween equals, random pairs, independent answers; "
        f"{STUDIES} simulated studies of each size, seed {made.seed}."
    )
    return "\n".join(lines)


def _sizes(agents: int) -> list[int]:
    sizes = []
    size = max(_FIRST, _FIRST * agents // 2)
    while size <= MAX_COMPARISONS:
        sizes.append(size)
        size *= 2
    return sizes


def _simulate(agents: int, size: int, spread: float, draws: float, seed: int) -> Planned:
    rng = np.random.default_rng([seed, agents, size])
    margin = float(trueskill.calc_draw_margin(draws, 2, ENVIRONMENT)) if draws else 0.0
    firsts, seconds, drawn = [], [], []
    for _ in range(STUDIES):
        skills = rng.normal(ENVIRONMENT.mu, spread, agents)
        one = rng.integers(agents, size=size)
        other = (one + rng.integers(1, agents, size=size)) % agents
        lead = skills[one] - skills[other] + rng.normal(0, math.sqrt(2) * ENVIRONMENT.beta, size)
        counts = rng.multinomial(size, np.full(size, 1 / size), size=REPLICATES)
        order = sequences(counts)
        firsts.append(np.where(lead > 0, one, other)[order])
        seconds.append(np.where(lead > 0, other, one)[order])
        drawn.append((np.abs(lead) < margin)[order])
    mu, _ = replay(np.concatenate(firsts), np.concatenate(seconds), np.concatenate(drawn), agents)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(mu.reshape(STUDIES, REPLICATES, agents), [tail, 1 - tail], axis=1)
    widths = (high - low).mean(axis=1)
    error = NormalDist().inv_cdf(1 - tail) * widths.std(ddof=1) / math.sqrt(STUDIES)
    return Planned(size, float(widths.mean()), float(error))


def _needed(rows: Sequence[Planned], width: float) -> int | None:
    # Very few comparisons cannot move a rating at all, so narrow intervals there mean nothing: the
    # last size that is too small counts.
    too_small = [place for place, row in enumerate(rows) if row.width > width]
    if not too_small:
        return rows[0].comparisons
    if too_small[-1] == len(rows) - 1:
        return None
    before, after = rows[too_small[-1]], rows[too_small[-1] + 1]
    share = math.log(before.width / width) / math.log(before.width / after.width)
    return round(before.comparisons * (after.comparisons / before.comparisons) ** share)
