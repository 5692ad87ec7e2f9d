"""The keys and things of the Luanti world that the other tests of play leave out."""

import math

import numpy as np
import pytest

import basalt.worlds
from tests.support.world_behaviour import SEED

pytestmark = pytest.mark.engine


def play(env, n, **action):
    for _ in range(n):
        observation, *_, info = env.step(action)
    return observation["pov"], info["telemetry"]


def carried(state):
    return [(item.type, item.quantity) for item in state.inventory]


@pytest.fixture(scope="module")
def waterfall():
    env = basalt.worlds.make_env("make_waterfall", size=(320, 180))
    yield env
    env.close()


@pytest.fixture
def env(waterfall):
    waterfall.reset(seed=SEED)
    return waterfall


THINGS = [("water_bucket", 1), ("cobblestone", 20), ("stone_shovel", 1), ("stone_pickaxe", 1)]


def test_every_slot_of_the_hotbar_is_chosen_and_its_thing_is_in_the_hand(env):
    names = [name for name, _ in THINGS] + [""] * 5
    for slot, name in enumerate(names):
        _, state = play(env, 2, **{f"hotbar.{slot + 1}": 1})
        assert (state.hotbar, state.held) == (slot, name)


def test_hands_swap_once_a_press(env):
    """MakeWaterfall's bucket goes to the off hand, which shows beside the hotbar, and comes back."""
    before, _ = play(env, 2)
    picture, state = play(env, 6, swapHands=1)
    assert state.held == "" and sorted(carried(state)) == sorted(THINGS), "the off hand is carried"
    hotbar_left = np.abs(picture[140:, 30:80].astype(int) - before[140:, 30:80]).max()
    assert hotbar_left > 40, "it can be seen"
    play(env, 2)
    _, state = play(env, 2, swapHands=1)
    assert state.held == "water_bucket" and carried(state) == THINGS


def test_what_is_pointed_at_comes_into_the_hand(env):
    for _ in range(6):
        env.step({"camera": [9.0, 0.0]})
    play(env, 1, **{"hotbar.2": 1})
    play(env, 2, use=1)
    _, state = play(env, 6, **{"hotbar.3": 1})
    assert state.facts["nodes_placed"] == 1 and state.held == "stone_shovel"
    play(env, 2, pickItem=1)
    _, state = play(env, 3)
    assert (state.hotbar, state.held) == (2, "cobblestone")
    assert ("stone_shovel", 1) in carried(state)
    assert carried(state).index(("stone_shovel", 1)) == 1, "it is where the other was"


def test_one_thing_is_dropped_and_with_the_sprint_key_all(env):
    play(env, 1, **{"hotbar.2": 1})
    play(env, 1, drop=1)
    _, state = play(env, 3)
    assert dict(carried(state))["cobblestone"] == 19
    play(env, 2, sprint=1)
    play(env, 1, sprint=1, drop=1)
    _, state = play(env, 3)
    assert "cobblestone" not in dict(carried(state))


@pytest.mark.parametrize("keys", [{"sneak": 1}, {}])
def test_sneaking_stops_at_an_edge(staged_env, keys):
    """On a single node high up: who walks falls, who sneaks stays."""
    env = staged_env(
        SEED,
        """
        at(0.5, function(p)
            local top = vector.round(vector.offset(p:get_pos(), 0, 6, 0))
            minetest.set_node(top, {name = "default:stone"})
            p:set_pos(vector.offset(top, 0, 0.5, 0))
        end)""",
    )
    env.reset(seed=SEED)
    _, start = play(env, 20, **keys)
    _, state = play(env, 30, forward=1, **keys)
    assert (state.ypos > start.ypos - 0.5) == bool(keys)


def test_lava_kills(staged_env):
    env = staged_env(
        SEED,
        """
        at(0.5, function(p)
            local feet = vector.round(p:get_pos())
            for up = 0, 2 do
                minetest.set_node(vector.offset(feet, 0, up, 0), {name = "default:lava_source"})
            end
        end)""",
    )
    _, info = env.reset(seed=SEED)
    assert info["telemetry"].health == 20
    for _ in range(400):
        *_, terminated, _, info = env.step({})
        if terminated:
            break
    assert terminated and info["ended"] == "death" and info["telemetry"].health == 0


def test_nothing_hungers_and_no_night_falls(env):
    """The game's own day would move on by half an hour meanwhile."""
    first, start = play(env, 2)
    last, state = play(env, 400)
    assert state.health == 20 and state.daylight == start.daylight == state.light == 15
    assert np.abs(first.astype(int) - last).mean() < 1.0


def test_the_cursor_has_bedds_scale(env):
    """A pixel of the recording's mouse is one of a picture of 640x360, whatever the size: 0.15 degrees of the camera."""
    env.step({"inventory": 1})
    env.step({})
    *_, info = env.step({"camera": [15 * 0.15, 40 * 0.15]})
    assert (info["applied"]["dx"], info["applied"]["dy"]) == (40, 15)
    assert (info["applied"]["x"], info["applied"]["y"]) == (320 + 40, 180 + 15)
    env.step({"inventory": 1})


# ---- the referee's facts of MakeWaterfall ----


def stage_a_cliff(height):
    """A pillar of stone under the player, the edge in front of it, looking at the edge's ground."""
    return f"""
    at(0.3, function(p)
        local base = vector.round(vector.offset(p:get_pos(), 0, 20, 0))
        for x = -12, 12 do for z = -12, 30 do for y = 0, {height} + 10 do
            minetest.set_node(vector.offset(base, x, y, z),
                {{name = (y == 0 or (z <= 2 and y <= {height})) and "default:stone" or "air"}})
        end end end
        p:set_pos(vector.offset(base, 0, {height} + 0.5, 0))
        p:set_look_horizontal(0)
        p:set_look_vertical(math.rad(38))
    end)"""


def test_water_poured_over_a_cliff_falls_and_is_seen(staged_env):
    env = staged_env(SEED, stage_a_cliff(9), task="make_waterfall")
    env.reset(seed=SEED)
    _, state = play(env, 30)
    assert (state.facts["water_poured"], state.facts["fall_height"]) == (0, 0)
    play(env, 2, use=1)
    _, state = play(env, 40)
    assert state.held == "bucket" and state.facts["water_poured"] == 1
    _, state = play(env, 260)
    assert 7 <= state.facts["fall_height"] <= 9
    assert state.facts["water_nodes"] > state.facts["fall_height"]

    # Half a turn away it is out of the picture, and back again in it.
    level = -state.pitch
    for _ in range(4):
        _, away = play(env, 1, camera=[level / 4, 45.0])
    assert not away.facts["water_falling_in_view"] and away.facts["fall_in_view"] == 0
    assert away.facts["fall_height"] == state.facts["fall_height"], "it still falls"


def test_a_fall_is_seen_from_below_and_not_through_stone(staged_env):
    """From the ground before the cliff: all of it; behind a wall: nothing."""
    lua = (
        stage_a_cliff(9)
        + """
    local base = vector.round(vector.offset(player:get_pos(), 0, 20, 0))
    at(0.6, function(p)
        local def = minetest.registered_items["bucket:bucket_water"]
        local under = vector.offset(base, 0, 9, 2)
        def.on_place(ItemStack("bucket:bucket_water"), p,
            {type = "node", under = under, above = vector.offset(under, 0, 1, 0)})
        p:set_pos(vector.offset(base, 0, 0.5, 20))
        p:set_look_horizontal(math.pi)
        p:set_look_vertical(math.rad(-10))
    end)
    at(18, function(p)
        for x = -12, 12 do for y = 1, 10 do
            minetest.set_node(vector.offset(base, x, y, 16), {name = "default:stone"})
        end end
    end)"""
    )
    env = staged_env(SEED, lua, task="make_waterfall")
    env.reset(seed=SEED)
    _, state = play(env, 330)
    assert state.facts["water_poured"] == 1 and state.facts["fall_height"] >= 7
    assert state.facts["water_falling_in_view"] and state.facts["fall_in_view"] > 0.9
    # Nine nodes at eighteen nodes' distance, of the height that 70 degrees take there.
    share = 8 / (2 * 17.5 * math.tan(math.radians(35)))
    assert state.facts["fall_in_picture"] == pytest.approx(share, rel=0.25)
    _, state = play(env, 60)
    assert not state.facts["water_falling_in_view"] and state.facts["fall_in_view"] == 0
    assert state.facts["fall_height"] >= 7


def test_water_that_only_spreads_is_no_waterfall(env):
    for _ in range(6):
        env.step({"camera": [10.0, 0.0]})
    play(env, 2, use=1)
    _, state = play(env, 80)
    assert state.facts["water_poured"] == 1
    assert state.facts["fall_height"] < 3 and not state.facts["water_falling_in_view"]


def test_water_taken_up_again_runs_dry(env):
    for _ in range(6):
        env.step({"camera": [10.0, 0.0]})
    play(env, 2, use=1)
    _, state = play(env, 40)
    assert state.facts["water_nodes"] > 0
    play(env, 2, use=1)
    _, state = play(env, 160)
    assert state.held == "water_bucket" and state.facts["water_nodes"] == 0
