"""Number of comparisons that a study needs, from simulated studies rated and bootstrapped like real ones.

True skills of agents are drawn from a normal distribution; pairs are drawn at random; each answer follows
TrueSkill's own model of performances, with a margin that gives the stated share of draws between equals.
Answers are independent: raters whose own answers are correlated widen the interval beyond what is said
here. Matchmaking by information gain (`leaderboard.judging.matchmaking`) is not simulated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from basalt.core.comparisons import Comparison, Winner
from basalt.core.intervals import Z_95
from basalt.io.errors import ConfigError
from leaderboard.ratings.bootstrap import TAILS
from leaderboard.ratings.columns import plain
from leaderboard.ratings.models import RatingModel
from leaderboard.ratings.trueskill import BETA, DRAW_PROBABILITY, MU, SIGMA, TRUESKILL, draw_margin

STUDIES = 6
"""Number of simulated studies of each size."""

REPLICATES = 80
"""Number of bootstrap replicates of each simulated study."""

SPREAD = SIGMA / 2
"""Default standard deviation of the true skills: half of TrueSkill's prior."""

MAX_AGENTS = 200
MAX_COMPARISONS = 10_000
"""Largest simulated study of one task; a larger one would take minutes."""

_FIRST = 8
"""Comparisons per agent in the smallest simulated study; each further one has twice as many."""

_SIMULATED = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Planned:
    """Expected precision of a study of one size.

    Attributes:
        comparisons: Number of wins, losses and draws in one task.
        width: Mean width of the agents' 95% intervals.
        error: Half width of the 95% interval of `width`, from the differences between simulated studies.
    """

    comparisons: int
    width: float
    error: float


@dataclass(frozen=True)
class Plan:
    """Number of comparisons that one task needs.

    Attributes:
        agents: Number of agents compared.
        wanted: Wanted width of the 95% interval.
        spread: Assumed standard deviation of the true skills.
        draws: Assumed share of draws between equal agents.
        seed: Seed of the simulation.
        rows: Simulated sizes, the smallest first.
        needed: Number of comparisons for the wanted width, interpolated between two rows on logarithmic
            scales; None where no simulated size reaches it.
        model: Name of the rating model.
    """

    agents: int
    wanted: float
    spread: float
    draws: float
    seed: int
    rows: tuple[Planned, ...]
    needed: int | None
    model: str


def plan(
    agents: int,
    width: float,
    *,
    sizes: Sequence[int] | None = None,
    spread: float = SPREAD,
    draws: float = DRAW_PROBABILITY,
    seed: int = 0,
    model: RatingModel = TRUESKILL,
) -> Plan:
    """Simulate studies of one task, each twice as large, until the interval is as narrow as wanted.

    Args:
        agents: Number of agents compared.
        width: Wanted width of the 95% interval of the model's ratings.
        sizes: Numbers of comparisons to simulate; None tries ever larger ones.
        spread: Standard deviation of true skills, on TrueSkill's scale.
        draws: Share of draws between equal agents.
        seed: Seed of the random numbers.
        model: Model that rates the simulated studies.

    Raises:
        ConfigError: a number is out of range.
    """
    if not (math.isfinite(width) and width > 0):
        raise ConfigError(f"plan: width: expected a positive finite number, got {width}")
    for name, value, least, most in (
        ("agents", agents, 2, MAX_AGENTS),
        ("spread", spread, 0, 100),
        ("draws", draws, 0, 0.9),
        *(("judgments", size, 1, MAX_COMPARISONS) for size in sizes or ()),
    ):
        if not least <= value <= most:
            raise ConfigError(f"plan: {name}: expected {least} to {most}, got {value}")
    rows: list[Planned] = []
    for size in sorted(set(sizes)) if sizes else _sizes(agents):
        rows.append(_simulate(agents, size, spread, draws, seed, model))
        if not sizes and rows[-1].width + rows[-1].error < width:
            break
    needed = _needed(rows, width)
    return Plan(agents, width, spread, draws, seed, tuple(rows), needed, model.name)


_FLOOR = (
    " Beyond some size more comparisons no longer\nnarrow the interval: TrueSkill lets skills drift "
    "(tau), so old answers fade. Ask for a wider interval,\nor plan with --model bt."
)


def _levelled_off(rows: Sequence[Planned]) -> bool:
    """Whether the last, larger size did not give a clearly narrower interval than the one before."""
    if len(rows) < 2:
        return False
    fewer, most = rows[-2:]
    return most.width + most.error > fewer.width - fewer.error


def text_plan(made: Plan, model: RatingModel = TRUESKILL) -> str:
    """The plan for a terminal, with its assumptions.

    Args:
        made: Plan to show.
        model: Model that it was made with.
    """
    lines = [
        f"One task, {made.agents} agents, {plain(model.title)}: "
        f"{'95% interval' if model.claims_order else 'resampling range (95%)'} of "
        f"{plain(model.value_name)} {made.wanted:g} wide",
        f"{'comparisons':>12} {'expected width':>20}",
        *(f"{one.comparisons:>12} {one.width:>11.2f} +- {one.error:.2f}" for one in made.rows),
    ]
    if made.needed is None:
        lines.append(
            "None of the simulated sizes is enough." + (_FLOOR if _levelled_off(made.rows) else "")
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


def _simulate(
    agents: int, size: int, spread: float, draws: float, seed: int, model: RatingModel
) -> Planned:
    rng = np.random.default_rng([seed, agents, size])
    margin = draw_margin(draws) if draws else 0.0
    comparisons: list[Comparison] = []
    # All studies are resampled in one call, which is faster; each replicate holds one study's comparisons.
    counts = np.zeros((STUDIES * REPLICATES, STUDIES * size), dtype=np.int16)
    for study in range(STUDIES):
        skills = rng.normal(MU, spread, agents)
        one = rng.integers(agents, size=size)
        other = (one + rng.integers(1, agents, size=size)) % agents
        lead = skills[one] - skills[other] + rng.normal(0, math.sqrt(2) * BETA, size)
        winners = np.where(np.abs(lead) < margin, "draw", np.where(lead > 0, "left", "right"))
        comparisons += map(_answer, one.tolist(), other.tolist(), winners.tolist())
        counts[study * REPLICATES : (study + 1) * REPLICATES, study * size : (study + 1) * size] = (
            rng.multinomial(size, np.full(size, 1 / size), size=REPLICATES)
        )
    ratings = model.resample(comparisons, [str(agent) for agent in range(agents)], counts)
    low, high = np.quantile(ratings.value.reshape(STUDIES, REPLICATES, agents), TAILS, axis=1)
    widths = (high - low).mean(axis=1)
    error = Z_95 * widths.std(ddof=1) / math.sqrt(STUDIES)
    return Planned(size, float(widths.mean()), float(error))


def _answer(left: int, right: int, winner: Winner) -> Comparison:
    """A simulated comparison; models read the agents and the winner."""
    return Comparison(
        comparison_id="", study="", task="", world="", world_version="", seed=0,
        left_agent=str(left), right_agent=str(right), left_episode="", right_episode="",
        winner=winner, source="human", created=_SIMULATED,
    )  # fmt: skip


def _needed(rows: Sequence[Planned], width: float) -> int | None:
    # With very few comparisons ratings barely move, so narrow intervals there mean nothing: what counts
    # is the largest size that is too small.
    too_small = [place for place, row in enumerate(rows) if row.width > width]
    if not too_small:
        return rows[0].comparisons
    if too_small[-1] == len(rows) - 1:
        return None
    before, after = rows[too_small[-1]], rows[too_small[-1] + 1]
    share = math.log(before.width / width) / math.log(before.width / after.width)
    return round(before.comparisons * (after.comparisons / before.comparisons) ** share)
