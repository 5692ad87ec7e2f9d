"""Facts about harm, damage and what is in view, each made to happen in the real game."""

import numpy as np
import pytest

from basalt.core.tasks import TASKS
from tests.basalt.worlds.luanti.test_luanti_creatures import STAGE
from tests.support.world_behaviour import SEED

pytestmark = pytest.mark.engine

VILLAGE_SEED = 100_002
PEN, HOUSE = "create_village_animal_pen", "build_village_house"
NO_HARM = [
    "villager_hits", "villagers_killed", "animal_hits", "animals_killed", "village_blocks_harmed",
    "village_blocks_missing", "village_blocks_replaced", "doors_blocked", "street_blocked",
    "villagers_confined",
]  # fmt: skip


def play(env, n, action=None):
    for _ in range(n):
        *_, info = env.step(action or {})
    return info["telemetry"]


@pytest.mark.parametrize("task", TASKS)
def test_what_is_reported_is_declared_and_nothing_has_happened(staged_env, task):
    env = staged_env(SEED, "", task)
    _, info = env.reset(seed=SEED)
    state = play(env, 30)
    assert set(info["telemetry"].facts) == set(state.facts) == set(TASKS[task].facts)
    causes = [f"damage_{cause}" for cause in ("fall", "lava", "drown")]
    assert not any(state.facts[name] for name in [*causes, "lava_steps"])
    if TASKS[task].village:
        assert not any(state.facts[name] for name in NO_HARM)
        assert len(state.animals) == 12 and len(state.villagers) == 5
        assert state.facts["in_village"] and state.facts["distance_to_house"] > 3


def test_damage_is_counted_by_its_cause(staged_env):
    env = staged_env(
        SEED,
        """
        local function fill(p, name)
            local feet = vector.round(vector.offset(p:get_pos(), 0, 0.5, 0))
            minetest.set_node(feet, {name = name})
            minetest.set_node(vector.offset(feet, 0, 1, 0), {name = name})
        end
        at(0.5, function(p) p:set_pos(vector.offset(p:get_pos(), 0, 9, 0)) end)
        at(4, function(p) p:set_hp(20) fill(p, "default:lava_source") end)
        -- Out of the lava before the test looks: how often it burns depends on the engine's own seconds.
        at(5.3, function(p) fill(p, "air") p:set_pos(vector.offset(p:get_pos(), 30, 40, 0)) end)
        local function cell(p, filling)
            local feet = vector.round(p:get_pos())
            for x = -1, 1 do for z = -1, 1 do for y = -1, 3 do
                local inside = x == 0 and z == 0 and y > -1
                minetest.set_node(vector.offset(feet, x, y, z), {name = inside and filling or "default:glass"})
            end end end
        end
        at(5.4, function(p) cell(p, "air") end)
        at(6.5, function(p) p:set_hp(20) cell(p, "default:water_source") p:set_breath(0) end)
        """,
    )
    env.reset(seed=SEED)
    state = play(env, 65)
    fell = state.facts["damage_fall"]
    assert fell == 20 - state.health > 0
    state = play(env, 45)
    burnt = state.facts["damage_lava"]
    assert burnt == 20 - state.health > 0
    assert 20 < state.facts["lava_steps"] < 32
    state = play(env, 114)
    drowned = state.facts["damage_drown"]
    assert drowned == 20 - state.health > 0 and state.in_liquid
    assert (state.facts["damage_fall"], state.facts["damage_lava"]) == (fell, burnt)


def test_the_mouth_of_a_cave_comes_into_view_and_goes_out_of_it(staged_env):
    env = staged_env(
        SEED,
        """
        local site, k, before = basalt.site, 1, 6
        local function on_path(n) return vector.new(unpack(site.path[n])) end
        local mouth = vector.new(unpack(site.mouth))
        while not vector.equals(on_path(k), mouth) do
            k = k + 1
        end
        local function another_is_nearer(place)
            for _, other in ipairs(site.mouths) do
                if vector.distance(place, vector.new(unpack(other))) < vector.distance(place, mouth) then
                    return true
                end
            end
        end
        while another_is_nearer(on_path(k - before)) do
            before = before - 1
        end
        local from = on_path(k - before)
        -- Frees the line from the eyes to the head of somebody in the mouth.
        local function clear(p)
            local eyes = vector.offset(from, 0, p:get_properties().eye_height - 0.5, 0)
            for thing in minetest.raycast(eyes, vector.offset(mouth, 0, 1, 0), false, false) do
                minetest.remove_node(thing.under)
            end
        end
        local function turn(p, further)
            local way = vector.subtract(mouth, from)
            p:set_pos(vector.offset(from, 0, -0.5, 0))
            p:set_look_horizontal(math.atan2(-way.x, way.z) + further)
            p:set_look_vertical(math.atan2(-way.y, math.hypot(way.x, way.z)))
        end
        at(1, function(p) clear(p) turn(p, 0) end)
        at(2, function(p) turn(p, math.pi) end)
        at(3, function(p)
            turn(p, 0)
            for x = -2, 2 do for z = -2, 2 do for y = -3, 3 do
                if math.max(math.abs(x), math.abs(z)) == 2 or y == 3 then
                    minetest.set_node(vector.offset(from, x, y, z), {name = "default:stone"})
                end
            end end end
        end)
        """,
    )
    _, info = env.reset(seed=SEED)
    assert info["site"]["mouths"][0] == info["site"]["mouth"]
    first = info["telemetry"].facts
    assert not first["mouth_in_view"] and first["mouth_number"] == 0, "it is hidden at the start"
    facts = play(env, 26).facts
    assert facts["mouth_in_view"] and facts["mouth_number"] == 1
    assert play(env, 20).facts["mouth_number"] != 1, "behind the player"
    facts = play(env, 26).facts
    assert not facts["mouth_in_view"] and facts["mouth_number"] == 0, "walled in"


@pytest.mark.parametrize("size", [(160, 90), (96, 96)])
def test_an_animal_is_in_view_by_the_large_frame_and_a_free_line(staged_env, size):
    """One 45 degrees to the right of where the player looks is inside a frame of 640x360, whatever size is played."""
    env = staged_env(
        VILLAGE_SEED,
        STAGE
        + """
        local function wall(p, name)
            for dz = -4, 4 do for up = 0, 3 do
                minetest.set_node(vector.offset(at_plot(1, dz), 0, up, 0), {name = name})
            end end
        end
        local function turn(p, degrees) p:set_look_horizontal(math.rad(-90 + degrees)) end
        at(1, function(p) stand(p, -4, 0) turn(p, 0) p:set_look_vertical(0.2) end)
        for k = 0, 60 do at(1 + k / 10, function() bring("pig", 1, 4, 0) the("pig", 1).left = 20 end) end
        at(2.1, function(p) turn(p, 45) end)
        at(2.6, function(p) turn(p, 60) end)
        at(3.1, function(p) turn(p, 0) wall(p, "wool:white") end)
        at(4.1, function(p) wall(p, "default:glass") end)
        """,
        PEN,
        size,
    )
    _, info = env.reset(seed=VILLAGE_SEED)
    number = min(one.id for one in info["telemetry"].animals if one.kind == "pig")

    def seen(n):
        state = play(env, n)
        assert state.facts["animals_in_view"] == sum(one.in_view for one in state.animals)
        return next(one.in_view for one in state.animals if one.id == number)

    assert seen(29)
    assert seen(10), "at 45 degrees"
    assert not seen(10), "at 60 degrees"
    assert not seen(20), "behind a wall"
    assert seen(25), "behind glass"


def test_villagers_that_are_hit_and_killed(staged_env):
    """In the task of the house too, which did not report animals before."""
    env = staged_env(
        VILLAGE_SEED,
        STAGE
        + """
        local function hit(p, victim, damage)
            victim.object:punch(p, 2, {full_punch_interval = 1, damage_groups = {fleshy = damage}})
        end
        at(1, function(p) hit(p, the("villager", 1), 1) hit(p, the("cow", 1), 1) end)
        at(2, function(p) hit(p, the("villager", 1), 30) hit(p, the("cow", 2), 30) end)
        """,
        HOUSE,
    )
    env.reset(seed=VILLAGE_SEED)
    facts = play(env, 25).facts
    assert (facts["villager_hits"], facts["villagers_killed"]) == (1, 0)
    assert (facts["animal_hits"], facts["animals_killed"]) == (1, 0)
    state = play(env, 20)
    assert (state.facts["villager_hits"], state.facts["villagers_killed"]) == (2, 1)
    assert (state.facts["animal_hits"], state.facts["animals_killed"]) == (2, 1)
    assert len(state.villagers) == 4 and len(state.animals) == 11


def test_poured_water_replaces_what_it_washes_away(staged_env):
    """The player's hand broke nothing, so `village_blocks_harmed` stays 0."""
    env = staged_env(
        VILLAGE_SEED,
        """
        local farm = basalt.site.farms[1]
        local outside = vector.new(unpack(basalt.site.houses[1].outside))
        local function pour(p, pos)
            p:set_pos(vector.offset(pos, 0, 3, 0))
            local bucket = minetest.registered_items["bucket:bucket_water"]
            bucket.on_place(ItemStack("bucket:bucket_water"), p, {type = "node", under = pos, above = pos})
        end
        at(0.5, function(p)
            local crops = minetest.find_nodes_in_area(vector.new(unpack(farm.min)),
                vector.new(farm.max[1], farm.max[2] + 1, farm.max[3]), {"group:wheat", "group:plant"})
            pour(p, crops[1])
        end)
        at(1.5, function(p)
            local torches = minetest.find_nodes_in_area(vector.offset(outside, -2, 0, -2),
                vector.offset(outside, 2, 2, 2), {"default:torch_wall"})
            local facing = basalt.site.houses[1].facing
            pour(p, vector.add(torches[1], vector.new(unpack(facing))))
        end)
        at(6, function() minetest.remove_node(vector.new(unpack(basalt.site.lamps[1]))) end)
        at(7, function()
            local place = vector.new(unpack(basalt.site.lamps[1]))
            minetest.set_node(place, {name = "default:dirt"})
        end)
        """,
        PEN,
    )
    env.reset(seed=VILLAGE_SEED)
    facts = play(env, 12).facts
    assert (facts["village_blocks_replaced"], facts["village_blocks_missing"]) == (1, 0)
    facts = play(env, 90).facts
    washed = facts["village_blocks_replaced"]
    assert washed >= 2 and facts["village_blocks_missing"] == 0, "a torch was washed away"
    facts = play(env, 20).facts
    assert (facts["village_blocks_replaced"], facts["village_blocks_missing"]) == (washed, 1)
    facts = play(env, 20).facts
    assert (facts["village_blocks_replaced"], facts["village_blocks_missing"]) == (washed + 1, 0)
    assert facts["village_blocks_harmed"] == 0


def test_what_the_hand_takes_away_and_puts_back_is_harm_but_not_missing(staged_env):
    env = staged_env(
        VILLAGE_SEED,
        """
        local place = vector.new(unpack(basalt.site.lamps[1]))
        local name
        at(1, function(p)
            minetest.load_area(place)
            name = minetest.get_node(place).name
            minetest.node_dig(place, minetest.get_node(place), p)
        end)
        at(2, function(p)
            minetest.item_place_node(ItemStack(name), p, {type = "node", under = place, above = place})
        end)
        """,
        PEN,
    )
    env.reset(seed=VILLAGE_SEED)
    facts = play(env, 25).facts
    assert (facts["village_blocks_harmed"], facts["village_blocks_missing"]) == (1, 1)
    facts = play(env, 20).facts
    assert (facts["village_blocks_harmed"], facts["village_blocks_missing"]) == (1, 0)


def test_doors_and_the_street_are_blocked_and_freed(staged_env):
    env = staged_env(
        VILLAGE_SEED,
        """
        local house = basalt.site.houses[1]
        local door, outside = vector.new(unpack(house.door)), vector.new(unpack(house.outside))
        local beside = vector.new(unpack(house.outside)) + vector.new(house.facing[3], 0, house.facing[1])
        local street, along_x = basalt.site.street, basalt.site.axis == "x"
        local place = vector.new(unpack(street[12]))
        local function across(s) return vector.offset(place, along_x and 0 or s, 0, along_x and s or 0) end
        local function put(pos, name) minetest.set_node(pos, {name = name}) end
        at(0.5, function(p)
            minetest.load_area(door)
            local node = minetest.get_node(door)
            minetest.registered_nodes[node.name].on_rightclick(door, node, p, ItemStack(""))
            put(beside, "default:cobble")
            put(place, "default:fence_wood")
        end)
        at(1.5, function(p)
            put(outside, "default:cobble")
            for s = -3, 3 do put(across(s), "default:fence_wood") end
        end)
        at(2.5, function(p)
            put(outside, "air")
            minetest.remove_node(across(-1))
        end)
        """,
        PEN,
    )
    env.reset(seed=VILLAGE_SEED)
    facts = play(env, 15).facts
    assert (facts["doors_blocked"], facts["street_blocked"]) == (0, 0), "beside, and around it"
    assert facts["village_blocks_replaced"] == 0, "an open door is still that door"
    facts = play(env, 20).facts
    assert facts["doors_blocked"] == 1 and facts["street_blocked"] in (1, 2)
    facts = play(env, 20).facts
    assert (facts["doors_blocked"], facts["street_blocked"]) == (0, 0)


def test_a_villager_that_is_walled_in_is_confined_until_there_is_a_gap(staged_env):
    env = staged_env(
        VILLAGE_SEED,
        STAGE
        + """
        at(1, function(p) bring("villager", 1, 0, 0) end)
        at(2.5, function(p) bring("villager", 1, 0, 0) ring(p, 2, false) end)
        at(5, function(p) minetest.remove_node(at_plot(2, 0)) end)
        """,
        PEN,
    )
    env.reset(seed=VILLAGE_SEED)
    assert play(env, 28).facts["villagers_confined"] == 0
    assert play(env, 55).facts["villagers_confined"] == 1
    state = play(env, 25)
    assert state.facts["villagers_confined"] == 0
    assert state.facts["village_blocks_missing"] == state.facts["village_blocks_replaced"] == 0


def test_the_player_comes_to_a_house_and_leaves_the_village(staged_env):
    env = staged_env(
        VILLAGE_SEED,
        """
        at(1, function(p)
            local place = vector.new(unpack(basalt.site.houses[1].outside))
            p:set_pos(vector.offset(place, 0, -0.5, 0))
        end)
        at(2, function(p)
            local x, y, z = unpack(basalt.site.spawn)
            local along_x = basalt.site.axis == "x"
            p:set_pos(vector.new(along_x and x or x + 30, y + 20, along_x and z + 30 or z))
        end)
        """,
        PEN,
    )
    env.reset(seed=VILLAGE_SEED)
    state = play(env, 24)
    assert state.facts["in_village"] and state.facts["distance_to_house"] == pytest.approx(
        1, abs=0.5
    )
    state = play(env, 19)
    assert not state.facts["in_village"] and state.facts["distance_to_house"] > 15


def test_water_that_does_not_fall_is_in_view_where_it_is_looked_at(staged_env):
    env = staged_env(
        SEED,
        """
        local x, y, z = unpack(basalt.site.spawn)
        local place = vector.new(x, y, z + 3)
        at(0.5, function(p)
            p:set_look_horizontal(0)
            p:set_look_vertical(0.3)
            for up = 0, 3 do minetest.remove_node(vector.offset(place, 0, up, 0)) end
            for ox = -1, 1 do for oz = -1, 1 do
                minetest.set_node(vector.offset(place, ox, -1, oz), {name = "default:stone"})
            end end
            local bucket = minetest.registered_items["bucket:bucket_water"]
            local under = vector.offset(place, 0, -1, 0)
            bucket.on_place(ItemStack("bucket:bucket_water"), p, {type = "node", under = under, above = place})
        end)
        at(1.5, function(p) p:set_look_horizontal(math.pi) end)
        """,
        "make_waterfall",
    )
    _, info = env.reset(seed=SEED)
    assert not info["telemetry"].facts["water_in_view"]
    facts = play(env, 20).facts
    assert facts["water_poured"] == 1 and facts["water_in_view"]
    assert not facts["water_falling_in_view"]
    assert not play(env, 20).facts["water_in_view"]


@pytest.mark.long
def test_equal_actions_give_equal_facts(staged_env):
    """In a village that is looked at, hit, dug and built over, three times."""
    rng = np.random.default_rng(5)
    actions = [
        {
            "forward": int(rng.random() < 0.7), "attack": int(rng.random() < 0.5),
            "use": int(rng.random() < 0.2), "camera": rng.normal(0, 6, 2),
        }
        for _ in range(200)
    ]  # fmt: skip
    env = staged_env(VILLAGE_SEED, "", PEN)
    runs = []
    for _ in range(3):
        _, info = env.reset(seed=VILLAGE_SEED)
        runs.append([info["telemetry"], *(env.step(action)[-1]["telemetry"] for action in actions)])
    assert runs[0] == runs[1] == runs[2]
    seen = [state.facts["animals_in_view"] + state.facts["villagers_in_view"] for state in runs[0]]
    assert len(set(seen)) > 1
