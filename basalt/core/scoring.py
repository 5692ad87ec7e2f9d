"""Outcomes of episodes by telemetry, and the telemetry judge.

People decide what is better. This module only replaces them where nobody has judged yet, and every number that
was made with it says so (source `telemetry`). Each task defines its own success.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from basalt.core.tasks import Milestone, Outcome, Success, Task
from basalt.core.tasks.facts import HARM_FACTS
from basalt.core.tasks.visible import Changes
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError

Winner = Literal["left", "right", "draw"]


@dataclass(frozen=True)
class Verdict:
    """The telemetry judge's decision about a pair.

    Attributes:
        winner: The better episode, or a draw.
        reason: The rule that decided, in words.
    """

    winner: Winner
    reason: str


def can_score(task: Task, telemetry: Sequence[Telemetry]) -> bool:
    """Return whether telemetry shows success at the task: it is defined, and the world reported its fact."""
    return bool(task.success and telemetry and task.success.needed_fact in telemetry[-1].facts)


def outcome(task: Task, telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Return the outcome of an episode by telemetry.

    Args:
        task: Task of the episode.
        telemetry: Telemetry of all n + 1 states.
        ended: How the episode ended.

    Raises:
        ConfigError: Success at this task is not defined, or the telemetry does not show it.
    """
    return _success(task, telemetry).outcome(telemetry, ended)


def _success(task: Task, telemetry: Sequence[Telemetry]) -> Success:
    if task.success is None:
        raise ConfigError(f"task: {task.name} has no success by telemetry; let people judge it")
    if not telemetry:
        raise ConfigError(
            f"telemetry: an episode of {task.name} without telemetry cannot be scored"
        )
    if not can_score(task, telemetry):
        raise ConfigError(
            f"telemetry: expected the fact {task.success.needed_fact!r}, which shows success at "
            f"{task.name}; this world does not report it: let people judge"
        )
    return task.success


def visible_change(task: Task, telemetry: Sequence[Telemetry]) -> Changes:
    """Return what a viewer of a clip sees get better (positive) or worse, for synthetic teachers.

    Args:
        task: Task of the clip.
        telemetry: Telemetry of all n + 1 states of a clip of n steps.

    Returns:
        Change at each step, float64 [n]; the sum is bounded, whatever the length.

    Raises:
        ConfigError: It is not defined for this task, or the telemetry does not show it.
    """
    _success(task, telemetry)
    if task.visible_change is None:
        raise ConfigError(f"task: {task.name} has no visible change by telemetry; let people judge")
    return task.visible_change(telemetry)


ENDED_THERE = "ended_there"
"""Name of the last milestone of every task: success, which requires that the player ends the episode itself."""


def milestones(task: Task, telemetry: Sequence[Telemetry], ended: str) -> dict[str, bool | None]:
    """Return whether an episode reached each milestone of its task, in order; the last one is success.

    Each is decided by itself, so a later one may be reached without an earlier one. None: not known, since the
    world or an old recording does not report it in every state, and the other states do not show it.

    Args:
        task: Task of the episode.
        telemetry: Telemetry of all n + 1 states.
        ended: How the episode ended.
    """
    found = {one.name: _is_reached(one, telemetry) for one in task.milestones}
    if task.success is not None:
        found[ENDED_THERE] = (
            outcome(task, telemetry, ended).success if can_score(task, telemetry) else None
        )
    return found


def _is_reached(milestone: Milestone, telemetry: Sequence[Telemetry]) -> bool | None:
    known = [state for state in telemetry if _reports(state, milestone.needs)]
    if any(milestone.is_shown(telemetry[0], state) for state in known):
        return True
    return False if known and len(known) == len(telemetry) else None


def _reports(state: Telemetry, names: Sequence[str]) -> bool:
    return all(
        state.is_observed(name) if name in Telemetry.model_fields else name in state.facts
        for name in names
    )


def furthest(reached: Mapping[str, bool | None]) -> str | None:
    """Return the last milestone that was reached; None if none was.

    Args:
        reached: What `milestones` returned.
    """
    return next((name for name in reversed(list(reached)) if reached[name]), None)


def harm(telemetry: Sequence[Telemetry]) -> dict[str, float]:
    """Return what an episode harmed: each fact of `HARM_FACTS` that the world reported, and `deaths`."""
    last = telemetry[-1]
    reported = {name: float(last.facts[name]) for name in HARM_FACTS if name in last.facts}
    return {**reported, "deaths": float(last.dead)}


def telemetry_judge(left: Outcome, right: Outcome) -> Verdict:
    """Return which episode did better: success; then quality and speed (both) or progress (neither)."""
    if left.success != right.success:
        return Verdict("left" if left.success else "right", "only this player succeeded")
    if left.success:
        if left.quality != right.quality:
            better: Winner = "left" if left.quality > right.quality else "right"
            return Verdict(better, f"both succeeded; more {left.quality_name}")
        if left.steps != right.steps:
            return Verdict("left" if left.steps < right.steps else "right", "succeeded sooner")
        return Verdict("draw", "both succeeded at the same step")
    if left.progress != right.progress:
        winner: Winner = "left" if left.progress > right.progress else "right"
        return Verdict(winner, f"neither succeeded; more {left.progress_name}")
    return Verdict("draw", f"neither succeeded; equal {left.progress_name}")
