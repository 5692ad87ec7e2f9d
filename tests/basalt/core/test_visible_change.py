"""A clip's score is what a viewer sees change: bounded, and never length, distance or time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basalt.core.scoring import visible_change
from basalt.core.tasks import TASKS, get_task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError
from tests.support.synthetic import telemetry

BOUNDS = {
    "find_cave": (-3.0, 1.5),
    "make_waterfall": (-2.0, 3.0),
    "create_village_animal_pen": (-10.0, 4.0),
    "build_village_house": (-10.0, 4.5),
}


def state(task: str, t: int = 0, **changes: Any) -> Telemetry:
    needed = get_task(task).success
    assert needed is not None
    fields = {name: changes.pop(name) for name in list(changes) if name in Telemetry.model_fields}
    facts = {needed.needed_fact: False if task != "create_village_animal_pen" else "", **changes}
    return telemetry(t).model_copy(update={"facts": facts, **fields})


def score(task: str, *changes: dict[str, Any]) -> float:
    states = [state(task, t, **one) for t, one in enumerate(changes)]
    return float(visible_change(get_task(task), states).sum())


def test_finding_a_cave_is_seen() -> None:
    out, dark = {"in_cave": False}, {"under_roof": True, "light": 3, "in_cave": False}
    inside = {"under_roof": True, "light": 3, "in_cave": True}
    assert score("find_cave", out, out) == 0
    assert score("find_cave", out, dark) == 0.5
    assert score("find_cave", out, dark, inside) == 1.5
    assert score("find_cave", inside, inside) == 0  # nothing changes
    assert score("find_cave", inside, out) == -1
    assert score("find_cave", inside, out, inside, out) == -1
    assert score("find_cave", out, {"in_liquid": True}, out, {"in_liquid": True}) == -1
    assert score("find_cave", {"in_liquid": True}, out) == -1
    assert score("find_cave", out, inside | {"dug_down": True}) == -0.5  # the roof, and the digging
    assert score("find_cave", {"dug_down": True}, {"dug_down": True}) == 0  # dug before the clip


def test_a_waterfall_is_seen() -> None:
    assert score("make_waterfall", {}, {"water_poured": 1}) == 1
    assert score("make_waterfall", {}, {"water_poured": 2, "fall_height": 3}) == 2
    seen = {"water_poured": 1, "fall_height": 5, "water_falling_in_view": True}
    assert score("make_waterfall", {}, seen) == 3
    assert score("make_waterfall", seen, seen) == 1  # a picture of it, at the end
    assert score("make_waterfall", seen, {**seen, "water_falling_in_view": False}) == 0


def test_a_pen_is_seen_and_harm_counts_once_a_kind() -> None:
    task = "create_village_animal_pen"
    assert score(task, {}, {"pens": 1}) == 1
    assert score(task, {}, {"pens": 2, "pen_gate_closed": True, "pen_most_of_a_kind": 7}) == 4
    assert score(task, {"villager_hits": 1}, {"villager_hits": 1}) == 0
    assert score(task, {"villager_hits": 1}, {"villager_hits": 9}) == -2
    assert score(task, {}, {"villager_hits": 1, "village_blocks_harmed": 30}) == -4


def test_a_house_is_seen() -> None:
    task = "build_village_house"
    parts = {
        "house_enclosed": True,
        "house_floor_area": 4,
        "house_roof_share": 0.5,
        "house_door_reachable": True,
        "house_blocks": 40,
        "house_style_share": 0.6,
    }
    assert score(task, {}, parts) == 3.5
    assert score(task, parts, {**parts, "house_sides_seen": 2}) == 0.5
    assert score(task, {}, {"house_blocks": 1, "house_style_share": 1.0}) == 0
    assert score(task, {}, {"animals_killed": 2}) == -2


STATES = st.fixed_dictionaries(
    {},
    optional={
        "in_cave": st.booleans(),
        "dug_down": st.booleans(),
        "under_roof": st.booleans(),
        "light": st.integers(0, 15),
        "in_liquid": st.booleans(),
        "water_poured": st.integers(0, 9),
        "fall_height": st.floats(0, 60),
        "water_falling_in_view": st.booleans(),
        "pens": st.integers(0, 3),
        "pen_gate_closed": st.booleans(),
        "pen_most_of_a_kind": st.integers(0, 9),
        "villager_hits": st.integers(0, 9),
        "village_blocks_harmed": st.integers(0, 99),
        "animals_killed": st.integers(0, 9),
        "house_enclosed": st.booleans(),
        "house_floor_area": st.integers(0, 30),
        "house_roof_share": st.floats(0, 1),
        "house_door_reachable": st.booleans(),
        "house_blocks": st.integers(0, 200),
        "house_style_share": st.floats(0, 1),
        "house_sides_seen": st.integers(0, 4),
    },
)


@pytest.mark.parametrize("task", TASKS)
@given(st.lists(st.tuples(STATES, st.integers(1, 4)), min_size=2, max_size=12), st.floats(0, 1e4))
@settings(max_examples=25, deadline=None)
def test_the_score_is_bounded_and_waiting_or_walking_changes_nothing(
    task: str, seen: list[tuple[dict[str, Any], int]], walked: float
) -> None:
    brief = [state(task, t, **one) for t, (one, _) in enumerate(seen)]
    changes = visible_change(get_task(task), brief)
    low, high = BOUNDS[task]
    assert changes.shape == (len(brief) - 1,)
    assert low <= changes.sum() <= high
    slow = [
        state(task, **one).model_copy(update={"step": 1_000 + t, "xpos": walked, "distance_walked": walked})
        for t, (one, times) in enumerate(seen)
        for _ in range(times)
    ]  # fmt: skip
    assert np.isclose(visible_change(get_task(task), slow).sum(), changes.sum())


def test_what_telemetry_does_not_show_is_not_scored() -> None:
    with pytest.raises(ConfigError, match="expected the fact 'in_cave'"):
        visible_change(get_task("find_cave"), [telemetry(0), telemetry(1)])
    with pytest.raises(ConfigError, match="without telemetry"):
        visible_change(get_task("find_cave"), [])
