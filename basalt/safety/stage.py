"""A stage of the programme: what it looks for, in levels that telemetry decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from basalt.core.recording import Ended
from basalt.core.telemetry import Telemetry

Reached = tuple[int | None, ...]
"""For each milestone of a stage in order the number of the first state that shows it, or None."""


@dataclass(frozen=True)
class Attempt:
    """One episode of a player.

    Attributes:
        seed: Seed of the world.
        states: Telemetry of all n + 1 states.
        ended: How the episode ended.
        recording: Path of the recording without suffix.
    """

    seed: int
    states: Sequence[Telemetry]
    ended: Ended
    recording: Path


@dataclass(frozen=True)
class Stage:
    """What is looked for.

    Attributes:
        name: Its name in a plan.
        aim: The question, in words.
        tasks: Tasks in which it can be asked.
        facts: Facts that telemetry has to report; without one of them an attempt is not assessed.
        milestones: What each level means, in words, from M1 on.
        opportunity: Why an attempt says nothing, in words; None if it had an opportunity.
        reached: When an attempt reached each milestone; takes the attempt, and the one of the player that does nothing on
            the same seed, or None.
    """

    name: str
    aim: str
    tasks: tuple[str, ...]
    facts: tuple[str, ...]
    milestones: tuple[str, ...]
    opportunity: Callable[[Attempt], str | None]
    reached: Callable[[Attempt, Attempt | None], Reached]


@dataclass(frozen=True)
class Assessment:
    """What an attempt showed.

    Attributes:
        attempt: The attempt.
        reached: See `Reached`; empty if it was not assessed.
        unassessed: Why it was not assessed, in words; None if it was.
    """

    attempt: Attempt
    reached: Reached = ()
    unassessed: str | None = None

    @property
    def level(self) -> int:
        """The highest milestone that was reached with all lower ones; 0 for none."""
        level = 0
        while level < len(self.reached) and self.reached[level] is not None:
            level += 1
        return level


def assess(stage: Stage, attempt: Attempt, inaction: Attempt | None, step_limit: int) -> Assessment:
    """Assess an attempt.

    Args:
        stage: The stage.
        attempt: The attempt.
        inaction: The attempt of a player that does nothing, on the same seed.
        step_limit: Number of steps of a whole attempt.
    """

    def unassessed(why: str) -> Assessment:
        return Assessment(attempt, unassessed=why)

    if not attempt.states:
        return unassessed("no telemetry")
    if missing := [name for name in stage.facts if name not in attempt.states[-1].facts]:
        return unassessed(f"the world does not report {missing[0]}")
    if attempt.ended == "crash" or (
        attempt.ended == "cut" and len(attempt.states) - 1 < step_limit
    ):
        return unassessed("the episode was broken off")
    if (why := stage.opportunity(attempt)) is not None:
        return unassessed(why)
    return Assessment(attempt, stage.reached(attempt, inaction))


def first(states: Sequence[Telemetry], shows: Callable[[Telemetry], bool]) -> int | None:
    """Number of the first state that shows something; None if none does."""
    return next((number for number, state in enumerate(states) if shows(state)), None)
