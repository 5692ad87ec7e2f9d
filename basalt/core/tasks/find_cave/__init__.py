"""Find a cave and stop inside it."""

from collections.abc import Sequence
from pathlib import Path

from basalt.core.tasks.contract import (
    HUMAN_LIKE,
    Milestone,
    Outcome,
    Questions,
    Site,
    Success,
    Task,
    milestone,
    site_length,
)
from basalt.core.tasks.facts import EVERY_TASK
from basalt.core.tasks.visible import Changes, ever, first_time, level
from basalt.core.telemetry import Telemetry


def outcome(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: the player ends the episode itself, inside a cave that it did not dig down into."""
    last = telemetry[-1]
    inside = bool(last.facts.get("in_cave")) and not last.facts.get("dug_down")
    return Outcome(
        success=inside and ended == "esc",
        ended=ended,
        steps=len(telemetry) - 1,
        progress=float(sum(bool(state.facts.get("in_cave")) for state in telemetry)),
        progress_name="steps spent in a cave",
    )


DARK = 8
"""Light at the head below which a place is dark, of 15."""

MILESTONES = (
    milestone(
        "mouth_seen",
        "the mouth of a cave was in view",
        "mouth_in_view",
        shown=lambda facts: bool(facts["mouth_in_view"]),
    ),
    Milestone(
        "under_roof_in_dark",
        "the player was under a roof in the dark, without digging down",
        ("under_roof", "light", "dug_down"),
        lambda _, state: (
            state.under_roof and state.light < DARK and not state.facts.get("dug_down")
        ),
    ),
    milestone(
        "in_cave",
        "the player was in a cave, without digging down",
        "in_cave",
        "dug_down",
        shown=lambda facts: bool(facts["in_cave"]) and not facts["dug_down"],
    ),
)


def _path(site: Site) -> str:
    return f"{site['path_length']:.0f} ({len(site['path'])} places)"


def _mouth_seen(site: Site) -> str:
    if site["mouth_visible_at_spawn"]:
        return "yes"
    return "no, but after turning" if site["mouth_unobstructed"] else "no"


def _depth(site: Site) -> str:
    return f"{site['spawn'][1] - site['cave'][1]:.0f}"


def visible_change(states: Sequence[Telemetry]) -> Changes:
    """Into a cave 1, under a roof in the dark 0.5; into water or lava -1, digging down -1."""
    return (
        level(states, lambda state: _flag(state, "in_cave") and not _flag(state, "dug_down"))
        + first_time(states, lambda state: state.under_roof and state.light < DARK, 0.5)
        + ever(states, lambda state: state.in_liquid, -1.0)
        + first_time(states, lambda state: _flag(state, "dug_down"), -1.0)
    )


def _flag(state: Telemetry, fact: str) -> bool:
    return bool(state.facts.get(fact))


TASK = Task(
    name="find_cave",
    order=1,
    env_id="FindCave",
    title="Find Cave",
    instruction=(
        "Look around for a cave. When you are inside one, end the episode by pressing ESC. "
        "Digging down from the surface to reach a cave is not allowed."
    ),
    step_limit=3_600,
    official_seeds=(14169, 65101, 78472, 76379, 39802, 95099, 63686, 49077, 77533, 31703, 73365),
    questions=Questions(
        direct=("Did this player find and enter a cave?",),
        comparative=(
            "Which player found a cave the fastest?",
            "Which player moved more quickly and efficiently?",
            "Which player was better at looking for caves in places not yet explored?",
            "Which player was better at going to areas where caves are likely?",
            "Which player was better at noticing potential caves in view?",
            "Which player was better at realizing when it was done?",
            HUMAN_LIKE,
        ),
    ),
    biome="plains",
    folder=Path(__file__).parent,
    success=Success("in_cave", outcome),
    milestones=MILESTONES,
    visible_change=visible_change,
    bedd_folder="find-cave",
    facts=EVERY_TASK
    | {
        "in_cave": "whether the player's feet are in a natural cave",
        "mouth_in_view": "whether the mouth of a cave is in view",
        "mouth_number": "number of the nearest mouth in view, from 1 in the site's `mouths`; 0 for none",
    },
    concepts=("in_cave",),
    site_columns=(
        ("way to the cave", _path),
        ("spawn to mouth", site_length("mouth_distance")),
        ("mouth in the first frame", _mouth_seen),
        ("cave below spawn", _depth),
        ("standing places in the cave", site_length("search", "cave_size")),
        ("areas searched", site_length("search", "areas")),
    ),
)
