-- What the referee knows, written to telemetry.json after every server step (always the same file, padded, so
-- that the end of a longer record never remains).
--
-- What tasks/TASK/play.lua returns, each optional:
-- begin(player): the episode begins, some steps before step 0; called after basalt.begin
-- step(player, dtime): called in every server step from then on, before the record is written
-- facts(player, feet): the task's own facts of telemetry, {name = boolean, number or text}; `feet` is the node of
--     the feet. basalt.counts and basalt.changed (player.lua) are what the player did to the map.
--     Those named in PARTS are lists, and parts of telemetry of their own.

local path = minetest.get_worldpath()
local out = assert(io.open(path .. "/telemetry.json", "wb"))
local step, uptime, walked, last = 0, 0, 0, nil
local written = 0

local PARTS = {"animals", "villagers", "placed_at"}
local OFFHAND_SLOT = 40     -- Minecraft's number; 0 to 35 are the others

local function carried(inventory)
	local items = {}
	for list, first in pairs({main = 0, [basalt.OFFHAND] = OFFHAND_SLOT}) do
		for k, stack in ipairs(inventory:get_list(list) or {}) do
			if not stack:is_empty() then
				items[#items + 1] = {type = stack:get_name(), quantity = stack:get_count(), slot = first + k - 1}
			end
		end
	end
	table.sort(items, function(a, b) return a.slot < b.slot end)
	return items
end

local function stands(pos, velocity)
	if math.abs(velocity.y) > 0.1 then
		return false
	end
	for ox = -0.29, 0.29, 0.29 do
		for oz = -0.29, 0.29, 0.29 do
			local under = {x = pos.x + ox, y = pos.y - 0.05, z = pos.z + oz}
			local def = minetest.registered_nodes[minetest.get_node(under).name]
			if def and def.walkable ~= false then
				return true
			end
		end
	end
	return false
end

local function facts(player, feet)
	local all = {}
	for name, value in pairs(basalt.counts) do
		all[name] = value
	end
	all.dead = nil     -- a part of telemetry of its own
	for name, value in pairs(basalt.task.facts and basalt.task.facts(player, feet) or {}) do
		all[name] = value
	end
	return all
end

local function record(player)
	local pos, velocity = player:get_pos(), player:get_velocity()
	local feet = vector.round({x = pos.x, y = pos.y + 0.5, z = pos.z})
	local head = {x = feet.x, y = feet.y + 1, z = feet.z}
	if last then
		walked = walked + math.sqrt((pos.x - last.x) ^ 2 + (pos.z - last.z) ^ 2)
	end
	last = pos
	local inventory = player:get_inventory()
	if step > 0 and (basalt.is_lava(feet) or basalt.is_lava(head)) then
		basalt.counts.lava_steps = basalt.counts.lava_steps + 1
	end
	local own = facts(player, feet)
	local state = {
		step = step, uptime = uptime,
		x = pos.x, y = pos.y, z = pos.z,
		yaw = -math.deg(player:get_look_horizontal()), pitch = math.deg(player:get_look_vertical()),
		health = player:get_hp(), breath = player:get_breath(),
		hotbar = player:get_wield_index() - 1, held = player:get_wielded_item():get_name(),
		inventory = carried(inventory),
		on_ground = stands(pos, velocity),
		in_liquid = basalt.is_liquid(feet) or basalt.is_liquid(head),
		light = minetest.get_node_light(head) or 0,
		daylight = minetest.get_natural_light(head, 0.5) or 0,
		under_roof = basalt.roof_above(head) ~= nil,
		distance_walked = walked,
		dead = basalt.counts.dead or player:get_hp() <= 0,
		facts = own,
	}
	for _, part in ipairs(PARTS) do
		state[part], own[part] = own[part], nil
	end
	return state
end

local function write(value)
	local text = minetest.write_json(value)
	local missing = written - #text
	written = #text
	out:seek("set")
	out:write(text, missing > 0 and (" "):rep(missing) or "")
	out:flush()
end

-- The client needs some steps to learn its position; it is sent once, before step 0.
local STEPS_BEFORE = 10
local STEPS_TO_LOOK_FOR_LAND = 10

local begun
minetest.register_globalstep(function(dtime)
	uptime = uptime + dtime
	local player = minetest.get_player_by_name("singleplayer")
	if not player then
		return
	end
	if not begun then
		local file = io.open(path .. "/begin", "r")
		if not file then
			basalt.look_for_land()
			write({waiting = true, uptime = uptime, refused = basalt.apply_edit()})
			return
		end
		file:close()
		if not basalt.liquids_moved() then
			write({waiting = true, uptime = uptime})
			return
		end
		begun = true
		basalt.begin(player)
		if basalt.task.begin then
			basalt.task.begin(player)
		end
		step = -STEPS_BEFORE - 1
	end
	step = step + 1
	if step == 0 then
		walked, last = 0, nil
	end
	if step % STEPS_TO_LOOK_FOR_LAND == 0 then
		basalt.look_for_land()
	end
	basalt.use_keys(player)
	basalt.sight.look(player)
	if basalt.task.step then
		basalt.task.step(player, dtime)
	end
	write(record(player))
end)
