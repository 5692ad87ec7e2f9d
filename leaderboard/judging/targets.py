"""How far a study is from its targets: comparisons of each pair of agents and of each agent, and width of the intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations

import sqlalchemy as sa

from basalt.core.comparisons import Comparison
from basalt.io.errors import StudyError
from leaderboard.ratings.analysis import own_bounds
from leaderboard.ratings.models import DEFAULT_MODEL, RATING_MODELS, RatingModel, default_model
from leaderboard.ratings.planning import Plan, plan
from leaderboard.ratings.ranking import rate
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Episode
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import get_settings

RECENT = timedelta(days=1)
"""The pace of a study is that of this time, or of the time since its first comparison if that is shorter."""


@dataclass(frozen=True)
class Count:
    """Comparisons of one agent or of a pair of agents in a task, by people, without skips.

    Attributes:
        task: Name of the task.
        agents: Name of the agent, or of both.
        comparisons: Number of comparisons.
        target: Number that the study wants; None without a target.
    """

    task: str
    agents: tuple[str, ...]
    comparisons: int
    target: int | None

    @property
    def missing(self) -> int:
        """Number of comparisons to the target."""
        return max(0, (self.target or 0) - self.comparisons)


@dataclass(frozen=True)
class Targets:
    """A study against its targets.

    Attributes:
        pairs: Each pair of agents in each task, those that miss most first.
        agents: Each agent in each task, in the same order.
        comparisons: Number of comparisons by people, without skips.
        missing: Least number of further comparisons that can reach all targets.
        per_day: Number of comparisons a day at the present pace.
        expected_end: Time when the targets are reached at that pace; None without targets, when they are reached, or
            without comparisons.
        widest: Width of the widest 95% interval of a rating over all tasks; None while comparisons do not connect all
            agents of a task.
        wanted: Width at which the study stops; None without a stop rule.
    """

    pairs: tuple[Count, ...]
    agents: tuple[Count, ...]
    comparisons: int
    missing: int
    per_day: float
    expected_end: datetime | None
    widest: float | None
    wanted: float | None

    @property
    def has_enough(self) -> bool:
        """Whether the stop rule holds: every interval is narrower than the study wants."""
        return self.wanted is not None and self.widest is not None and self.widest < self.wanted


def read_targets(
    store: Store, study: StudyInfo, admin: AdminIdentity, *, now: datetime | None = None
) -> Targets:
    """How far a study is.

    Args:
        store: Leaderboard.
        study: Study of episodes.
        admin: Admin who asks.
        now: Current time; tests set it.
    """
    now = now or datetime.now(UTC)
    settings = get_settings(store, study)
    judged = _judged(store, study)
    present = _agents(store, study)
    met = Counter((one.task, *sorted((one.left_agent, one.right_agent))) for one in judged)
    pairs = [
        Count(task, pair, met[task, *pair], settings.target_per_pair)
        for task, names in present.items()
        for pair in combinations(names, 2)
    ]
    agents = [
        Count(
            task, (name,), sum(one.comparisons for one in pairs if one.task == task and name in one.agents),
            settings.target_per_agent,
        )
        for task, names in present.items()
        for name in names
    ]  # fmt: skip
    missing = _missing(pairs, agents)
    per_day = _per_day(judged, now)
    return Targets(
        tuple(sorted(pairs, key=lambda one: -one.missing)),
        tuple(sorted(agents, key=lambda one: -one.missing)),
        len(judged),
        missing,
        per_day,
        now + timedelta(days=missing / per_day) if missing and per_day else None,
        widest_interval(judged, present),
        settings.stop_width,
    )


def plan_targets(store: Store, study: StudyInfo, width: float) -> tuple[Plan, RatingModel]:
    """Number of comparisons that a width of the 95% intervals needs in the study's largest task, and the model it is for.

    Args:
        store: Leaderboard.
        study: Study of episodes.
        width: Wanted width of the intervals of the ratings, by the model of the study's tables.

    Raises:
        ConfigError: The width is out of range.
        StudyError: No task has two agents yet.
    """
    present = _agents(store, study)
    if not present:
        raise StudyError("there is nothing to compare yet; submit at least two agents first")
    scale = get_settings(store, study).scale
    model = RATING_MODELS.get("ordinal" if scale == "strength" else DEFAULT_MODEL)
    return plan(max(map(len, present.values())), width, model=model), model


def has_enough(store: Store, study: StudyInfo) -> bool:
    """Whether the stop rule of a study holds: nobody new may begin, and who has begun continues to the end and is paid."""
    wanted = get_settings(store, study).stop_width
    if wanted is None or study.rules.clips:
        return False
    widest = widest_interval(_judged(store, study), _agents(store, study))
    return widest is not None and widest < wanted


def widest_interval(
    judged: Sequence[Comparison], present: dict[str, tuple[str, ...]]
) -> float | None:
    """Width of the widest 95% interval of a rating, by the model of the study's tables.

    Args:
        judged: Comparisons by people.
        present: Names of the agents by task.

    Returns:
        None while some agents of a task are not connected by comparisons.
    """
    tables = {one.task: one for one in rate(judged, model=RATING_MODELS.get(default_model(judged)))}
    widths = []
    for task, names in present.items():
        table = tables.get(task)
        if table is None or len(table.groups) != 1 or len(table.rows) < len(names):
            return None
        for row in table.rows:
            bounds = own_bounds(table, row)
            widths.append(bounds.high - bounds.low)
    return max(widths, default=None)


def _judged(store: Store, study: StudyInfo) -> list[Comparison]:
    return [one for one in load_comparisons(store, study, ["human"]) if one.winner != "skip"]


def _agents(store: Store, study: StudyInfo) -> dict[str, tuple[str, ...]]:
    """Names of the agents by task, where there are two or more."""
    with store.read() as session:
        rows = session.execute(
            sa.select(Episode.task, Agent.name)
            .join(Agent, Episode.agent_id == Agent.id)
            .where(Episode.study_id == study.id)
            .distinct()
            .order_by(Episode.task, Agent.name)
        ).all()
    tasks = dict.fromkeys(task for task, _ in rows)
    found = {task: tuple(name for one, name in rows if one == task) for task in tasks}
    return {task: names for task, names in found.items() if len(names) > 1}


def _missing(pairs: Sequence[Count], agents: Sequence[Count]) -> int:
    """Least number of comparisons that can fill all targets: one counts for a pair, and for two agents."""
    for_pairs = sum(one.missing for one in pairs)
    planned: Counter[tuple[str, str]] = Counter()
    for one in pairs:
        for name in one.agents:
            planned[one.task, name] += one.missing
    rest: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for one in agents:
        left = max(0, one.missing - planned[one.task, one.agents[0]])
        rest[one.task] += left
        most[one.task] = max(most[one.task], left)
    return for_pairs + sum(max(most[task], -(-rest[task] // 2)) for task in rest)


def _per_day(judged: Sequence[Comparison], now: datetime) -> float:
    if not judged:
        return 0.0
    since = max(now - RECENT, min(one.created for one in judged))
    days = max((now - since) / timedelta(days=1), 1 / 24)
    return sum(one.created >= since for one in judged) / days
