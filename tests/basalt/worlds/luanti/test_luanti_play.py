"""Playing in the Luanti world: input, camera, inventory, digging, falling, caves."""

import math
import time

import cv2
import gymnasium
import numpy as np
import pytest
from Xlib import display as xdisplay

import basalt.worlds
from basalt.core.actions import BUTTONS
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.cursor import draw_cursor
from basalt.worlds.luanti.engine import Engine
from basalt.worlds.luanti.game import game_version
from basalt.worlds.luanti.screens import carried_slot
from benchmarks.world import random_actions
from tests.support.world_behaviour import SEED

pytestmark = pytest.mark.engine
SMALL = (320, 180)
PIXEL = 0.15


@pytest.fixture(scope="module")
def played():
    """One game for several tests."""
    env = basalt.worlds.make_env("find_cave", size=SMALL)
    yield env
    env.close()


@pytest.fixture
def env(played):
    """At the beginning of an episode."""
    played.reset(seed=SEED)
    return played


@pytest.fixture
def make_env():
    made = []

    def make(task="find_cave", **settings):
        made.append(basalt.worlds.make_env(task, **settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


def play(env, n, **action):
    for _ in range(n):
        *_, info = env.step(action)
    return info["telemetry"]


def look(env, pitch, yaw=0.0):
    """Turn by that many degrees, in six steps."""
    return play(env, 6, camera=[pitch / 6, yaw / 6])


def turned(before, after):
    return (after.yaw - before.yaw + 180.0) % 360.0 - 180.0


def picture_difference(a, b):
    return float(np.abs(a["pov"].astype(np.int16) - b["pov"]).mean())


# ---- sameness ----


def wild_actions(n):
    """Digs and places; wanders, digs and places by chance; drops a thing and opens the inventory."""
    yield from ({"camera": [10.0, 0.0]} for _ in range(6))
    yield from ({"attack": 1} for _ in range(40))
    # Looking up between the attempts: at least one of them is not at the player's own feet.
    yield from ({"use": int(t % 4 == 2), "camera": [-10.0 * (t % 4 == 0), 0.0]} for t in range(12))
    for t, action in enumerate(random_actions(n - 58, seed=1)):
        yield {**action, "drop": int(t % 40 == 39), "inventory": int(t % 60 in (55, 58))}


def assert_same_play(steps_a, steps_b):
    """Equal telemetry, positions and inventories among it, and pictures equal but for rounding."""
    differences = []
    for (a, info_a), (b, info_b) in zip(steps_a, steps_b, strict=True):
        assert info_a["telemetry"] == info_b["telemetry"]
        differences.append(picture_difference(a, b))
    assert max(differences) <= 0.2
    facts = info_a["telemetry"].facts
    assert facts["dug_nodes"] >= 1 and facts["nodes_placed"] >= 1, "the test digs and places"


def test_two_instances_at_once_play_the_same(make_env):
    one, two = make_env(size=SMALL), make_env(size=SMALL)
    played = [[one.reset(seed=SEED)], [two.reset(seed=SEED)]]
    assert one.engine.process.pid != two.engine.process.pid and one.display.name != two.display.name
    for action in wild_actions(160):
        for env, steps in zip((one, two), played, strict=True):
            observation, *_, info = env.step(action)
            steps.append((observation, info))
    assert_same_play(*played)
    assert one.last_tick.quiescence_timeouts == two.last_tick.quiescence_timeouts == 0


def test_a_slow_start_begins_with_the_same_picture(make_env, monkeypatch):
    """Burning torches among what it shows: the game is as old in both.

    In engines since 5.7 the client's age, which the flames follow, is not the server's: only flames may differ there.
    """
    env = make_env(task="build_village_house")
    first, _ = env.reset(seed=SEED)
    # A flame's pictures repeat after 3.3 s, which are 66 steps.
    burning = [env.step({})[0]["pov"] for _ in range(70)]
    lock = Engine.lock

    def late(engine):
        time.sleep(2.5)  # seconds in which the flames move on
        return lock(engine)

    monkeypatch.setattr(Engine, "lock", late)
    second, _ = env.reset(seed=SEED)
    if game_version().startswith("5.6."):
        assert picture_difference(first, second) <= 0.002
    else:
        still = (np.array(burning) == first["pov"]).all(axis=(0, 3))
        assert still.mean() > 0.99
        for observation in (first, second):
            observation["pov"][~still] = 0
        assert picture_difference(first, second) <= 0.002


@pytest.mark.long
def test_three_episodes_one_after_the_other_play_the_same(make_env):
    """In one environment and in a new one, at the full size."""
    env = make_env()
    played = []
    for k in range(3):
        env = make_env() if k == 2 else env
        steps = [env.reset(seed=SEED)]
        for action in wild_actions(300):
            observation, *_, info = env.step(action)
            steps.append((observation, info))
        played.append(steps)
    assert_same_play(played[0], played[1])
    assert_same_play(played[0], played[2])


# ---- camera ----


def test_fractions_of_pixels_are_carried_to_the_next_step(env):
    """The smallest bin of the policy's camera, 0.6154 degrees, is 4.1 pixels."""
    before = play(env, 1)
    moved = []
    for _ in range(10):
        *_, info = env.step({"camera": [0.0, 0.6154]})
        assert info["applied"]["asked"].tolist() == pytest.approx([0.0, 0.6154])
        assert info["applied"]["camera"][1] == pytest.approx(info["applied"]["dx"] * PIXEL)
        moved.append(info["applied"]["dx"])
    assert set(moved) == {4, 5}
    assert sum(moved) * PIXEL == pytest.approx(6.154, abs=PIXEL / 2)
    assert turned(before, play(env, 1)) == pytest.approx(sum(moved) * PIXEL, abs=0.02)


def test_fractions_do_not_outlive_their_episode(env):
    env.step({"camera": [0.07, 0.07]})
    env.reset(seed=SEED)
    *_, info = env.step({"camera": [0.01, 0.01]})
    assert (info["applied"]["dx"], info["applied"]["dy"]) == (0, 0)


@pytest.mark.parametrize("size", [(160, 90), (128, 128)])
def test_degrees_are_degrees_at_any_size(make_env, size):
    env = make_env(size=size)
    env.reset(seed=SEED)
    state = play(env, 1)
    for pitch, yaw in ((0.0, 180.0), (30.0, -90.0), (-45.0, 10.05), (15.0, -179.1)):
        *_, info = env.step({"camera": [pitch, yaw]})
        assert info["applied"]["camera"] == pytest.approx([pitch, yaw], abs=PIXEL)
        before, state = state, play(env, 1)
        applied = info["applied"]["camera"]
        assert abs(math.remainder(turned(before, state) - applied[1], 360.0)) < 0.05
        assert state.pitch - before.pitch == pytest.approx(applied[0], abs=0.05)


def test_one_looks_straight_down_at_most(env):
    before = play(env, 1)
    *_, info = env.step({"camera": [180.0, 0.0]})
    state = play(env, 1)
    assert 89.0 < state.pitch <= 89.5
    assert state.pitch - before.pitch == pytest.approx(info["applied"]["camera"][0], abs=0.05)
    *_, info = env.step({"camera": [-10.0, 0.0]})
    assert play(env, 1).pitch == pytest.approx(state.pitch - 10.0, abs=0.1)
    assert info["applied"]["camera"][0] == pytest.approx(-10.0, abs=PIXEL)


# ---- walking ----


def test_one_walks_where_one_looks(env):
    for _ in range(4):
        state = look(env, 0.0, 90.0)
        yaw = math.radians(state.yaw)
        ahead, right = (math.sin(yaw), math.cos(yaw)), (math.cos(yaw), -math.sin(yaw))
        for key, direction in (("forward", ahead), ("right", right)):
            start = play(env, 8)
            end = play(env, 10, **{key: 1})
            way = end.xpos - start.xpos, end.zpos - start.zpos
            along = way[0] * direction[0] + way[1] * direction[1]
            # At least to the nearest rise of the ground, and never sideways.
            assert along > 0.4 and along == pytest.approx(math.hypot(*way), rel=0.02)
            assert end.distance_walked - start.distance_walked == pytest.approx(along, rel=0.02)
            play(env, 10, **{{"forward": "back", "right": "left"}[key]: 1})


def test_sprinting_is_faster_and_sneaking_slower(env):
    ways = []
    for keys in ({}, {"sprint": 1}, {"sneak": 1}):
        start = play(env, 8).distance_walked
        ways.append(play(env, 12, forward=1, **keys).distance_walked - start)
        play(env, 12, back=1, **keys)
    walk, sprint, sneak = ways
    assert sprint > 1.15 * walk and sneak < 0.6 * walk


def test_no_key_stays_pressed_between_episodes(env):
    everything = {button: 1 for button in BUTTONS if button not in ("ESC", "inventory")}
    play(env, 3, **everything)
    env.reset(seed=SEED)
    server = xdisplay.Display(env.display.name)
    try:
        assert not any(server.query_keymap())
        buttons_and_modifiers = server.screen().root.query_pointer().mask
        assert buttons_and_modifiers == 0
    finally:
        server.close()
    state = play(env, 5)
    assert state.distance_walked == pytest.approx(0.0, abs=0.01)
    assert state.on_ground and state.facts["dug_nodes"] == 0


def test_the_hotbar_slot_is_chosen(env):
    assert play(env, 3, **{"hotbar.7": 1}).hotbar == 6
    assert play(env, 3, **{"hotbar.1": 1}).hotbar == 0


# ---- the inventory's form ----


def test_the_cursor_of_an_open_form_moves_and_is_drawn(env):
    before = play(env, 1)
    env.step({"inventory": 1})
    env.step({})
    observation, *_, info = env.step({"camera": [3.0, -6.0]})
    assert info["telemetry"].gui_open
    assert (info["applied"]["dx"], info["applied"]["dy"]) == (-40, 20)
    x, y = info["applied"]["x"], info["applied"]["y"]
    assert (x, y) == (320 - 40, 180 + 20), "of a picture of 640x360"
    drawn = [np.full_like(observation["pov"], shade) for shade in (0, 255)]
    for picture in drawn:
        draw_cursor(picture, x, y, (640, 360))
    covered = drawn[0] == drawn[1]
    assert covered.sum() >= 30 and (observation["pov"][covered] == drawn[0][covered]).all()

    *_, info = env.step({"camera": [-180.0, 180.0]})
    assert (info["applied"]["x"], info["applied"]["y"]) == (639, 0), "it stays inside"
    env.step({"inventory": 1})
    after = play(env, 2)
    assert not after.gui_open
    assert (after.yaw, after.pitch) == (before.yaw, before.pitch), "the view did not turn"


@pytest.mark.parametrize("size", [(640, 360), SMALL, (160, 90)])
def test_the_form_takes_the_same_share_of_a_frame_of_any_size(make_env, size):
    env = make_env(size=size)
    env.reset(seed=SEED)
    env.step({"inventory": 1})
    env.step({})
    observation, *_ = env.step({"camera": [180.0, 180.0]})
    rows, columns = np.nonzero((observation["pov"] == 0xC6).all(axis=2))
    shares = [(axis.min(), axis.max() + 1) for axis in (columns, rows)]
    panel = ((232, 232 + 176), (97, 97 + 166))  # of 640x360, see screens.py
    np.testing.assert_allclose(shares, np.array(panel) * size[1] / 360, atol=1.0)


def test_a_small_picture_is_of_the_same_episode(make_env):
    """Telemetry is equal in every step, and so are the pictures but for what is thinner than a pixel."""
    large, small = make_env(size=(640, 360)), make_env(size=(128, 72))
    seen = [env.reset(seed=SEED) for env in (large, small)]
    for action in random_actions(60, seed=2):
        pictures = [observation["pov"] for observation, *_ in seen]
        assert seen[0][-1]["telemetry"] == seen[1][-1]["telemetry"]
        # The middle of every fifth pixel each way.
        assert np.abs(pictures[0][2::5, 2::5].astype(int) - pictures[1]).mean() < 2.0
        seen = [env.step(action) for env in (large, small)]


def test_the_cursor_is_cut_off_at_the_pictures_edge():
    picture = np.full((20, 20, 3), 7, np.uint8)
    draw_cursor(picture, 19, 18, (20, 20))
    assert (picture != 7).any(axis=2).sum() == 2


@pytest.mark.parametrize("size", [(320, 180), (128, 72), (160, 90), (96, 54)])
@pytest.mark.parametrize("at", [(0, 0), (333, 101), (320, 180), (636, 350), (639, 359)])
def test_the_cursor_in_a_small_picture_is_that_of_the_large_one(size, at):
    large = np.full((360, 640, 3), 100, np.uint8)
    draw_cursor(large, *at, (640, 360))
    small = np.full((size[1], size[0], 3), 100, np.uint8)
    draw_cursor(small, *at, (640, 360))
    expected = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).max() <= 2


def dig_one(env):
    """Dig the ground in front of the feet and let the thing come to the hand."""
    look(env, 60.0)
    for _ in range(60):
        *_, info = env.step({"attack": 1})
        if info["telemetry"].facts["dug_nodes"]:
            return play(env, 10)
    raise AssertionError("nothing was dug")


def test_digging_and_placing(env):
    start = play(env, 1)
    assert not any(start.facts.values())
    assert {"in_cave", "dug_nodes", "dug_down", "nodes_placed", "damage_fall", "mouth_in_view"} <= {
        *start.facts
    }
    state = dig_one(env)
    assert [(item.type, item.quantity) for item in state.inventory] == [("dirt", 1)]
    assert state.held == "dirt"
    assert state.facts["dug_nodes"] == 1 and state.facts["dug_down"]
    assert not state.facts["in_cave"], "a hole is not a cave"
    play(env, 1, use=1)
    state = play(env, 5)
    assert state.facts["nodes_placed"] == 1 and state.inventory == () and state.held == ""


def test_clicks_move_things_in_the_inventory(make_env):
    env = make_env()
    env.reset(seed=SEED)
    assert dig_one(env).held == "dirt"
    env.step({"inventory": 1})
    *_, info = env.step({})
    # The hotbar's first slot, and a slot of the rows above it.
    for x, y in (carried_slot(0), carried_slot(10)):
        way = np.array([y - info["applied"]["y"], x - info["applied"]["x"]])
        *_, info = env.step({"camera": way * PIXEL})
        play(env, 1, attack=1)
        play(env, 2)
    env.step({"inventory": 1})
    state = play(env, 3)
    assert state.held == "" and [item.type for item in state.inventory] == ["dirt"]


def test_a_dropped_thing_leaves_the_inventory(env):
    dig_one(env)
    play(env, 1, drop=1)
    assert play(env, 3).inventory == ()


# ---- what is done to the player ----


def test_falling_hurts(staged_env):
    env = staged_env(SEED, "at(1, function(p) p:set_pos(vector.offset(p:get_pos(), 0, 12, 0)) end)")
    _, info = env.reset(seed=SEED)
    assert info["telemetry"].health == 20
    start = play(env, 20)
    assert start.ypos > info["telemetry"].ypos + 1 and not start.on_ground
    state = play(env, 60)
    assert 0 < state.health < 20 and state.on_ground and not state.dead


def test_a_fall_from_high_ends_the_episode(staged_env):
    env = staged_env(SEED, "at(1, function(p) p:set_pos(vector.offset(p:get_pos(), 0, 60, 0)) end)")
    env.reset(seed=SEED)
    for _ in range(150):
        *_, terminated, truncated, info = env.step({})
        if terminated or truncated:
            break
    assert (terminated, truncated, info["ended"]) == (True, False, "death")
    assert info["telemetry"].dead and info["telemetry"].health == 0
    _, info = env.reset(seed=SEED)
    assert info["telemetry"].health == 20 and not info["telemetry"].dead


def test_the_cave_of_the_site_is_a_cave(staged_env):
    env = staged_env(
        SEED,
        "local x, y, z = unpack(basalt.site.cave)\n"
        "at(1, function(p) p:set_pos({x = x, y = y - 0.5, z = z}) end)",
    )
    _, info = env.reset(seed=SEED)
    state = info["telemetry"]
    assert not state.facts["in_cave"] and state.daylight == 15 and not state.under_roof
    state = play(env, 60)
    assert (state.xpos, state.ypos + 0.5, state.zpos) == pytest.approx(info["site"]["cave"])
    assert state.facts["in_cave"] and state.under_roof and state.daylight <= 9
    assert not state.facts["dug_down"]


def test_gymnasium_makes_it():
    env = gymnasium.make("basalt/FindCave-v0", world="luanti", size=SMALL, step_limit=7)
    assert env.unwrapped.step_limit == 7
    env.close()


def test_steps_without_a_picture_are_the_same_game(make_env):
    """Digging, jumping and an open screen; the last step is drawn."""

    def play(**settings):
        env = make_env(size=SMALL, step_limit=62, **settings)
        frames, states = [], []
        env.reset(seed=SEED)
        for action in random_actions(62, seed=3):
            observation, *_, info = env.step(action)
            frames.append(observation["pov"])
            states.append(info["telemetry"])
        return frames, states

    (every, states), (some, states_too) = play(), play(render_every=20)
    assert states_too == states
    drawn = [19, 39, 59, 61]
    assert all(np.array_equal(some[step], every[step]) for step in drawn)
    assert all(np.array_equal(some[step], some[19]) for step in range(20, 39))
    assert not np.shares_memory(some[20], some[19])


@pytest.mark.parametrize("every", [0, 2.5])
def test_a_picture_every_zero_or_half_step_is_refused(make_env, every):
    message = f"render_every: expected an integer of at least 1, got {every}"
    with pytest.raises(ConfigError, match=message):
        make_env(render_every=every)
