-- The site of a village: finds flat, dry land, builds a street with houses, farms, a well and free plots there,
-- and lists where everything is.
--
-- Places are measured along the street (u) and across it (s) from the village's middle; the street winds.

local ground = basalt.load("village/ground")

local HALF_LENGTH, HALF_WIDTH = 47, 24   -- size of the village's ground, from its middle
local MARGIN = 12                        -- strip in which the village's ground blends into the land
local SLOT = 13                          -- length of street for one house or farm
local SLOTS = 6                          -- number on each side of the street
local SETBACK = 5                        -- distance from the street's middle to the fronts
local YARD = 8                           -- depth of the level ground behind a house
local MAX_RANGE = 12                     -- largest difference of heights in land for a village
local WELL = 43                          -- distance from the village's middle, along the street

-- The village's frame of reference at a place.
local function village_frame(centre, axis)
	local f = {centre = centre, axis = axis}
	function f.world(u, s)
		if axis == "x" then
			return centre.x + u, centre.z + s
		end
		return centre.x + s, centre.z + u
	end
	function f.across(sign)
		return axis == "x" and {x = 0, z = sign} or {x = sign, z = 0}
	end
	return f
end

-- The flattest dry place near the middle of the land, or nil.
local function choose_place(v, rng)
	local mx, mz = (v.min.x + v.max.x + 1) / 2, (v.min.z + v.max.z + 1) / 2
	local best
	for _, axis in ipairs(rng:next(0, 1) == 0 and {"x", "z"} or {"z", "x"}) do
		for ox = -24, 24, 12 do
			for oz = -24, 24, 12 do
				local f = village_frame({x = mx + ox, z = mz + oz}, axis)
				local _, wet, range = ground.heights(v, f, HALF_LENGTH + 4, HALF_WIDTH + 4)
				local badness = range + math.max(math.abs(ox), math.abs(oz)) / 6
				if wet == 0 and range <= MAX_RANGE and (not best or badness < best.badness) then
					best = {frame = f, badness = badness, range = range}
				end
			end
		end
	end
	return best
end

local function shuffled(list, rng)
	for k = #list, 2, -1 do
		local n = rng:next(1, k)
		list[k], list[n] = list[n], list[k]
	end
	return list
end

-- The layout: slots of kind "house", "farm" or "plot" on both sides of the street.
local function lay_out(rng, middle)
	local kinds = {}
	for k = 1, 2 * SLOTS do
		kinds[k] = k <= 8 and "house" or k <= 10 and "farm" or "plot"
	end
	shuffled(kinds, rng)
	local types = shuffled({1, 2, 2, 3, 3, 4, 4, 5}, rng)
	local slots = {}
	for k, kind in ipairs(kinds) do
		local side = k <= SLOTS and 1 or -1
		local nth = (k - 1) % SLOTS
		local u = math.floor(-SLOTS * SLOT / 2 + nth * SLOT + SLOT / 2 + (side == 1 and 2 or -2))
		local slot = {kind = kind, u = u, side = side}
		if kind == "house" then
			slot.house = basalt.house_types[table.remove(types)]
			slot.width, slot.depth = slot.house.width, slot.house.depth
			slot.u = u + rng:next(-1, 1)
			slot.setback = SETBACK + rng:next(0, 1)
		elseif kind == "farm" then
			slot.width, slot.depth, slot.setback = 9, 9, SETBACK
		else
			slot.width, slot.depth, slot.setback = 11, 11, SETBACK - 1
		end
		slot.front = middle(slot.u) + side * slot.setback
		slots[#slots + 1] = slot
	end
	return slots
end

-- Calls visit(u, s) for a slot's ground with an edge around it, optionally including the yard behind it.
local function each_of_slot(slot, edge, visit, with_yard)
	local left = slot.u - math.floor(slot.width / 2)
	local yard = with_yard and slot.kind == "house" and YARD or 0
	for u = left - edge, left + slot.width - 1 + edge do
		for b = -edge, slot.depth - 1 + edge + yard do
			visit(u, slot.front + slot.side * b)
		end
	end
end

-- The entry of a building in the site.
local function entry_of(building)
	local a, b = building.corners[1], building.corners[2]
	return {
		min = vector.new(math.min(a.x, b.x), a.y, math.min(a.z, b.z)),
		max = vector.new(math.max(a.x, b.x), a.y, math.max(a.z, b.z)),
		door = building.door, outside = building.outside, facing = building.facing,
		kind = building.kind, height = building.height,
	}
end

-- The positions of a set as one flat list x, y, z, x, y, z, ...
local function packed(set)
	local list = {}
	for _, pos in pairs(set) do
		list[#list + 1] = pos
	end
	table.sort(list, function(p, q)
		if p.x ~= q.x then return p.x < q.x end
		if p.z ~= q.z then return p.z < q.z end
		return p.y < q.y
	end)
	local flat = {}
	for _, pos in ipairs(list) do
		table.insert(flat, pos.x)
		table.insert(flat, pos.y)
		table.insert(flat, pos.z)
	end
	return flat
end

-- The builder: sets nodes, and remembers the village's nodes and the occupied ground.
local function works_on(f, style, heights, middle, rng)
	local w = {f = f, style = style, heights = heights, middle = middle, rng = rng, blocks = {}}
	local taken = {}
	function w.set(pos, name, param2)
		minetest.swap_node(pos, {name = name, param2 = param2})
		w.blocks[minetest.hash_node_position(pos)] = name ~= "air" and pos or nil
	end
	function w.take(u, s)
		taken[u * 1000 + s] = true
	end
	function w.is_free(u, s)
		return not taken[u * 1000 + s]
	end
	function w.clear(u, s, y, height)
		local x, z = f.world(u, s)
		for up = 1, height do
			minetest.swap_node({x = x, y = y + up, z = z}, {name = "air"})
		end
	end
	function w.pave(u, s)
		local x, z = f.world(u, s)
		w.clear(u, s, heights[u][s], 1)
		w.set({x = x, y = heights[u][s], z = z}, style.street[rng:next(1, #style.street)])
		w.take(u, s)
	end
	function w.frame(u, s, y, into)
		local x, z = f.world(u, s)
		return basalt.frame({x = x, y = y, z = z}, into, w.set)
	end
	return w
end

-- Paves the street. Returns places along its middle, from one end to the other.
local function build_street(w)
	local street = {}
	for u = -HALF_LENGTH, HALF_LENGTH do
		local m = w.middle(u)
		for s = m - 1, m + 1 do
			w.pave(u, s)
		end
		if u % 3 == 0 then
			local x, z = w.f.world(u, m)
			street[#street + 1] = vector.new(x, w.heights[u][m] + 1, z)
		end
	end
	return street
end

local function build_slot(w, slot, site)
	local into = w.f.across(slot.side)
	-- Seen from the street, `a` grows to the right.
	local right = w.f.axis == "x" and into.z or -into.x
	local left = slot.u - right * math.floor(slot.width / 2)
	local frame = w.frame(left, slot.front, slot.y, into)
	each_of_slot(slot, 1, function(u, s)
		w.take(u, s)
		w.clear(u, s, slot.y, 2)
	end)
	if slot.kind == "house" then
		local house = basalt.build_house(frame, w.style, slot.house, w.rng)
		table.insert(site.houses, entry_of(house))
		-- A path from the door to the street.
		local c = w.f.centre
		local door_u = w.f.axis == "x" and house.door.x - c.x or house.door.z - c.z
		for s = slot.front - slot.side, w.middle(door_u) + 2 * slot.side, -slot.side do
			w.pave(door_u, s)
		end
	elseif slot.kind == "farm" then
		table.insert(site.farms, entry_of(basalt.build_farm(frame, w.style, slot.width, slot.depth, w.rng)))
	else
		table.insert(site.plots, entry_of({
			corners = {frame.at(0, 1, 0), frame.at(slot.width - 1, 1, slot.depth - 1)},
			facing = {x = -into.x, y = 0, z = -into.z},
		}))
	end
end

local function build_lamps(w)
	local lamps = {}
	for u = 9 - HALF_LENGTH, HALF_LENGTH - 9, 12 do
		local side = math.floor(u / 12) % 2 == 0 and 1 or -1
		for _, s in ipairs({w.middle(u) + 3 * side, w.middle(u) - 3 * side}) do
			if w.is_free(u, s) then
				lamps[#lamps + 1] = basalt.build_lamp(
					w.frame(u, s, w.heights[u][s], w.f.across(side)), w.style)
				w.take(u, s)
				break
			end
		end
	end
	return lamps
end

-- Builds a small paved square with a well at an end (1 or -1) of the street.
local function build_well(w, at_end)
	local middle_u, middle_s = at_end * WELL, w.middle(at_end * WELL)
	for u = middle_u - 3, middle_u + 4 do
		for s = middle_s - 3, middle_s + 4 do
			if math.abs(u) <= HALF_LENGTH then
				w.pave(u, s)
			end
		end
	end
	local x, z = w.f.world(middle_u, middle_s)
	local y = w.heights[middle_u][middle_s]
	return entry_of(basalt.build_well(basalt.frame({x = x, y = y, z = z}, {x = 0, z = 1}, w.set), w.style))
end

-- The walkable ground, as one flat list: from (min[1], min[2]) on, row by row along x, the height of the node of
-- the feet, or 0 where there is no room or where walking is not allowed (houses, farms, the well). And what grows
-- there, as a list x, z, x, z, ...
local function walkable_ground(w, site)
	local built = {}
	for _, list in ipairs({site.houses, site.farms, {site.well}}) do
		for _, building in ipairs(list) do
			for x = building.min.x, building.max.x do
				for z = building.min.z, building.max.z do
					built[x * 4096 + z] = true
				end
			end
		end
	end
	local function is_free(x, y, z)
		local def = minetest.registered_nodes[minetest.get_node({x = x, y = y, z = z}).name]
		return def and (def.walkable == false and def.liquidtype == "none" or def.buildable_to)
	end
	local f = w.f
	local half_x = f.axis == "x" and HALF_LENGTH or HALF_WIDTH
	local half_z = f.axis == "x" and HALF_WIDTH or HALF_LENGTH
	local bare = {air = true, ["default:snow"] = true}
	local heights, plants = {}, {}
	for z = f.centre.z - half_z, f.centre.z + half_z do
		for x = f.centre.x - half_x, f.centre.x + half_x do
			local u, s = x - f.centre.x, z - f.centre.z
			if f.axis == "z" then
				u, s = s, u
			end
			local y = w.heights[u][s] + 1
			local free = not built[x * 4096 + z] and is_free(x, y, z) and is_free(x, y + 1, z)
			heights[#heights + 1] = free and y or 0
			if free and not bare[minetest.get_node({x = x, y = y, z = z}).name] then
				plants[#plants + 1], plants[#plants + 2] = x, z
			end
		end
	end
	return {min = {f.centre.x - half_x, f.centre.z - half_z}, width = 2 * half_x + 1, heights = heights,
		plants = plants}
end

local ANIMALS = {"chicken", "cow", "pig", "sheep"}
local HERD, VILLAGERS = 3, 5

-- Whether a creature can stand on the ground of a place with free space around it.
local function is_meadow(w, u, s, edge)
	for ou = -edge, edge do
		for os = -edge, edge do
			local column = w.heights[u + ou]
			if not (column and column[s + os]) or not w.is_free(u + ou, s + os) then
				return false
			end
			local x, z = w.f.world(u + ou, s + os)
			for up = 1, 2 do
				local node = minetest.get_node({x = x, y = column[s + os] + up, z = z})
				local def = minetest.registered_nodes[node.name]
				if not def or (def.walkable ~= false and not def.buildable_to) then
					return false
				end
			end
		end
	end
	return true
end

-- Where animals and villagers start: a herd of each kind on the village's grass, villagers on the street. A list
-- of {kind, at}; `at` is the node of the feet.
local function settle(w)
	local list = {}
	local function add(kind, u, s)
		local x, z = w.f.world(u, s)
		list[#list + 1] = {kind = kind, at = vector.new(x, w.heights[u][s] + 1, z)}
		w.take(u, s)
	end
	for _, kind in ipairs(ANIMALS) do
		local left, u0, s0 = HERD, nil, nil
		for _ = 1, 2000 do
			local u, s
			if u0 then
				u, s = u0 + w.rng:next(-3, 3), s0 + w.rng:next(-3, 3)
			else
				u, s = w.rng:next(-38, 38), w.rng:next(4 - HALF_WIDTH, HALF_WIDTH - 4)
			end
			if is_meadow(w, u, s, u0 and 0 or 2) then
				if not u0 then
					u0, s0 = u, s
				end
				add(kind, u, s)
				left = left - 1
				if left == 0 then
					break
				end
			end
		end
	end
	for k = 1, VILLAGERS do
		local u = math.floor((k - 0.5) * 72 / VILLAGERS) - 36 + w.rng:next(-4, 4)
		add("villager", u, w.middle(u))
	end
	return list
end

local function find(v, seed)
	local place = choose_place(v, PcgRandom(seed))
	if not place then
		return nil, {fit = false}
	end
	local f = place.frame
	local x1, z1 = f.world(-HALF_LENGTH, -HALF_WIDTH)
	local x2, z2 = f.world(HALF_LENGTH, HALF_WIDTH)
	return {
		spawn = vector.new(f.centre.x, 0, f.centre.z), axis = f.axis,
		corners = {vector.new(x1, 0, z1), vector.new(x2, 0, z2)},
	}, {fit = true, range = place.range}
end

-- Builds the village, before the land is saved.
local function finish(site)
	local rng = PcgRandom(basalt.config.seed)
	site.style = basalt.style_of_seed(basalt.config.seed)
	local style = basalt.styles[site.style]
	local f = village_frame(site.spawn, site.axis)
	local bend, phase = rng:next(10, 25) / 10, rng:next(0, 628) / 100
	local function middle(u)
		return math.floor(bend * math.sin(u / 14 + phase) + 0.5)
	end
	local slots = lay_out(rng, middle)
	local at_end = rng:next(0, 1) == 0 and -1 or 1
	local square = {kind = "square", u = at_end * WELL, side = 1, width = 9, depth = 9,
		front = middle(at_end * WELL) - 4}
	local heights = ground.make(f, {HALF_LENGTH, HALF_WIDTH, MARGIN}, style,
		{square, unpack(slots)}, each_of_slot, rng)

	local w = works_on(f, style, heights, middle, rng)
	site.street = build_street(w)
	site.houses, site.farms, site.plots = {}, {}, {}
	for _, slot in ipairs(slots) do
		build_slot(w, slot, site)
	end
	site.well = build_well(w, at_end)
	site.lamps = build_lamps(w)
	ground.plant_trees(f, {HALF_LENGTH, HALF_WIDTH}, style, heights, w.is_free, rng)

	site.creatures = settle(w)
	site.ground = walkable_ground(w, site)

	-- The player starts at the other end of the street and looks along it.
	local start, ahead = -at_end * (HALF_LENGTH - 2), -at_end * (HALF_LENGTH - 22)
	local x, z = f.world(start, middle(start))
	site.spawn = vector.new(x, heights[start][middle(start)] + 1, z)
	local tx, tz = f.world(ahead, middle(ahead))
	site.spawn_yaw = math.deg(math.atan2(tx - x, tz - z))
	site.materials = {}
	for _, part in ipairs({"base", "floor", "wall", "post", "roof", "roof_stair", "roof_slab", "fence"}) do
		site.materials[part] = style[part]
	end
	site.blocks = packed(w.blocks)
end

return {area = {chunks = 3, bottom = -32, top = 47}, find = find, finish = finish}
