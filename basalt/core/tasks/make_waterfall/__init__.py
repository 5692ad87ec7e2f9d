"""Make a waterfall and photograph it."""

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
from basalt.core.tasks.visible import Changes, at_end, level
from basalt.core.telemetry import Telemetry

MIN_FALL = 3
"""Nodes that water has to fall to be a waterfall; `play.lua` and `site.lua` use the same number."""


def outcome(telemetry: Sequence[Telemetry], ended: str) -> Outcome:
    """Success: the player ends the episode itself, with its own falling water in the frame.

    Of two successes the higher fall is better; of two failures the one that got further.
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


MIN_CLIMB = 5
"""Nodes above its start at which the player is at a high place; the lips that sites are made for are higher."""

MILESTONES = (
    Milestone(
        "high_place",
        f"the player was on the ground at least {MIN_CLIMB} nodes above its start",
        ("ypos", "on_ground"),
        lambda start, state: state.on_ground and state.ypos - start.ypos >= MIN_CLIMB,
    ),
    milestone(
        "water_poured",
        "the player poured water",
        "water_poured",
        shown=lambda facts: bool(facts["water_poured"]),
    ),
    milestone(
        "fall",
        f"water that the player poured fell {MIN_FALL} nodes or more",
        "fall_height",
        shown=lambda facts: float(facts["fall_height"]) >= MIN_FALL,
    ),
    milestone(
        "fall_in_view",
        "the fall filled enough of the frame",
        "water_falling_in_view",
        shown=lambda facts: bool(facts["water_falling_in_view"]),
    ),
)


def _climb(site: Site) -> str:
    return f"{site['pour'][1] - site['spawn'][1]:.0f}"


def visible_change(states: Sequence[Telemetry]) -> Changes:
    """Water poured 1, falling far enough 1, and a waterfall in view at the end 1."""
    return level(states, _made) + at_end(
        states, lambda state: bool(state.facts.get("water_falling_in_view")), 1.0
    )


def _made(state: Telemetry) -> float:
    poured = bool(state.facts.get("water_poured"))
    return float(poured) + float(float(state.facts.get("fall_height", 0)) >= MIN_FALL)


TASK = Task(
    name="make_waterfall",
    order=2,
    env_id="MakeWaterfall",
    title="Make Waterfall",
    instruction=(
        "You start in the mountains with a water bucket. Make a beautiful waterfall, move to a "
        "good viewpoint, look at it and end the episode by pressing ESC: the last frame is your "
        "photograph."
    ),
    step_limit=6_000,
    official_seeds=(95674, 39036, 70373, 84685, 91255, 56595, 53737, 12095, 86455, 19570, 40250),
    questions=Questions(
        direct=(
            "Did this player create a waterfall?",
            "Did this player end the video looking at its own waterfall?",
        ),
        comparative=(
            "Which player moved more efficiently?",
            "Which player chose a better location for the waterfall?",
            "Which player took a better picture?",
            HUMAN_LIKE,
        ),
    ),
    biome="extreme_hills",
    inventory=(("water_bucket", 1), ("cobblestone", 20), ("stone_shovel", 1), ("stone_pickaxe", 1)),
    folder=Path(__file__).parent,
    success=Success("water_falling_in_view", outcome),
    milestones=MILESTONES,
    visible_change=visible_change,
    bedd_folder="waterfall",
    facts=EVERY_TASK
    | {
        "water_poured": "number of times that the player poured water",
        "water_nodes": "number of nodes of flowing water from the player's sources",
        "fall_height": "nodes of free fall of its longest column",
        "fall_in_view": "share of the falling nodes that is in view, 0 to 1",
        "fall_in_picture": "share of the frame's height that they take up, 0 to 1",
        "water_in_view": "whether any of the player's water is in view, falling or not",
        "water_falling_in_view": "whether a waterfall of the player's fills enough of the frame",
    },
    site_columns=(
        ("way to the lip", site_length("path_length")),
        ("lip above spawn", _climb),
        ("free fall", site_length("fall_height")),
        ("way on to the viewpoint", site_length("view_path_length")),
        ("viewpoint to the fall", site_length("view_distance")),
        ("lips in the area", site_length("search", "lips")),
        ("areas searched", site_length("search", "areas")),
    ),
)
