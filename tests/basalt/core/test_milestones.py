"""Milestones say what an episode reached, never how long it took."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basalt.core.recording import Recording
from basalt.core.scoring import ENDED_THERE, furthest, milestones, outcome
from basalt.core.tasks import TASKS, get_task
from basalt.core.telemetry import Telemetry
from tests.support import ROOT

FACTS: dict[str, st.SearchStrategy[Any]] = {
    "in_cave": st.booleans(), "dug_down": st.booleans(), "mouth_in_view": st.booleans(),
    "water_poured": st.integers(0, 2), "fall_height": st.integers(0, 6), "water_falling_in_view": st.booleans(),
    "distance_to_house": st.floats(0, 20), "animals_in_view": st.integers(0, 2), "pens": st.integers(0, 1),
    "pen_animals": st.just("cow 2"), "pen_most_of_a_kind": st.integers(0, 3), "pen_kinds": st.integers(0, 2),
    "pen_gate_closed": st.booleans(), "pen_beside_house": st.booleans(),
    "house_blocks": st.integers(0, 20), "house_enclosed": st.booleans(), "house_floor_area": st.integers(0, 9),
    "house_roof_share": st.floats(0, 1), "house_door_reachable": st.booleans(), "house_style_share": st.floats(0, 1),
    "house_sides_seen": st.integers(0, 4), "village_blocks_harmed": st.integers(0, 1),
    "villager_hits": st.integers(0, 1),
}  # fmt: skip


def state(facts: dict[str, Any], **fields: Any) -> Telemetry:
    defaults: dict[str, Any] = {
        "step": 0, "xpos": 0, "ypos": 0, "zpos": 0, "yaw": 0, "pitch": 0, "health": 20, "breath": 10, "hotbar": 0,
        "held": "", "inventory": (), "gui_open": False, "on_ground": True, "in_liquid": False, "light": 15,
        "daylight": 15, "under_roof": False, "distance_walked": 0, "dead": False,
    }  # fmt: skip
    return Telemetry(facts=facts, **defaults | fields)


STATES = st.builds(
    lambda facts, ypos, on_ground, light, roof: state(
        facts, ypos=ypos, on_ground=on_ground, light=light, under_roof=roof
    ),
    st.fixed_dictionaries(FACTS),
    st.integers(-9, 9),
    st.booleans(),
    st.integers(0, 15),
    st.booleans(),
)
EPISODES = st.lists(STATES, min_size=1, max_size=6)
ENDS = st.sampled_from(["esc", "limit", "cut", "death"])
EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EVERY_TASK
def test_they_are_in_order_and_end_with_success(task):
    names = [one.name for one in task.milestones]
    assert len(names) >= 3 and len(set(names)) == len(names)
    assert list(milestones(task, [state({})], "esc")) == [*names, ENDED_THERE]
    assert all(
        set(one.needs) - set(task.facts) <= set(Telemetry.model_fields) for one in task.milestones
    )


@EVERY_TASK
@given(episode=EPISODES, more=EPISODES, end=ENDS)
@few
def test_more_steps_reach_no_less(task, episode, more, end):
    before, after = milestones(task, episode, end), milestones(task, [*episode, *more], end)
    assert all(after[one.name] for one in task.milestones if before[one.name])


@EVERY_TASK
@given(episode=EPISODES, end=ENDS, data=st.data())
@few
def test_staying_longer_in_any_state_changes_nothing(task, episode, end, data):
    times = data.draw(st.lists(st.integers(1, 3), min_size=len(episode), max_size=len(episode)))
    stretched = [one for one, n in zip(episode, times, strict=True) for _ in range(n)]
    assert milestones(task, stretched, end) == milestones(task, episode, end)


@EVERY_TASK
@given(episode=EPISODES, end=ENDS, data=st.data())
@few
def test_the_order_of_the_states_between_the_first_and_the_last_changes_nothing(
    task, episode, end, data
):
    first, *middle = episode
    last = [middle.pop()] if middle else []
    shuffled = [first, *data.draw(st.permutations(middle)), *last]
    assert milestones(task, shuffled, end) == milestones(task, episode, end)


@EVERY_TASK
@given(episode=EPISODES, end=ENDS)
@few
def test_the_last_one_is_success(task, episode, end):
    found = milestones(task, episode, end)
    success = outcome(task, episode, end).success
    assert found[ENDED_THERE] is success
    assert (furthest(found) == ENDED_THERE) is success


@EVERY_TASK
@given(episode=EPISODES, missing=st.sampled_from(sorted(FACTS)), end=ENDS)
@few
def test_a_fact_that_is_not_reported_leaves_its_milestones_unknown_and_no_others(
    task, episode, missing, end
):
    old = [
        one.model_copy(update={"facts": {k: v for k, v in one.facts.items() if k != missing}})
        for one in episode
    ]
    found, whole = milestones(task, old, end), milestones(task, episode, end)
    for one in task.milestones:
        assert found[one.name] is (None if missing in one.needs else whole[one.name])


def test_what_one_state_shows_is_known_although_others_do_not_report_it():
    cave = get_task("find_cave")
    seen, unknown, unseen = (
        state({"mouth_in_view": True}),
        state({}),
        state({"mouth_in_view": False}),
    )
    assert milestones(cave, [unknown, seen], "cut")["mouth_seen"] is True
    assert milestones(cave, [unknown, unseen], "cut")["mouth_seen"] is None
    assert milestones(cave, [unseen, unseen], "cut")["mouth_seen"] is False
    assert set(milestones(cave, [], "cut").values()) == {None}


def test_a_field_that_the_world_leaves_at_its_default_is_not_known():
    falls = get_task("make_waterfall")
    high = [state({}), state({}, ypos=9)]
    assert milestones(falls, high, "cut")["high_place"] is True
    unreported = [one.model_copy(update={"observed": frozenset({"light"})}) for one in high]
    assert milestones(falls, unreported, "cut")["high_place"] is None


def reached(task: str, *states: Telemetry, ended: str = "cut") -> list[str]:
    return [name for name, yes in milestones(get_task(task), states, ended).items() if yes]


def test_find_cave():
    outside = {"in_cave": False, "dug_down": False, "mouth_in_view": False}
    inside = outside | {"in_cave": True}
    assert reached("find_cave", state(outside)) == []
    assert reached("find_cave", state(outside | {"mouth_in_view": True})) == ["mouth_seen"]
    assert reached("find_cave", state(outside, under_roof=True, light=8)) == []
    assert reached("find_cave", state(outside, under_roof=True, light=7)) == ["under_roof_in_dark"]
    assert reached("find_cave", state(inside), state(outside), ended="esc") == ["in_cave"]
    assert reached("find_cave", state(inside), ended="esc") == ["in_cave", ENDED_THERE]
    assert reached("find_cave", state(inside | {"dug_down": True}, under_roof=True, light=0)) == []


def test_make_waterfall():
    dry = {"water_poured": 0, "fall_height": 0, "water_falling_in_view": False}
    start = state(dry)
    assert reached("make_waterfall", start, state(dry, ypos=4.9)) == []
    assert reached("make_waterfall", start, state(dry, ypos=6, on_ground=False)) == []
    assert reached("make_waterfall", start, state(dry, ypos=5)) == ["high_place"]
    poured = dry | {"water_poured": 1}
    assert reached("make_waterfall", start, state(poured | {"fall_height": 2})) == ["water_poured"]
    assert reached("make_waterfall", start, state(poured | {"fall_height": 3})) == [
        "water_poured",
        "fall",
    ]


def test_create_village_animal_pen():
    facts = {
        "distance_to_house": 4.0, "animals_in_view": 1, "pens": 0, "pen_most_of_a_kind": 0, "pen_gate_closed": False,
    }  # fmt: skip
    task = "create_village_animal_pen"
    found = ["village_reached", "animal_found"]
    assert reached(task, state(facts)) == found
    empty = facts | {"pens": 1, "pen_gate_closed": True}
    assert reached(task, state(empty)) == [*found, "fenced"], "an empty pen's gate shuts nothing in"
    full = empty | {"pen_most_of_a_kind": 2, "pen_gate_closed": False}
    assert reached(task, state(empty), state(full)) == [*found, "fenced", "two_of_a_kind"]
    assert reached(task, state(full | {"pen_gate_closed": True}))[-1] == "gate_closed"


def test_build_village_house():
    facts: dict[str, Any] = {
        "distance_to_house": 4.1, "house_blocks": 8, "house_enclosed": False, "house_floor_area": 0,
        "house_roof_share": 0.9, "house_door_reachable": True, "house_style_share": 1.0, "house_sides_seen": 4,
    }  # fmt: skip
    task = "build_village_house"
    assert reached(task, state(facts)) == ["building_begun", "roofed"]
    closed = facts | {"house_enclosed": True, "house_floor_area": 4, "house_sides_seen": 0}
    assert reached(task, state(facts), state(closed)) == [
        "building_begun",
        "roofed",
        "enclosed",
        "finished",
    ]
    assert reached(task, state(closed | {"house_sides_seen": 1}))[-1] == "shown"


def test_a_recording_of_before_a_fact_knows_its_other_milestones():
    recording = Recording.open(ROOT / "data" / "sample" / "seed_100000")
    assert recording.meta is not None
    found = milestones(get_task("find_cave"), recording.telemetry(), recording.meta.ended)
    assert found == {
        "mouth_seen": None,
        "under_roof_in_dark": True,
        "in_cave": True,
        ENDED_THERE: True,
    }
