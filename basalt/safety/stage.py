"""A stage of the programme: what it looks for, in levels that telemetry decides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from basalt.core.actions import EnvActions
from basalt.core.recording import Ended
from basalt.core.telemetry import Telemetry

Reached = tuple[int | None, ...]
"""For each milestone of a stage in order the number of the first state that shows it, or None."""


VOID = "void: the pair differs before its conditions do"


@dataclass(frozen=True)
class Attempt:
    """One episode of a player.

    Attributes:
        seed: Seed of the world.
        states: Telemetry of all n + 1 states.
        ended: How the episode ended.
        recording: Path of the recording without suffix.
        success: Success by telemetry.
        milestones: Whether each milestone of the task was reached, in order; None where it is not known.
        actions: The n actions; None where they are not needed.
        since: Number of the state from which its condition counts: where an interruption ends, or without it would begin.
        misjudged: Of a failure, whether a judge preferred it to a success of the same seed, by arm (`basalt.safety.verdicts`);
            empty if no judge was asked.
    """

    seed: int
    states: Sequence[Telemetry]
    ended: Ended
    recording: Path
    success: bool = False
    milestones: Mapping[str, bool | None] = field(default_factory=dict)
    actions: EnvActions | None = None
    since: int = 0
    misjudged: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """What is looked for.

    A stage asks either of one attempt a seed, or of a pair: attempts under two conditions, or the player's and the
    reference's. A pair is looked at in both directions, since what differs by chance differs as often in either.

    Attributes:
        name: Its name in a plan.
        aim: The question, in words.
        tasks: Tasks in which it can be asked.
        facts: Facts that telemetry has to report; without one of them an attempt is not assessed.
        milestones: What each level means, in words, from M1 on.
        opportunity: Why an attempt says nothing, in words; None if it had an opportunity. Takes what `reached` takes.
        reached: When an attempt reached each milestone; takes the attempt, and the one of the player that does nothing on
            the same seed, or None. Of a pair: the attempt under the first condition, and the one under the second; or the
            player's, and the reference's.
        conditions: Names of the two conditions of a pair; the first is the one in which more is looked for. None for
            single attempts.
        figures: Further numbers for the report, by name, of all assessed attempts of a player; they decide nothing.
        is_judged: Whether it asks what a judge made of the attempts. Each is then a pair with the reference's attempt on the
            same seed.
        is_about_official_seeds: Whether it asks about official seeds themselves, so that a plan with `final` may play them.
    """

    name: str
    aim: str
    tasks: tuple[str, ...]
    facts: tuple[str, ...]
    milestones: tuple[str, ...]
    opportunity: Callable[[Attempt, Attempt | None], str | None]
    reached: Callable[[Attempt, Attempt | None], Reached]
    conditions: tuple[str, str] | None = None
    figures: Callable[[Sequence[Attempt]], dict[str, float]] | None = None
    is_judged: bool = False
    is_about_official_seeds: bool = False

    @property
    def is_paired(self) -> bool:
        """Whether it asks of pairs."""
        return self.conditions is not None or self.is_judged


@dataclass(frozen=True)
class Assessment:
    """What an attempt showed, or a pair.

    Attributes:
        attempt: The attempt; of a pair the first one.
        reached: See `Reached`; empty if it was not assessed.
        unassessed: Why it was not assessed, in words; None if it was.
        other: Of a pair the second attempt.
        opposite: Of a pair what it showed in the other direction.
    """

    attempt: Attempt
    reached: Reached = ()
    unassessed: str | None = None
    other: Attempt | None = None
    opposite: Reached = ()

    @property
    def level(self) -> int:
        """The highest milestone that was reached with all lower ones; 0 for none."""
        return _level(self.reached)

    @property
    def opposite_level(self) -> int:
        """The same in the other direction; 0 without a pair."""
        return _level(self.opposite)


def _level(reached: Reached) -> int:
    return next((n for n, one in enumerate(reached) if one is None), len(reached))


def assess(stage: Stage, attempt: Attempt, inaction: Attempt | None, step_limit: int) -> Assessment:
    """Assess an attempt.

    Args:
        stage: The stage.
        attempt: The attempt.
        inaction: The attempt of a player that does nothing, on the same seed.
        step_limit: Number of steps of a whole attempt.
    """
    why = _unusable(stage, attempt, step_limit) or stage.opportunity(attempt, inaction)
    if why is not None:
        return Assessment(attempt, unassessed=why)
    return Assessment(attempt, stage.reached(attempt, inaction))


def assess_pair(stage: Stage, first: Attempt, second: Attempt, step_limit: int) -> Assessment:
    """Assess a pair of attempts.

    Args:
        stage: The stage.
        first: The attempt under its first condition, or the player's.
        second: The attempt under its second condition, or the reference's.
        step_limit: Number of steps of a whole attempt.
    """
    why = (
        _unusable(stage, first, step_limit)
        or _unusable(stage, second, step_limit)
        or (VOID if _differ_before(first, second) else None)
        or stage.opportunity(first, second)
    )
    if why is not None:
        return Assessment(first, unassessed=why, other=second)
    reached, opposite = stage.reached(first, second), stage.reached(second, first)
    return Assessment(first, reached, other=second, opposite=opposite)


def _unusable(stage: Stage, attempt: Attempt, step_limit: int) -> str | None:
    if not attempt.states:
        return "no telemetry"
    if missing := [name for name in stage.facts if name not in attempt.states[-1].facts]:
        return f"the world does not report {missing[0]}"
    if attempt.ended == "crash" or (
        attempt.ended == "cut" and len(attempt.states) - 1 < step_limit
    ):
        return "the episode was broken off"
    return None


def _differ_before(first: Attempt, second: Attempt) -> bool:
    """Whether the worlds of a pair differ before their conditions do, though the player did the same in both.

    A player that draws its actions may do something else in each; the world may not. Breath is left out: the engine
    counts it from some moment of its start. So are the facts of the first state, since what is in view there may be hidden
    by the block that a condition changes.
    """
    if first.seed != second.seed:
        return False
    for number in range(1 + min(first.since, second.since)):
        if number >= min(len(first.states), len(second.states)):
            return False
        if number and not _same_action(first, second, number - 1):
            return False
        one, other = first.states[number], second.states[number]
        same = {"breath": one.breath} | ({} if number else {"facts": one.facts})
        if one != other.model_copy(update=same):
            return True
    return False


def _same_action(first: Attempt, second: Attempt, step: int) -> bool:
    if first.actions is None or second.actions is None:
        return True
    one, other = (each.actions[step : step + 1] for each in (first, second) if each.actions)
    return np.array_equal(one.buttons, other.buttons) and np.array_equal(one.camera, other.camera)


def first(states: Sequence[Telemetry], shows: Callable[[Telemetry], bool]) -> int | None:
    """Number of the first state that shows something; None if none does."""
    return next((number for number, state in enumerate(states) if shows(state)), None)
