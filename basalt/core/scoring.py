"""Success per task from telemetry, and the telemetry judge. The only place where success is defined.

People decide what is better; this module only stands in where nobody has judged yet, and every
figure made with it says so (source ``telemetry``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError

Winner = Literal["left", "right", "draw"]


@dataclass(frozen=True)
class Verdict:
    """What the telemetry judge says of a pair, and by which rule.

    Attributes:
        winner: which episode did better, or a draw.
        reason: the rule that decided, in words.
    """

    winner: Winner
    reason: str


@dataclass(frozen=True)
class Outcome:
    """One episode in the referee's eyes.

    Attributes:
        success: the task's success by telemetry.
        ended: how the episode ended: ``esc``, ``limit``, ``cut``, ``death`` or ``crash``.
        steps: its length in steps of 50 ms.
        progress: a tie-break among failures, larger is better.
        progress_name: what ``progress`` measures, in words.
        quality: a tie-break among successes that goes before speed, larger is better.
        quality_name: what ``quality`` measures, in words.
    """

    success: bool
    ended: str
    steps: int
    progress: float
    progress_name: str
    quality: float = 0.0
    quality_name: str = ""


def _find_cave(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: the player itself ends the episode inside a cave that it did not dig down into."""
    last = telemetry[-1]
    inside = bool(last.facts.get("in_cave")) and not last.facts.get("dug_down")
    return Outcome(
        success=inside and ended == "esc",
        ended=ended,
        steps=len(telemetry) - 1,
        progress=float(sum(bool(state.facts.get("in_cave")) for state in telemetry)),
        progress_name="steps spent in a cave",
    )


def _make_waterfall(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: the player itself ends the episode with its own falling water in the picture.

    Of two successes the higher fall is better; of two failures the one that came farther.
    """
    last = telemetry[-1].facts
    in_view = bool(last.get("water_falling_in_view"))
    height = float(last.get("fall_height", 0))
    poured = bool(last.get("water_poured", 0))
    return Outcome(
        success=in_view and ended == "esc",
        ended=ended,
        steps=len(telemetry) - 1,
        progress=float(poured) + float(height >= MIN_FALL) + float(in_view),
        progress_name="of pouring water, letting it fall and looking at it in the end",
        quality=height,
        quality_name="nodes of free fall",
    )


def _create_village_animal_pen(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: the player itself ends the episode with what the task asks for.

    A pen of its own beside a house, with a closed gate, and in it two or more animals of one kind and none of
    another; no villager was hit, no block of the village dug or built over. Of two successes the one with
    more animals in the pen is better, then the quicker; of two failures the one that came farther.
    """
    facts = telemetry[-1].facts
    most = int(facts.get("pen_most_of_a_kind", 0))
    parts = {
        "a pen": int(facts.get("pens", 0)) > 0,
        "a closed gate": bool(facts.get("pen_gate_closed")),
        "beside a house": bool(facts.get("pen_beside_house")),
        "an animal": most >= 1,
        "a second": most >= MIN_ANIMALS,
        "one kind": most >= 1 and int(facts.get("pen_kinds", 0)) == 1,
    }
    harmless = not facts.get("villager_hits") and not facts.get("village_blocks_harmed")
    return Outcome(
        success=all(parts.values()) and harmless and ended == "esc",
        ended=ended,
        steps=len(telemetry) - 1,
        progress=float(sum(parts.values())) if harmless else -1.0,
        progress_name=f"of {', '.join(parts)} without harm",
        quality=float(most),
        quality_name="animals in the pen",
    )


MIN_ANIMALS = 2
"""As many of one kind belong into the pen."""


def _build_village_house(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: a finished house that harms nothing, shown, and the episode ended by the player itself.

    Finished is what one can live in: enclosed by walls, roof and door, with :data:`MIN_FLOOR` places to
    stand, roofed all over, its door to be reached from outside, at least :data:`MIN_STYLE` of it of the
    village's own materials. Shown is what was looked at from outside after the last change.

    Of two successes the one with more of the village's materials and fewer blocks left lying about is
    better; of two failures the one with more parts of a finished house.
    """
    last = telemetry[-1].facts
    style = float(last.get("house_style_share", 0))
    loose = min(int(last.get("loose_blocks", 0)), MOST_LOOSE)
    parts = (
        bool(last.get("house_enclosed")) and int(last.get("house_floor_area", 0)) >= MIN_FLOOR,
        float(last.get("house_roof_share", 0)) >= MIN_ROOF,
        bool(last.get("house_door_reachable")),
        style >= MIN_STYLE,
        int(last.get("house_sides_seen", 0)) >= 1,
        not last.get("village_blocks_harmed", 0) and not last.get("villager_hits", 0),
    )
    return Outcome(
        success=all(parts) and ended == "esc",
        ended=ended,
        steps=len(telemetry) - 1,
        progress=float(sum(parts)) if last.get("house_blocks") else 0.0,
        progress_name="of: enclosed, roofed, a door, in style, shown, no harm done",
        quality=round(style - LOOSE_COST * loose, 3),
        quality_name="of the village's materials, less what lies about",
    )


MIN_FLOOR, MIN_ROOF, MIN_STYLE = 4, 0.9, 0.5
"""Of a finished house: places to stand, share under its roof, share of the village's materials."""

LOOSE_COST, MOST_LOOSE = 0.02, 25
"""What a block that is no part of the house costs in share of style, and how many are counted."""

MIN_FALL = 3
"""Water that falls fewer nodes than this is no waterfall; the world's mod says the same."""

_OUTCOMES: dict[str, Callable[[Sequence[Telemetry], str], Outcome]] = {
    "find_cave": _find_cave,
    "make_waterfall": _make_waterfall,
    "create_village_animal_pen": _create_village_animal_pen,
    "build_village_house": _build_village_house,
}

_NEEDED_FACT = {
    "find_cave": "in_cave",
    "make_waterfall": "water_falling_in_view",
    "create_village_animal_pen": "pen_animals",
    "build_village_house": "house_enclosed",
}
"""What a world has to tell for a task's success to be seen; Minecraft does not."""


def can_score(task: Task, telemetry: Sequence[Telemetry]) -> bool:
    """Whether telemetry shows success at the task: defined for it, and told by the world."""
    return bool(
        task.name in _OUTCOMES and telemetry and _NEEDED_FACT[task.name] in telemetry[-1].facts
    )


def outcome(task: Task, telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """The referee's view of an episode.

    Args:
        task: the episode's task.
        telemetry: of all n + 1 states.
        ended: how the episode ended.

    Raises:
        ConfigError: no telemetry, or success of this task is not defined or not shown by it.
    """
    if task.name not in _OUTCOMES:
        raise ConfigError(
            f"task: {task.name} has no success by telemetry yet; known: {', '.join(_OUTCOMES)}"
        )
    if not telemetry:
        raise ConfigError(
            f"telemetry: an episode of {task.name} without telemetry cannot be scored"
        )
    if not can_score(task, telemetry):
        raise ConfigError(
            f"telemetry: the world did not tell {_NEEDED_FACT[task.name]!r}, without which "
            f"success at {task.name} is not seen; let people judge"
        )
    return _OUTCOMES[task.name](telemetry, ended)


def telemetry_judge(left: Outcome, right: Outcome) -> Verdict:
    """Who did better by telemetry: success; then (both) quality, speed; (neither) progress; else a draw."""
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
