"""Control for looks: do longer, brighter or left-hand videos win because of what they show?

Bradley-Terry with ties gets an effect for each look of a pair (`leaderboard.ratings.bradley_terry`): the
difference of two agents is then that of two videos that look alike. This is regression: it takes out what
answers share with a look, not what a look causes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from basalt.io.errors import StudyError
from leaderboard.ratings.bootstrap import rater_clusters
from leaderboard.ratings.bradley_terry import centring, fit_outcomes, outcomes_of
from leaderboard.ratings.groups import connected_groups
from leaderboard.ratings.models import Floats
from leaderboard.ratings.ranking import Table

UNITS = {
    "length": "twice as long",
    "brightness": "brighter by 10% of the range",
    "side": "on the left",
}
"""Looks that can be controlled for, and what one unit of each is: the left video relative to the right one."""

Looks = Mapping[str, Sequence[float]]
"""Values of the looks in `UNITS` by id of the comparison, in one order of names."""


@dataclass(frozen=True)
class Effect:
    """Effect of one look on the answers.

    Attributes:
        look: Name of the look, in `UNITS`.
        value: Log-odds by which a unit of the look helps a video, all else equal.
        low: Lower bound of its 95% interval.
        high: Upper bound.
    """

    look: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Control:
    """Strengths of a table's agents with looks taken out.

    Attributes:
        effects: Effects of the looks.
        comparisons: Number of comparisons with all looks known; the others are left out.
        strengths: Strength by agent, about the mean of its group, with the bounds of its 95% interval.
        places: Place by agent within its group in the order of these strengths.
    """

    effects: tuple[Effect, ...]
    comparisons: int
    strengths: Mapping[str, tuple[float, float, float]]
    places: Mapping[str, int]


def control_for(table: Table, names: Sequence[str], looks: Looks) -> Control:
    """Fit Bradley-Terry to a table's comparisons with effects of looks.

    Args:
        table: Table by any model.
        names: Names of the looks, in `UNITS`.
        looks: Values of the looks in the order of `names`; comparisons that are not in it are left out.

    Raises:
        StudyError: no comparison has known looks, they connect fewer agents than all comparisons do, or the
            data cannot separate a look from the agents.
    """
    known = [one for one in table.comparisons if one.decisive and one.comparison_id in looks]
    if not known:
        raise StudyError(
            f"control for {', '.join(names)}: no comparison of task {table.task!r} has known values of all of these; "
            "leave one out (brightness needs the videos)"
        )
    agents = table.agents
    centred = centring(known, agents)
    if len(connected_groups(agents, (one.winner_loser for one in known))) != len(table.groups):
        raise StudyError(
            f"control for {', '.join(names)}: only {len(known)} comparisons of task {table.task!r} have known "
            "values, and they do not connect all agents that were compared"
        )
    values = np.array([looks[one.comparison_id] for one in known], dtype=np.float64)
    _require_separable(known, agents, names, values)
    outcomes = outcomes_of(known, agents, values)
    fitted = fit_outcomes(outcomes, len(agents))
    covariances = fitted.covariances(outcomes, rater_clusters(known))
    errors = np.sqrt(np.max([np.diag(one) for one in covariances], axis=0))
    strengths = centred @ fitted.strengths
    spreads = np.sqrt(
        np.max(
            [
                np.diag(centred @ one[: len(agents), : len(agents)] @ centred.T)
                for one in covariances
            ],
            axis=0,
        )
    )
    found = {
        agent: (float(value), float(value - Z_95 * error), float(value + Z_95 * error))
        for agent, value, error in zip(agents, strengths, spreads, strict=True)
    }
    places = {
        row.agent: place
        for rows in table.groups
        for place, row in enumerate(sorted(rows, key=lambda row: -found[row.agent][0]), start=1)
    }
    effects = tuple(
        Effect(name, float(value), float(value - Z_95 * error), float(value + Z_95 * error))
        for name, value, error in zip(names, fitted.effects, errors[len(agents) + 1 :], strict=True)
    )
    return Control(effects, len(known), found, places)


def _require_separable(
    comparisons: Sequence[Comparison], agents: Sequence[str], names: Sequence[str], values: Floats
) -> None:
    """Refuse looks that are a function of the agents or of other looks.

    Raises:
        StudyError: at least 99% of a look's variation is one of these.
    """
    rows = outcomes_of(comparisons, agents)
    design = np.zeros((len(comparisons), len(agents)))
    design[np.arange(len(comparisons)), rows.first] = 1.0
    design[np.arange(len(comparisons)), rows.second] -= 1.0
    for place, name in enumerate(names):
        look = values[:, place]
        others = np.hstack([design, np.delete(values, place, axis=1)])
        left = look - others @ np.linalg.lstsq(others, look, rcond=None)[0]
        if left @ left <= 0.01 * (look @ look):
            raise StudyError(
                f"control for {name}: it cannot be separated from who played, or from another look, in task "
                f"{comparisons[0].task!r}; leave it out"
            )
