"""Animals and villagers: their shapes, and what they do in the real game."""

import json
import struct

import numpy as np
import pytest

from agents.demonstrator.agent import Demonstrator
from basalt.worlds import make_env
from tools import creatures, shapes


def chunks(data, start=0):
    """(tag, begin, end) of the chunks of a Blitz3D file side by side."""
    while start < len(data):
        tag, size = data[start : start + 4], struct.unpack_from("<i", data, start + 4)[0]
        yield tag, start + 8, start + 8 + size
        start += 8 + size


def test_the_files_in_the_mod_are_those_that_are_made():
    made = creatures.files()
    kept = {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for folder in ("models", "textures")
        for path in (creatures.MOD / folder).iterdir()
    }
    assert kept == made


def test_boxes_lie_on_the_sheet_and_bones_own_every_vertex():
    for creature in creatures.CREATURES:
        for part in creature.parts:
            for box in part.boxes:
                for u, v, width, height in shapes.faces(box).values():
                    assert u + width <= shapes.SHEET and v + height <= shapes.SHEET
        data = shapes.mesh(creature)
        assert data[:4] == b"BB3D" and len(data) == 8 + struct.unpack_from("<i", data, 4)[0]
        boxes = sum(len(part.boxes) for part in creature.parts)
        root = next(begin for tag, begin, _ in chunks(data[12:]) if tag == b"NODE") + 12
        inside = list(chunks(data[root + len(b"root\0") + 40 :]))
        bones = [chunk for chunk in inside if chunk[0] == b"NODE"]
        assert len(bones) == len(creature.parts)
        assert data.count(b"BONE") == len(creature.parts) and boxes > 0


# ---- in the game ----

SEED = 100_002
TASK = "create_village_animal_pen"
FENCE, CARROT = {"hotbar.1": 1}, {"hotbar.3": 1}

# On a free plot of the village: `at_plot(dx, dz)` is a place on it, `the(kind, n)` the n-th animal of a kind,
# `put(dx, dz, name)` lets the player place a node there, `bring(kind, n, dx, dz)` sets an animal there.
STAGE = """
    local plot = basalt.site.plots[1]
    local middle = vector.new((plot.min[1] + plot.max[1]) / 2, plot.min[2], (plot.min[3] + plot.max[3]) / 2)
    local function at_plot(dx, dz) return vector.offset(middle, dx, 0, dz) end
    local function the(kind, n)
        local list = {}
        for _, entity in pairs(minetest.luaentities) do
            if entity.name:find("basalt_world:" .. kind) then list[#list + 1] = entity end
        end
        table.sort(list, function(a, b) return a.id < b.id end)
        return list[n]
    end
    local function bring(kind, n, dx, dz)
        local one = the(kind, n)
        one.object:set_pos(vector.offset(at_plot(dx, dz), 0, -0.4, 0))
        one.home, one.doing, one.left = at_plot(dx, dz), "stand", 5
    end
    local function put(player, dx, dz, name)
        local above = at_plot(dx, dz)
        minetest.remove_node(above)
        minetest.item_place_node(ItemStack(name), player,
            {type = "node", above = above, under = vector.offset(above, 0, -1, 0)})
    end
    local function ring(player, r, gate)
        for dx = -r, r do for dz = -r, r do
            if math.max(math.abs(dx), math.abs(dz)) == r then
                put(player, dx, dz, gate and dx == r and dz == 0 and "doors:gate_wood_closed"
                    or "default:fence_wood")
            end
        end end
    end
    local function stand(player, dx, dz) player:set_pos(vector.offset(at_plot(dx, dz), 0, -0.5, 0)) end
"""


def play(env, n, action):
    for _ in range(n):
        *_, info = env.step(action)
    return info["telemetry"]


def away(state, kind):
    """How far each animal of a kind is from the player, seen from above."""
    herd = [animal.position for animal in state.animals if animal.kind == kind]
    return [float(np.hypot(x - state.xpos, z - state.zpos)) for x, _, z in herd]


@pytest.mark.engine
def test_animals_follow_their_food_and_nothing_else(staged_env):
    env = staged_env(
        SEED,
        STAGE
        + """
        at(1, function(p)
            stand(p, 4, 0)
            bring("pig", 1, -3, -2) bring("pig", 2, -3, 1) bring("sheep", 1, -3, 3)
        end)
        """,
        TASK,
    )
    env.reset(seed=SEED)
    play(env, 20, FENCE)
    state = play(env, 110, CARROT)
    assert sorted(away(state, "pig"))[1] < 2.6
    assert min(away(state, "sheep")) > 3
    assert state.facts["pens"] == 0 and state.facts["pen_animals"] == ""


@pytest.mark.engine
def test_who_is_hit_runs_and_who_dies_drops(staged_env):
    env = staged_env(
        SEED,
        STAGE
        + """
        local function hit(player, victim, damage)
            victim.object:punch(player, 2, {full_punch_interval = 1, damage_groups = {fleshy = damage}})
        end
        at(1, function(p) stand(p, 0, 0) bring("cow", 1, 2, 0) bring("chicken", 1, -3, 0) end)
        at(2, function(p) hit(p, the("cow", 1), 1) hit(p, the("villager", 1), 1) end)
        at(4, function(p) hit(p, the("chicken", 1), 9) end)
        at(4.5, function(p)
            local dropped = {}
            for _, entity in pairs(minetest.luaentities) do
                if entity.name == "__builtin:item" then dropped[#dropped + 1] = entity.itemstring end
            end
            table.sort(dropped)
            basalt.write_json("dropped.json", dropped)
        end)
        """,
        TASK,
    )
    env.reset(seed=SEED)
    before = play(env, 25, FENCE)
    after = play(env, 40, FENCE)
    assert (after.facts["animal_hits"], after.facts["villager_hits"]) == (1, 1)
    assert min(away(after, "cow")) > min(away(before, "cow")) + 2.5
    end = play(env, 40, FENCE)
    assert (end.facts["animal_hits"], end.facts["animals_killed"]) == (2, 1)
    assert len(away(end, "chicken")) == len(away(before, "chicken")) - 1
    dropped = json.loads((env.display.folder / "world" / "dropped.json").read_text())
    assert dropped == ["basalt_world:chicken", "basalt_world:feather"]


@pytest.mark.engine
def test_a_pen_holds_animals_until_its_gate_is_opened(staged_env):
    """Pigs want to the carrot outside, first through the fence, then through the gate."""
    env = staged_env(
        SEED,
        STAGE
        + """
        at(1, function(p)
            stand(p, 5, 0)
            ring(p, 3, true)
            bring("pig", 1, 1, 1) bring("pig", 2, -1, -1) bring("cow", 1, 0, 9)
        end)
        at(9, function(p)
            local gate = at_plot(3, 0)
            minetest.registered_nodes["doors:gate_wood_closed"].on_rightclick(gate,
                minetest.get_node(gate), p, ItemStack(""))
        end)
        at(16, function() bring("cow", 1, 0, 0) bring("pig", 1, 1, 1) bring("pig", 2, 1, 0) end)
        """,
        TASK,
    )
    env.reset(seed=SEED)
    state = play(env, 22, CARROT)
    facts = state.facts
    assert (facts["pens"], facts["pen_animals"], facts["pen_size"]) == (1, "pig 2", 25)
    assert facts["pen_gate"] and facts["pen_gate_closed"]
    state = play(env, 120, CARROT)
    assert state.facts["pen_animals"] == "pig 2", "no way through the fence"
    assert min(away(state, "pig")) < 4, "they came to the fence"
    state = play(env, 120, CARROT)
    assert state.facts["pen_gate"] and not state.facts["pen_gate_closed"]
    assert state.facts["pen_animals"] == "", "they went through the gate"
    state = play(env, 60, FENCE)
    assert state.facts["pen_animals"] == "cow 1, pig 2" and state.facts["pen_kinds"] == 2


@pytest.mark.engine
def test_what_encloses_nothing_is_no_pen_and_harm_is_counted(staged_env):
    env = staged_env(
        SEED,
        STAGE
        + """
        at(1, function(p) stand(p, 5, 0) ring(p, 3, false) bring("pig", 1, 1, 1) end)
        at(2, function(p) minetest.node_dig(at_plot(3, 3), minetest.get_node(at_plot(3, 3)), p) end)
        at(3, function(p) minetest.node_dig(at_plot(3, 2), minetest.get_node(at_plot(3, 2)), p) end)
        local b = basalt.site.blocks
        local function dig(p, k)
            local pos = vector.new(b[k], b[k + 1], b[k + 2])
            minetest.load_area(pos)
            minetest.node_dig(pos, minetest.get_node(pos), p)
        end
        at(4, function(p) dig(p, 1) dig(p, 1) dig(p, 4) end)
        """,
        TASK,
    )
    env.reset(seed=SEED)
    facts = play(env, 22, FENCE).facts
    assert (facts["pens"], facts["pen_gate"], facts["pen_animals"]) == (1, False, "pig 1")
    facts = play(env, 20, FENCE).facts
    assert facts["pens"] == 0, "between two fences that touch at a corner is a gap"
    facts = play(env, 20, FENCE).facts
    assert facts["pens"] == 0 and facts["village_blocks_harmed"] == 0
    facts = play(env, 20, FENCE).facts
    assert facts["village_blocks_harmed"] == 2


# ---- sameness ----


def demonstrated(n):
    """Telemetry of that many steps of the demonstrator in a game of its own."""
    env = make_env(TASK, size=(160, 90))
    try:
        player = Demonstrator(knowing=True)
        observation, info = env.reset(seed=SEED)
        told = [info["telemetry"]]
        for step in range(n):
            player.observe([info])
            action = player.act(observation["pov"][None], np.array([step == 0]))[0]
            observation, *_, info = env.step(action)
            told.append(info["telemetry"])
        return told
    finally:
        env.close()


@pytest.mark.engine
def test_animals_and_villagers_go_the_same_ways_again():
    first, second = demonstrated(120), demonstrated(120)
    assert first == second
    moved = [
        float(np.linalg.norm(np.subtract(a.position, b.position))) > 0.5
        for a, b in zip(first[0].animals, first[-1].animals, strict=True)
    ]
    assert sum(moved) >= 4, "they do move"
