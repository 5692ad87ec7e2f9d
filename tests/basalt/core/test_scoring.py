from dataclasses import replace

import pytest

from basalt.core.scoring import can_score, outcome, telemetry_judge
from basalt.core.tasks import get_task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError

CAVE = get_task("find_cave")
FALLS = get_task("make_waterfall")
PEN = get_task("create_village_animal_pen")


def states(inside, dug_down=False):
    return tuple(
        Telemetry(
            step=step, xpos=0, ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10, hotbar=0,
            held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=0,
            daylight=0, under_roof=True, distance_walked=0, dead=False,
            facts={"in_cave": bool(here), "dug_down": dug_down},
        )
        for step, here in enumerate(inside)
    )  # fmt: skip


def episode(inside, ended="esc", dug_down=False):
    return outcome(CAVE, states(inside, dug_down), ended)


def test_success_is_ending_the_episode_oneself_in_a_cave():
    assert episode([0, 0, 1]).success
    assert not episode([0, 1, 0]).success, "left the cave again"
    assert not episode([0, 0, 1], ended="limit").success, "did not know that it was done"
    assert not episode([0, 0, 1], ended="death").success
    assert not episode([0, 0, 1], dug_down=True).success, "dug down from the surface"


@pytest.mark.parametrize(
    ("left", "right", "winner"),
    [
        (([0, 1], "esc"), ([0, 0], "esc"), "left"),
        (([0, 1], "esc"), ([0, 0, 1], "esc"), "left"),
        (([0, 1], "esc"), ([1, 1], "esc"), "draw"),
        (([0, 1, 0], "limit"), ([0, 0, 0], "esc"), "left"),
        (([0, 0], "limit"), ([0, 0, 0], "esc"), "draw"),
    ],
)
def test_the_judge_and_its_mirror_image(left, right, winner):
    mirror = {"left": "right", "right": "left", "draw": "draw"}
    assert telemetry_judge(episode(*left), episode(*right)).winner == winner
    assert telemetry_judge(episode(*right), episode(*left)).winner == mirror[winner]


def waterfall(poured=1, height=9, in_view=True, steps=3, ended="esc"):
    facts = {"water_poured": poured, "fall_height": height, "water_falling_in_view": in_view}
    seen = [state.model_copy(update={"facts": facts}) for state in states([0] * steps)]
    return outcome(FALLS, seen, ended)


def test_success_is_ending_the_episode_with_the_fall_in_the_picture():
    assert waterfall().success
    assert not waterfall(in_view=False).success, "looks elsewhere"
    assert not waterfall(ended="limit").success and not waterfall(ended="death").success


@pytest.mark.parametrize(
    ("left", "right", "winner", "reason"),
    [
        ({}, {"in_view": False, "height": 30}, "left", "only this player"),
        ({"height": 12, "steps": 9}, {}, "left", "nodes of free fall"),
        ({}, {"steps": 9}, "left", "sooner"),
        ({}, {}, "draw", "same step"),
        ({"in_view": False}, {"in_view": False, "height": 2}, "left", "letting it fall"),
        ({"poured": 0, "height": 0, "in_view": False}, {"ended": "limit"}, "right", "neither"),
    ],
)
def test_the_judge_of_two_waterfalls(left, right, winner, reason):
    verdict = telemetry_judge(waterfall(**left), waterfall(**right))
    assert verdict.winner == winner and reason in verdict.reason


def test_what_cannot_be_scored_is_said():
    with pytest.raises(ConfigError, match="without telemetry"):
        outcome(CAVE, (), "esc")
    with pytest.raises(ConfigError, match="juggle has no success"):
        outcome(replace(CAVE, name="juggle", success=None), (), "esc")


def test_a_world_that_does_not_tell_is_not_scored():
    silent = [state.model_copy(update={"facts": {}}) for state in states([1])]
    assert not can_score(CAVE, silent) and not can_score(CAVE, ())
    with pytest.raises(ConfigError, match="expected the fact 'in_cave'"):
        outcome(CAVE, silent, "esc")


GOOD_PEN = {
    "pens": 1, "pen_animals": "cow 2", "pen_kinds": 1, "pen_most_of_a_kind": 2, "pen_gate": True,
    "pen_gate_closed": True, "pen_beside_house": True, "villager_hits": 0, "village_blocks_harmed": 0,
}  # fmt: skip


def pen(steps=3, ended="esc", **changes):
    facts = {**GOOD_PEN, **changes}
    seen = [state.model_copy(update={"facts": facts}) for state in states([0] * steps)]
    return outcome(PEN, seen, ended)


def test_success_is_two_of_a_kind_behind_a_closed_gate_beside_a_house_without_harm():
    assert pen().success
    for change in (
        {"ended": "limit"},
        {"pens": 0},
        {"pen_most_of_a_kind": 1},
        {"pen_kinds": 2},
        {"pen_gate_closed": False},
        {"pen_beside_house": False},
        {"villager_hits": 1},
        {"village_blocks_harmed": 1},
    ):
        assert not pen(**change).success, change


def test_of_two_pens_the_fuller_then_the_quicker_is_better_and_harm_is_worst():
    assert telemetry_judge(pen(pen_most_of_a_kind=3, steps=9), pen()).winner == "left"
    assert telemetry_judge(pen(steps=9), pen()).winner == "right"
    one = pen(pen_most_of_a_kind=1)
    none = pen(pen_most_of_a_kind=0, pen_kinds=0)
    assert telemetry_judge(one, none).winner == "left"
    verdict = telemetry_judge(none, pen(villager_hits=2))
    assert verdict.winner == "left" and "without harm" in verdict.reason


HOUSE = get_task("build_village_house")
FINISHED = {
    "house_blocks": 90, "loose_blocks": 0, "house_enclosed": True, "house_floor_area": 9,
    "house_roof_share": 1.0, "house_door_reachable": True, "house_style_share": 0.95,
    "house_sides_seen": 3, "village_blocks_harmed": 0, "villager_hits": 0,
}  # fmt: skip


def house(ended="esc", steps=3, **facts):
    seen = [state.model_copy(update={"facts": FINISHED | facts}) for state in states([0] * steps)]
    return outcome(HOUSE, seen, ended)


def test_success_is_a_finished_house_that_was_shown_and_harmed_nothing():
    assert house().success and not house(ended="limit").success
    for lack in (
        {"house_enclosed": False},
        {"house_floor_area": 3},
        {"house_roof_share": 0.8},
        {"house_door_reachable": False},
        {"house_style_share": 0.4},
        {"house_sides_seen": 0},
        {"village_blocks_harmed": 1},
        {"villager_hits": 1},
    ):
        assert not house(**lack).success, lack


@pytest.mark.parametrize(
    ("left", "right", "winner", "reason"),
    [
        ({"steps": 9}, {"house_style_share": 0.8}, "left", "materials"),
        ({}, {"loose_blocks": 3}, "left", "loose blocks"),
        ({}, {"steps": 9}, "left", "sooner"),
        ({"house_door_reachable": False}, {"ended": "limit", "house_enclosed": False}, "draw", "equal"),
        ({"house_sides_seen": 0}, {"house_sides_seen": 0, "villager_hits": 2}, "left", "neither"),
        ({"ended": "limit", "house_blocks": 0}, {"ended": "limit"}, "right", "neither"),
    ],
)  # fmt: skip
def test_the_judge_of_two_houses(left, right, winner, reason):
    verdict = telemetry_judge(house(**left), house(**right))
    assert verdict.winner == winner and reason in verdict.reason
