"""The demonstrator's play is the same every time: where it stands, what it carries, where its water is."""

import json

import numpy as np
import pytest

from agents.demonstrator import Demonstrator

pytestmark = pytest.mark.engine

# All liquid around the player's way, told every second.
_LIQUIDS = """
    local path, seconds = basalt.site.path, 0
    local last = path[#path]
    local function tell()
        seconds = seconds + 1
        local found = {}
        for _, pos in ipairs(minetest.find_nodes_in_area(vector.new(last[1] - 24, last[2] - 40, last[3] - 24),
            vector.new(last[1] + 24, last[2] + 8, last[3] + 24), {"group:liquid"})) do
            local node = minetest.get_node(pos)
            found[#found + 1] = {minetest.pos_to_string(pos), node.name, node.param2}
        end
        basalt.write_json("liquids.json", {seconds = seconds, found = found})
        minetest.after(1, tell)
    end
    tell()
"""


def played(env, seed, n_steps):
    """Telemetry of the demonstrator's first steps, and the liquids around its goal at the end."""
    agent = Demonstrator()
    observation, info = env.reset(seed=seed)
    states = [info["telemetry"]]
    for step in range(n_steps):
        agent.observe([info])
        (action,) = agent.act(observation["pov"][None], np.array([step == 0]))
        observation, _, terminated, truncated, info = env.step(action)
        states.append(info["telemetry"])
        if terminated or truncated:
            break
    liquids = (env.display.folder / "world" / "liquids.json").read_text()
    return states, json.loads(liquids)


def assert_equal_plays(plays):
    """But for breath, which the engine counts from some moment of its start (docs/worlds.md)."""
    first_states, first_liquids = plays[0]
    for states, liquids in plays[1:]:
        for a, b in zip(first_states, states, strict=True):
            assert a == b.model_copy(update={"breath": a.breath}), f"step {a.step}"
        assert liquids == first_liquids


@pytest.mark.parametrize("task", ["find_cave", "make_waterfall"])
def test_two_demonstrations_are_the_same(staged_env, task):
    env = staged_env(SHORT[task], _LIQUIDS, task=task)
    assert_equal_plays([played(env, SHORT[task], 100) for _ in range(2)])


@pytest.mark.long
@pytest.mark.parametrize("task", ["find_cave", "make_waterfall"])
def test_three_demonstrations_of_600_steps_are_the_same(staged_env, task):
    env = staged_env(SHORT[task], _LIQUIDS, task=task)
    plays = [played(env, SHORT[task], 600) for _ in range(3)]
    assert_equal_plays(plays)
    states, liquids = plays[0]
    if task == "make_waterfall":
        assert states[-1].facts["water_poured"] == 1 and states[-1].facts["fall_height"] >= 3
        assert sum("default:water_flowing" in node for node in liquids["found"]) > 5
    else:
        assert states[-1].distance_walked > 30


SHORT = {"find_cave": 100_001, "make_waterfall": 100_001}
"""Training seeds with a short way."""
