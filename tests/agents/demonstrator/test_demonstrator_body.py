"""The scripted player's body: where it looks and walks, and that it hurts no creature."""

import math

import numpy as np
import pytest

from agents.demonstrator.body import Body
from agents.demonstrator.create_village_animal_pen import Pen
from agents.demonstrator.village import Ground
from agents.demonstrator.yards import find_yards
from basalt.core.telemetry import Creature, SlotItem
from tests.support.synthetic import telemetry

HOUSE = {"min": [14, 1, 14], "max": [16, 1, 16]}
VILLAGE = {
    "houses": [HOUSE],
    "blocks": [[x, 1, z] for x in (14, 15, 16) for z in (14, 15, 16)],
    "ground": {"min": [0, 0], "width": 32, "heights": [1] * 32 * 32, "plants": None},
}


def body_at(x=0.0, y=0.5, z=0.0, **state):
    body = Body(np.random.default_rng(0))
    at = {"xpos": x, "ypos": y, "zpos": z, "yaw": 0.0, "pitch": 0.0, "on_ground": True}
    body.state = telemetry(0).model_copy(update=at | state)
    return body


def play(body, routine, most=2000):
    """Play a routine on level ground where nothing is in the way and each click counts; return its actions."""
    actions = []
    for action in routine:
        actions.append(action)
        assert len(actions) < most
        hotbar = [item for item in body.state.inventory if action[f"hotbar.{item.slot + 1}"]]
        facts = dict(body.state.facts)
        facts["nodes_placed"] = facts.get("nodes_placed", 0) + action["use"]
        facts["dug_nodes"] = facts.get("dug_nodes", 0) + action["attack"]
        pitch, yaw = (float(part) for part in action["camera"])
        turned = math.radians(body.state.yaw + yaw)
        ahead, aside = action["forward"] - action["back"], action["right"] - action["left"]
        east = ahead * math.sin(turned) + aside * math.cos(turned)
        north = ahead * math.cos(turned) - aside * math.sin(turned)
        body.state = body.state.model_copy(
            update={
                "yaw": body.state.yaw + yaw,
                "pitch": body.state.pitch + pitch,
                "xpos": body.state.xpos + 0.2 * east,
                "zpos": body.state.zpos + 0.2 * north,
                "held": hotbar[0].type if hotbar else body.state.held,
                "facts": facts,
            }
        )
    return actions


@pytest.mark.parametrize("near", [0.4, 2.0])
def test_it_looks_at_a_point_by_gradual_turns(near):
    body, point = body_at(), (-3.0, 0.0, -2.0)
    actions = play(body, body.look_at(point, near))
    assert body.off(point) <= near
    turns = np.array([action["camera"] for action in actions])
    assert np.abs(turns).max() <= 9.0 and np.abs(np.diff(turns, axis=0)).max() < 2.0
    assert not list(body.look_at(point, near)), "it looks there already"


def test_it_walks_along_a_path_round_a_corner():
    path = [[x, 1, 0] for x in range(8)] + [[7, 1, z] for z in range(1, 8)]
    body = body_at()
    places = []
    for action in body.walk(path, close=0.5):
        places.append(body.position[[0, 2]])
        play(body, [action])
    assert body.away(path[-1]) < 0.5
    corners = np.array(path, float)[:, [0, 2]]
    strays = [np.linalg.norm(corners - place, axis=1).min() for place in places]
    assert max(strays) < 1.2, "it stays on the path"
    assert list(body.walk([])) == []


def test_it_backs_off_where_it_is_stuck():
    body = body_at()
    walk = body.walk([[0, 1, z] for z in range(9)])
    assert any(next(walk)["back"] for _ in range(60)), "a wall that is not on the map"


def test_it_strolls_to_a_point_without_a_path():
    body = body_at()
    play(body, body.stroll([6.0, 1.0, -4.0]))
    assert body.away([6.0, 0.0, -4.0]) < 1.0


def test_a_creature_in_the_way_is_not_hit():
    cow = Creature(kind="cow", id=1, position=(0.3, 0.5, 1.5))
    point = (0.0, 0.5, 3.0)
    assert not body_at(animals=(cow,)).reaches(point)
    assert not body_at(villagers=(cow,)).reaches(point)
    assert body_at(animals=(cow,)).reaches((3.0, 0.5, 0.0)) and body_at().reaches(point)
    body = body_at(animals=(cow,))
    waiting = body.wait_for_creatures(point)
    assert not any(next(waiting)["use"] for _ in range(20)), "it waits"
    body.state = body.state.model_copy(update={"animals": ()})
    assert list(waiting) == []


@pytest.mark.parametrize("yard", find_yards(VILLAGE, Ground(VILLAGE))[::31])
def test_a_yard_is_cleared_of_plants_and_fenced_in(yard):
    """Every plan of a fence works out: each cell can be reached, also the corners, and the gate comes last."""
    corners = [x for corner in (yard.low, yard.high) for x in corner]
    site = VILLAGE | {"ground": VILLAGE["ground"] | {"plants": [*corners, *yard.from_gate(-2)]}}
    x, z = yard.from_gate(2)
    carried = (
        SlotItem(type="oak_fence", quantity=64, slot=0),
        SlotItem(type="oak_fence_gate", quantity=64, slot=1),
    )
    start = {"nodes_placed": 0, "dug_nodes": 0}
    body = body_at(x=float(x), z=float(z), held="", inventory=carried, facts=start)
    pen = Pen(body, Ground(site), yard, "cow")
    play(body, pen.build())
    facts = body.state.facts
    assert facts["nodes_placed"] == len(yard.fence()) + 1 and facts["dug_nodes"] == 3
    assert body.state.held == "oak_fence_gate"
