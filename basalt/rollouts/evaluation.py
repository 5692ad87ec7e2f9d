"""What an evaluation found: one agent on many seeds, and how two agents compare.

The rule for "beats" is fixed here, before any run, so that nobody chooses it afterwards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from basalt.core.intervals import rate_interval
from basalt.core.recording import Ended, PlayerKind
from basalt.core.records import Record
from basalt.core.scoring import ENDED_THERE
from basalt.core.significance import (
    Difference,
    interquartile_mean,
    paired_difference,
    probability_of_improvement,
    sign_test,
)
from basalt.core.tasks import get_task, split_of
from basalt.io.errors import ConfigError
from basalt.rollouts.milestones import milestone_lines

FILE = "evaluation.json"

MIN_SEEDS = 100
"""Smallest number of paired seeds on which one agent can beat another."""

MIN_TRAINING_SEEDS = 3
"""Smallest number of training runs with different seeds that an agent that learns needs to beat another."""

MAX_MISSING = 0.05
"""Largest share of seeds that may be missing because a world failed; above it there is no verdict."""

Play = Literal["played", "world failed", "bad action", "agent lost"]


class EvaluatedEpisode(BaseModel):
    """One seed of an evaluation.

    Attributes:
        seed: Seed of the world.
        play: Whether it was played. `world failed`: not, and the agent is not to blame. `bad action`: the agent
            returned something that is not an action. `agent lost`: the agent, in another process, was lost twice. Both
            count as failures of the agent, so that none gains by leaving.
        ended: How the episode ended; None if it was not played to an end.
        steps: Number of steps.
        success: Success by telemetry.
        harm: What the player harmed, a count by name; `deaths` is among them.
        milestones: Whether each milestone was reached, in order; None where it is not known. Empty in records of
            version 1 and of an episode that was not played.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0)]
    play: Play
    ended: Ended | None
    steps: Annotated[int, Field(ge=0)]
    success: bool
    harm: dict[str, Annotated[float, Field(ge=0)]]
    milestones: dict[str, bool | None] = {}

    @model_validator(mode="after")
    def _only_a_played_episode_has_a_result(self) -> Self:
        if self.play != "played" and any(
            (self.success, self.steps, self.harm, self.ended, self.milestones)
        ):
            raise ValueError(
                f"seed {self.seed}: expected no result of an episode that was not played"
            )
        if self.play == "played" and self.ended is None:
            raise ValueError(f"seed {self.seed}: expected how the episode ended")
        return self


class Evaluation(Record):
    """One agent on many seeds: `evaluation.json`.

    Attributes:
        agent: Settings of the agent.
        agent_hash: Hash of its settings and weights.
        kind: Kind of player.
        learns: Whether the agent learns.
        training_seed: Seed of its training; None if it does not learn, or if it is unknown.
        task: Task.
        world: World.
        world_version: Version of the task's world.
        world_args: Arguments of the environment that affect the episode, such as the size of the frames.
        edit: Change made in every seed's world; None for none.
        step_limit: Number of steps after which an episode is cut.
        finished: When the last of its episodes was recorded; None in records of version 1.
        episodes: The episodes in order of their seeds.
    """

    FORMAT: ClassVar[str] = "basalt-evaluation"
    VERSION: ClassVar[int] = 2

    agent: dict[str, Any]
    agent_hash: str
    kind: PlayerKind
    learns: bool
    training_seed: int | None
    task: str
    world: str
    world_version: str
    world_args: dict[str, Any]
    edit: dict[str, Any] | None
    step_limit: int
    finished: datetime | None = None
    episodes: tuple[EvaluatedEpisode, ...]

    @model_validator(mode="after")
    def _each_seed_once(self) -> Self:
        seeds = Counter(one.seed for one in self.episodes)
        if twice := [seed for seed, n in seeds.items() if n > 1]:
            raise ValueError(f"seed {twice[0]}: expected one episode, got {seeds[twice[0]]}")
        return self

    def keep(self, folder: Path) -> None:
        """Write the evaluation into a folder, where it may replace one of the same agent and conditions.

        Raises:
            ConfigError: The folder holds another evaluation.
            WriteError: The file cannot be written.
        """
        if (folder / FILE).is_file():
            _refuse_unlike(Evaluation.read(folder / FILE), self, _SAME_ARM, f"kept in {folder}")
        self.write(folder / FILE)

    @property
    def name(self) -> str:
        """Name of the agent."""
        return str(self.agent.get("name", "agent"))

    @property
    def played(self) -> dict[int, EvaluatedEpisode]:
        """Episodes that count, by seed: all but those whose world failed."""
        return {one.seed: one for one in self.episodes if one.play != "world failed"}

    @property
    def missing(self) -> int:
        """Number of seeds whose world failed."""
        return len(self.episodes) - len(self.played)

    @property
    def success_rate(self) -> float:
        """Share of successes among the episodes that count; 0 without any."""
        return float(np.mean([float(one.success) for one in self.played.values()] or [0.0]))

    @property
    def milestones(self) -> dict[int, dict[str, bool | None]]:
        """Milestones of the episodes that count, by seed; an agent that was lost or whose action was not valid reached none."""
        names = [*(one.name for one in get_task(self.task).milestones), ENDED_THERE]
        return {
            seed: {
                name: one.milestones.get(name) if one.play == "played" else False for name in names
            }
            for seed, one in self.played.items()
        }

    def lines(self) -> list[str]:
        """The evaluation in words, for people."""
        played = list(self.played.values())
        if not played:
            return [f"{self.name}: no episode could be played"]
        successes = sum(one.success for one in played)
        low, high = rate_interval(successes, len(played))
        ends = Counter(one.ended or one.play for one in played)
        steps = sorted(one.steps for one in played)
        lines = [
            f"{self.name}: success {successes} of {len(played)} = {successes / len(played):.0%} "
            f"(95% interval {low:.0%} to {high:.0%})",
            f"  ended: {', '.join(f'{end} {n}' for end, n in ends.most_common())}; "
            f"steps: median {steps[len(steps) // 2]}, longest {steps[-1]} of {self.step_limit}",
        ]
        lines += [f"  {line}" for line in milestone_lines([*self.milestones.values()])]
        if harm := {key: _harm(played, key) for key in sorted(_harm_names([self]))}:
            totals = ", ".join(f"{key} {sum(values):g}" for key, values in harm.items())
            lines.append(f"  harm in all: {totals}")
        if self.missing:
            lines.append(
                f"  missing: {self.missing} seeds whose world failed (see the folder unplayed)"
            )
        return lines


_SAME_ARM = (
    "agent_hash", "task", "world", "world_version", "world_args", "edit", "step_limit", "kind", "training_seed",
)  # fmt: skip
_SAME_TEST = ("task", "world", "world_version", "world_args", "edit", "step_limit")


def merge(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of all seeds of several, of the same agent under the same conditions.

    Raises:
        ConfigError: They differ in more than their seeds, or a seed is in two of them.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        _refuse_unlike(first, other, _SAME_ARM, "merged")
    episodes = sorted((one for each in evaluations for one in each.episodes), key=lambda e: e.seed)
    twice = [seed for seed, n in Counter(one.seed for one in episodes).items() if n > 1]
    if twice:
        raise ConfigError(
            f"merge: expected each seed in one evaluation, but {twice[0]} is in several; leave one out"
        )
    times = [one.finished for one in evaluations if one.finished is not None]
    return first.model_copy(
        update={"episodes": tuple(episodes), "finished": max(times, default=None)}
    )


def _refuse_unlike(one: Evaluation, other: Evaluation, names: Sequence[str], action: str) -> None:
    for name in names:
        if getattr(one, name) != getattr(other, name):
            raise ConfigError(
                f"evaluations with {name}={getattr(one, name)!r} and {name}={getattr(other, name)!r} cannot be "
                f"{action}; both need the same {name}"
            )


@dataclass(frozen=True)
class Comparison:
    """How one agent did against another on the same seeds.

    Attributes:
        verdict: By the rule of `compare`.
        reasons: Why the verdict is not `beats`, in words.
        success: Difference of the success rates.
        harm: Difference of each kind of harm, counts an episode.
        steps: Difference of the lengths of the episodes, in steps.
        milestones: Difference of the shares that reached each milestone, on the seeds of which that is known. They
            decide nothing.
        missing: Number of seeds left out because a world failed for one of them.
        improvement: Probability that a training run of the first succeeds more often than one of the second.
        iqm: Interquartile means of both agents' success rates over their training runs.
        decisive: Numbers of seeds on which only the first and only the second succeeded; None where an agent has
            several training runs.
    """

    verdict: Literal["beats", "does not beat", "not shown", "no verdict"]
    reasons: tuple[str, ...]
    success: Difference
    harm: Mapping[str, Difference]
    steps: Difference
    milestones: Mapping[str, Difference]
    missing: int
    improvement: float
    iqm: tuple[float, float]
    decisive: tuple[int, int] | None

    def lines(self, first: str, second: str) -> list[str]:
        """The comparison in words, given the agents' names."""
        low, high = self.success.interval
        said = {
            "beats": f"{first} beats {second}",
            "does not beat": f"{first} does not beat {second}",
            "not shown": f"{first} is not shown to beat {second}",
            "no verdict": f"{first} against {second}: no verdict",
        }
        lines = [
            said[self.verdict],
            f"  difference of success {self.success.mean:+.1%} (95% interval {low:+.1%} to {high:+.1%}) on "
            f"{self.success.seeds} paired seeds",
        ]
        if self.decisive is None:
            lines.append(
                f"  over training runs: interquartile means {self.iqm[0]:.1%} and {self.iqm[1]:.1%}, "
                f"probability of improvement {self.improvement:.2f}"
            )
        else:
            lines.append(
                f"  only {first} succeeded on {self.decisive[0]} seeds, only {second} on {self.decisive[1]} "
                f"(exact sign test p = {sign_test(*self.decisive):.3g})"
            )
        for name, difference in self.harm.items():
            low, high = difference.interval
            lines.append(f"  {name} an episode {difference.mean:+.3g} ({low:+.3g} to {high:+.3g})")
        for name, difference in self.milestones.items():
            low, high = difference.interval
            on = f" on {difference.seeds} seeds" if difference.seeds < self.success.seeds else ""
            lines.append(f"  {name} {difference.mean:+.1%} ({low:+.1%} to {high:+.1%}){on}")
        low, high = self.steps.interval
        lines.append(f"  steps an episode {self.steps.mean:+.0f} ({low:+.0f} to {high:+.0f})")
        return [*lines, *(f"  {reason}" for reason in self.reasons)]


def compare(first: Sequence[Evaluation], second: Sequence[Evaluation]) -> Comparison:
    """Whether one agent beats another.

    It does if, on at least `MIN_SEEDS` paired held-out or official seeds, the 95% bootstrap interval of the difference
    of success is above 0, in the mean of at least `MIN_TRAINING_SEEDS` training runs where an agent learns, and no
    kind of harm got worse (its interval is not above 0). If on that many seeds the interval is not above 0 anywhere, it
    does not. Anything else is not shown. With more than `MAX_MISSING` of the seeds missing there is no verdict.

    Args:
        first: Evaluations of the agent, one per training run.
        second: Evaluations of the agent it is compared with, one per training run.

    Raises:
        ConfigError: The evaluations differ in task, world, version, frame size or step limit, or share no seed; or
            those of one agent differ in more than their weights, or have the same training seed.
    """
    everyone = [*first, *second]
    for other in everyone[1:]:
        _refuse_unlike(everyone[0], other, _SAME_TEST, "compared")
    for arm in (first, second):
        _check_arm(arm)
    asked = set.intersection(*({one.seed for one in each.episodes} for each in everyone))
    seeds = sorted(asked.intersection(*(each.played for each in everyone)))
    if not seeds:
        raise ConfigError("compare: the evaluations have no seed in common; use the same seeds=")

    def values(arm: Sequence[Evaluation], name: str) -> list[list[float]]:
        if name in ("success", "steps"):
            return [[float(getattr(each.played[seed], name)) for seed in seeds] for each in arm]
        return [_harm([each.played[seed] for seed in seeds], name) for each in arm]

    def difference(name: str) -> Difference:
        return paired_difference(values(first, name), values(second, name))

    success = difference("success")
    harm = {name: difference(name) for name in sorted(_harm_names(everyone))}
    unreported = _harm_names(everyone, by_all=False) - harm.keys()
    missing = len(asked) - len(seeds)
    reasons = []
    if len(seeds) < MIN_SEEDS:
        reasons.append(f"paired seeds: expected {MIN_SEEDS} or more, got {len(seeds)}")
    task = get_task(everyone[0].task)
    if used := [seed for seed in seeds if split_of(task, seed) not in ("heldout", "official")]:
        reasons.append(f"seeds: expected held-out ones, got {len(used)} others such as {used[0]}")
    for arm in (first, second):
        known = sum(one.training_seed is not None for one in arm)
        if arm[0].learns and known < MIN_TRAINING_SEEDS:
            reasons.append(
                f"training runs of {arm[0].name}: expected {MIN_TRAINING_SEEDS} or more with known seeds, got {known}"
            )
    if success.interval[0] <= 0:
        reasons.append("interval of the difference: not above 0")
    reasons += [f"harm: {name} is not reported by every episode" for name in sorted(unreported)]
    reasons += [f"harm: {name} got worse" for name, found in harm.items() if found.interval[0] > 0]
    verdict: Literal["beats", "does not beat", "not shown", "no verdict"] = "beats"
    if missing > MAX_MISSING * len(asked):
        verdict = "no verdict"
        reasons = [f"missing seeds: {missing} of {len(asked)}, more than {MAX_MISSING:.0%}"]
    elif success.interval[1] <= 0 and len(seeds) >= MIN_SEEDS:
        verdict = "does not beat"
    elif reasons:
        verdict = "not shown"
    rates = [[float(np.mean(one)) for one in values(arm, "success")] for arm in (first, second)]
    return Comparison(
        verdict=verdict,
        reasons=tuple(reasons),
        success=success,
        harm=harm,
        steps=difference("steps"),
        milestones=_milestones(first, second, seeds),
        missing=missing,
        improvement=probability_of_improvement(*rates),
        iqm=(interquartile_mean(rates[0]), interquartile_mean(rates[1])),
        decisive=_decisive(values(first, "success"), values(second, "success")),
    )


def _milestones(
    first: Sequence[Evaluation], second: Sequence[Evaluation], seeds: Sequence[int]
) -> dict[str, Difference]:
    """Difference of each milestone but success, in order; of those that are known of some seed in all evaluations."""
    arms = [[each.milestones for each in arm] for arm in (first, second)]
    found = {}
    for name in (one.name for one in get_task(first[0].task).milestones):
        known = [
            seed
            for seed in seeds
            if all(one[seed][name] is not None for arm in arms for one in arm)
        ]
        if known:
            values = [
                [[float(bool(one[seed][name])) for seed in known] for one in arm] for arm in arms
            ]
            found[name] = paired_difference(*values)
    return found


def _decisive(first: list[list[float]], second: list[list[float]]) -> tuple[int, int] | None:
    if len(first) > 1 or len(second) > 1:
        return None
    pairs = list(zip(first[0], second[0], strict=True))
    return sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)


def _check_arm(arm: Sequence[Evaluation]) -> None:
    """Refuse evaluations that are not training runs of one agent with different seeds."""
    settings = [_without_weights(one.agent) for one in arm]
    if any(one != settings[0] for one in settings):
        raise ConfigError(
            f"compare: expected training runs of one agent with the same settings, got {settings[0]} and "
            f"{next(one for one in settings if one != settings[0])}"
        )
    seeds = Counter(one.training_seed for one in arm if one.learns)
    if len(arm) > 1 and not arm[0].learns:
        raise ConfigError(
            f"compare: expected one evaluation of {arm[0].name}, which does not learn; merge those of other seeds"
        )
    if seeds and max(seeds.values()) > 1:
        raise ConfigError(
            f"compare: expected training runs of {arm[0].name} with different seeds, got two with seed "
            f"{seeds.most_common(1)[0][0]}; merge evaluations of the same run first"
        )


_WEIGHTS = ("checkpoint", "stop")
"""Settings of agents that name a training run."""


def _without_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which training runs of one agent agree: that it has weights, not which."""
    return {
        name: _without_weights(value)
        if isinstance(value, Mapping)
        else (value is not None if name in _WEIGHTS else value)
        for name, value in settings.items()
    }


def _harm_names(evaluations: Sequence[Evaluation], *, by_all: bool = True) -> set[str]:
    """Kinds of harm that every played episode reports, or that any does."""
    reported = [
        set(one.harm) for each in evaluations for one in each.episodes if one.play == "played"
    ]
    combine = set.intersection if by_all else set.union
    return combine(*reported) if reported else set()


def _harm(episodes: Sequence[EvaluatedEpisode], name: str) -> list[float]:
    return [
        one.harm.get(name, 0.0) for one in episodes
    ]  # an agent without an action harmed nothing
