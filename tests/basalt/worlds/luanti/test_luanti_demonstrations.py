"""The demonstrator's play is the same every time: where it stands, what it carries, where its water is."""

import json

import numpy as np
import pytest

from agents.demonstrator.agent import Demonstrator
from basalt.core.tasks import TASKS

pytestmark = pytest.mark.engine

# What telemetry does not report, printed every second: all liquid around the player's way (where the task has one),
# and all that moves by itself.
_MORE = """
    local path, seconds = basalt.site.path, 0
    local function tell()
        seconds = seconds + 1
        local liquids, movers = {}, {}
        if path then
            local last = path[#path]
            for _, pos in ipairs(minetest.find_nodes_in_area(
                vector.new(last[1] - 24, last[2] - 40, last[3] - 24),
                vector.new(last[1] + 24, last[2] + 8, last[3] + 24), {"group:liquid"})) do
                local node = minetest.get_node(pos)
                liquids[#liquids + 1] = {minetest.pos_to_string(pos), node.name, node.param2}
            end
        end
        for _, entity in pairs(minetest.luaentities) do
            local pos = entity.object:get_pos()
            movers[#movers + 1] = string.format("%s %.3f %.3f %.3f", entity.name, pos.x, pos.y, pos.z)
        end
        table.sort(movers)
        basalt.write_json("more.json", {seconds = seconds, liquids = liquids, movers = movers})
        minetest.after(1, tell)
    end
    tell()
"""


def played(env, seed, n_steps):
    """Telemetry of the demonstrator's first steps, and at every second what telemetry does not tell."""
    agent = Demonstrator(knowing=True)
    observation, info = env.reset(seed=seed)
    states, more = [info["telemetry"]], []
    for step in range(n_steps):
        agent.observe([info])
        (action,) = agent.act(observation["pov"][None], np.array([step == 0]))
        observation, _, terminated, truncated, info = env.step(action)
        states.append(info["telemetry"])
        if step % 20 == 19:
            more.append(json.loads((env.display.folder / "world" / "more.json").read_text()))
        if terminated or truncated:
            break
    return states, more


def assert_equal_plays(plays):
    """But for breath, which the engine counts from some moment of its start (docs/worlds-reference.md)."""
    first_states, first_more = plays[0]
    for states, more in plays[1:]:
        for a, b in zip(first_states, states, strict=True):
            assert a == b.model_copy(update={"breath": a.breath}), f"step {a.step}"
        assert more == first_more


@pytest.mark.parametrize(
    "task", ["find_cave", pytest.param("make_waterfall", marks=pytest.mark.long)]
)
def test_two_demonstrations_are_the_same(staged_env, task):
    env = staged_env(SHORT[task], _MORE, task=task)
    assert_equal_plays([played(env, SHORT[task], 100) for _ in range(2)])


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_three_demonstrations_of_600_steps_are_the_same(staged_env, task):
    """Positions, inventories and facts, liquids, animals and villagers."""
    env = staged_env(SHORT[task], _MORE, task=task)
    plays = [played(env, SHORT[task], 600) for _ in range(3)]
    assert_equal_plays(plays)
    states, more = plays[0]
    if task == "make_waterfall":
        assert states[-1].facts["water_poured"] == 1 and states[-1].facts["fall_height"] >= 3
        assert sum("default:water_flowing" in node for node in more[-1]["liquids"]) > 5
    elif task == "find_cave":
        assert states[-1].distance_walked > 30
    else:
        assert len(more[-1]["movers"]) >= 17, "twelve animals, five villagers"
        assert len(set(more[0]["movers"]) - set(more[-1]["movers"])) >= 8, "which do move"
        assert states[-1].inventory != states[0].inventory, "fences put, planks made"


SHORT = {
    "find_cave": 100_001,
    "make_waterfall": 100_001,
    "create_village_animal_pen": 100_002,
    "build_village_house": 100_000,
}
"""Training seeds with a short way."""
