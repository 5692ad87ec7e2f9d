"""What the referee knows of houses in the Luanti world."""

import pytest

import basalt.worlds
from tests.support.world_behaviour import SEED

pytestmark = pytest.mark.engine

# A hut of 4 x 4 on the first free plot, two rows of the village's own walls under a roof of wool. Placed by
# the player, as far as the world knows, but without the minutes that it takes.
HUT = """
local plot = basalt.site.plots[1]
local facing = plot.facing
local wall = basalt.site.materials.wall
local function spot(x, up, z)
    return vector.new(plot.min[1] + 3 + x, plot.min[2] + up, plot.min[3] + 3 + z)
end
local function put(player, pos, name)
    local thing = {type = "node", under = pos, above = pos}
    minetest.item_place_node(ItemStack(name), player, thing)
end
local function dig(player, pos)
    minetest.node_dig(pos, minetest.get_node(pos), player)
end
at(1.2, function(player)
    for x = 0, 3 do
        for z = 0, 3 do
            for up = 0, 1 do
                local edge = x == 0 or x == 3 or z == 0 or z == 3
                if edge and not (x == 0 and z == 1) then
                    put(player, spot(x, up, z), wall)
                end
            end
            put(player, spot(x, 2, z), "wool:white")
        end
    end
end)
at(2.2, function(player)
    local ground, door = spot(0, -1, 1), spot(0, 0, 1)
    local stack = ItemStack("doors:door_wood")
    local place = minetest.registered_items["doors:door_wood"].on_place
    place(stack, player, {type = "node", under = ground, above = door})
end)
at(3.2, function(player)
    player:set_pos(spot(-3, -0.5, 1))
    player:set_look_horizontal(-math.pi / 2)
end)
at(4.2, function(player)
    put(player, spot(6, 0, 6), wall)
    put(player, spot(6, 1, 6), wall)
end)
at(5.2, function(player)
    dig(player, spot(1, 2, 1))
end)
at(6.2, function(player)
    local first = basalt.site.houses[1].min
    dig(player, vector.new(unpack(first)))
end)
"""


def facts_after(env, seconds):
    for _ in range(round(seconds * 20)):
        *_, info = env.step({})
    return info["telemetry"].facts


def test_walls_roof_door_and_harm(staged_env):
    env = staged_env(SEED, HUT, task="build_village_house")
    _, info = env.reset(seed=SEED)
    facts = info["telemetry"].facts
    assert facts["house_blocks"] == 0 and not facts["house_enclosed"] and not facts["house_door"]

    facts = facts_after(env, 1.2)
    walls, roof = 22, 16
    assert (facts["house_blocks"], facts["loose_blocks"]) == (walls + roof, 0)
    assert facts["house_roof_share"] == 1 and not facts["house_enclosed"], "there is no door yet"
    assert facts["house_style_share"] == pytest.approx(walls / (walls + roof), abs=0.001)

    facts = facts_after(env, 1.0)
    assert facts["house_enclosed"] and facts["house_floor_area"] == 4
    assert facts["house_door"] and facts["house_door_reachable"]
    assert facts["house_sides_seen"] == 0 and not facts["house_in_view"]

    facts = facts_after(env, 1.0)
    assert facts["house_in_view"] and facts["house_sides_seen"] == 1

    facts = facts_after(env, 1.0)
    assert facts["loose_blocks"] == 2 and facts["house_enclosed"]

    facts = facts_after(env, 1.0)
    assert not facts["house_enclosed"] and facts["house_roof_share"] == 0.75
    assert facts["village_blocks_harmed"] == 0

    assert facts_after(env, 1.0)["village_blocks_harmed"] == 1


def test_blocks_that_are_placed_and_dug_by_hand():
    """Two blocks of dirt, one on the other, in front of the feet; the upper one is taken away."""
    env = basalt.worlds.make_env("build_village_house", size=(160, 90))
    try:
        env.reset(seed=SEED)
        actions = [{"hotbar.7": 1}, *[{"camera": [9.0, 0.0]}] * 5, {}, {"use": 1}, *[{}] * 5]
        actions += [*[{"camera": [-10.0, 0.0]}] * 2, {}, {"use": 1}, *[{}] * 5]
        for action in actions:
            *_, info = env.step(action)
        assert info["telemetry"].held == "dirt"
        assert info["telemetry"].facts["house_blocks"] == 2
        for _ in range(60):
            *_, info = env.step({"attack": 1})
            if info["telemetry"].facts["dug_nodes"]:
                break
        assert info["telemetry"].facts["house_blocks"] == 1
    finally:
        env.close()
