-- The player of an episode: where it starts, what it sees and carries, and counts of what it does.

local spawn, site = basalt.site.spawn, basalt.site

-- Damage is in points of health, by cause.
local function no_counts()
	return {dug_nodes = 0, dug_down = false, nodes_placed = 0, dead = false,
		damage_fall = 0, damage_lava = 0, damage_drown = 0, lava_steps = 0}
end

basalt.counts = no_counts()
basalt.changed = {}

local COLUMNS, ROWS = 9, 4

-- A jump rises 1.25 nodes, as in Minecraft; the game's 1.02 are too few to get onto a block without a run-up.
local JUMP = 1.11

if minetest.global_exists("sfinv") then
	sfinv.enabled = false
end

-- The game's image of eight slots, drawn again one slot (74 pixels) further: nine.
local HOTBAR = "[combine:670x78:0,0=gui_hotbar.png:74,0=gui_hotbar.png"

local function stand_at_spawn(player)
	player:set_pos({x = spawn[1], y = spawn[2] - 0.5, z = spawn[3]})
	player:set_look_horizontal(math.rad(-site.spawn_yaw) % (2 * math.pi))
	player:set_look_vertical(0)
end

-- The task's inventory, slot by slot, and nothing else.
local function give_things(player)
	local inventory, things = player:get_inventory(), {}
	for slot, thing in ipairs(basalt.config.inventory) do
		things[slot] = ItemStack({name = thing[1], count = thing[2]})
	end
	inventory:set_list("main", things)
	basalt.reset_crafting(player)
	inventory:set_list(basalt.OFFHAND, {})
end

minetest.register_on_joinplayer(function(player)
	local inventory = player:get_inventory()
	inventory:set_size("main", COLUMNS * ROWS)
	inventory:set_size(basalt.OFFHAND, 1)
	give_things(player)
	player:set_inventory_formspec(basalt.inventory_form)
	player:hud_set_hotbar_itemcount(COLUMNS)
	player:hud_set_hotbar_image(HOTBAR)
	player:hud_set_flags({minimap = false, minimap_radar = false, basic_debug = false})
	minetest.set_player_privs(player:get_player_name(), {interact = true})
	minetest.set_timeofday(0.5)
	player:set_physics_override({jump = JUMP})
	stand_at_spawn(player)
end)

-- Resets the player; called some steps before the episode, because the client must learn about it.
function basalt.begin(player)
	math.randomseed(site.seed)
	stand_at_spawn(player)
	give_things(player)
	player:set_hp(20)
	player:set_breath(11)
	basalt.counts = no_counts()
	basalt.changed = {}
end

-- Sprinting: the aux1 key makes the player faster.
local sprinting
minetest.register_globalstep(function()
	local player = minetest.get_player_by_name("singleplayer")
	if not player then
		return
	end
	local control = player:get_player_control()
	local now = control.aux1 and control.up and not control.sneak
	if now ~= sprinting then
		sprinting = now
		player:set_physics_override({speed = now and 1.3 or 1})
	end
end)

-- Natural ground only: picking a flower or a leaf is not digging.
local function is_ground(name)
	local groups = (minetest.registered_nodes[name] or {}).groups or {}
	return groups.soil or groups.stone or groups.sand or groups.cracky or groups.crumbly
end

minetest.register_on_dignode(function(pos, old, digger)
	if not (digger and digger:is_player()) then
		return
	end
	basalt.changed[minetest.hash_node_position(pos)] = true
	basalt.counts.dug_nodes = basalt.counts.dug_nodes + 1
	local feet = digger:get_pos()
	if is_ground(old.name) and pos.y < feet.y + 0.4 and minetest.get_node_light(pos, 0.5) == 15
		and math.abs(pos.x - feet.x) < 1.3 and math.abs(pos.z - feet.z) < 1.3 then
		basalt.counts.dug_down = true
	end
end)

minetest.register_on_placenode(function(pos, _, placer)
	if placer and placer:is_player() then
		basalt.changed[minetest.hash_node_position(pos)] = true
		basalt.counts.nodes_placed = basalt.counts.nodes_placed + 1
	end
end)

minetest.register_on_player_hpchange(function(player, change, reason)
	local cause = ({fall = "damage_fall", drown = "damage_drown"})[reason.type]
	if reason.type == "node_damage" and minetest.get_item_group(reason.node or "", "lava") > 0 then
		cause = "damage_lava"
	end
	if cause and change < 0 then
		basalt.counts[cause] = basalt.counts[cause] + math.min(-change, player:get_hp())
	end
end)

minetest.register_on_dieplayer(function()
	basalt.counts.dead = true
end)
