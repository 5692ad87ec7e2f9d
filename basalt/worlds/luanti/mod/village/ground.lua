-- The ground of a village: measured, levelled and planted. Heights are tables h[u][s] over a rectangle in the
-- village's own coordinates (site.lua).

local ground = {}

local function clamp(n, low, high)
	return math.max(low, math.min(high, n))
end

local function smoothstep(share)
	share = clamp(share, 0, 1)
	return share * share * (3 - 2 * share)
end

-- Snow layers and plants, which a walker treats as ground although they are not.
local loose = {}
local function is_loose(id)
	if loose[id] == nil then
		local name = minetest.get_name_from_content_id(id)
		local groups = (minetest.registered_nodes[name] or {}).groups or {}
		loose[id] = name == "default:snow" or name:find("cactus") or name:find("bush")
			or groups.flora or groups.attached_node or false
	end
	return loose[id]
end

-- Highest natural ground of a column, and whether there is water on it.
local function surface(v, x, z)
	local i = v.index(x, v.max.y, z)
	for y = v.max.y, v.min.y, -1 do
		if v.class[i] == basalt.LIQUID then
			return y, true
		elseif v.class[i] == basalt.GROUND and not is_loose(v.ids[i]) then
			return y, false
		end
		i = i - v.dy
	end
	return v.min.y, true
end

-- Heights h[u][s] of a rectangle of land around the frame's middle.
function ground.heights(v, f, half_u, half_s)
	local h, wet, low, high = {}, 0, math.huge, -math.huge
	for u = -half_u, half_u do
		h[u] = {}
		for s = -half_s, half_s do
			local x, z = f.world(u, s)
			local y, water = surface(v, x, z)
			h[u][s] = y
			wet = wet + (water and 1 or 0)
			low, high = math.min(low, y), math.max(high, y)
		end
	end
	return h, wet, high - low
end

-- Box blur of h in both directions, in place.
local function blur(h, half_u, half_s, radius)
	local function pass(first, last, get, put)
		local sums, total = {[first - 1] = 0}, 0
		for k = first, last do
			total = total + get(k)
			sums[k] = total
		end
		for k = first, last do
			local a, b = math.max(first, k - radius), math.min(last, k + radius)
			put(k, (sums[b] - sums[a - 1]) / (b - a + 1))
		end
	end
	for u = -half_u, half_u do
		pass(-half_s, half_s, function(s) return h[u][s] end, function(s, y) h[u][s] = y end)
	end
	for s = -half_s, half_s do
		pass(-half_u, half_u, function(u) return h[u][s] end, function(u, y) h[u][s] = y end)
	end
end

-- The new ground: smooth in general, level under the slots, unchanged outside.
local function level(own, area, slots, each_of_slot)
	local new, fixed = {}, {}
	for u = -area.half_u, area.half_u do
		new[u], fixed[u] = {}, {}
		for s = -area.half_s, area.half_s do
			new[u][s] = own[u][s]
		end
	end
	for _ = 1, 3 do
		blur(new, area.half_u, area.half_s, 9)
	end
	for u = -area.half_u, area.half_u do
		for s = -area.half_s, area.half_s do
			local share = area.outside(u, s)
			new[u][s] = new[u][s] * (1 - share) + own[u][s] * share
			fixed[u][s] = share >= 1
		end
	end
	for _, slot in ipairs(slots) do
		slot.y = math.floor(new[slot.u][slot.front - slot.side * 2] + 0.5)
		each_of_slot(slot, 1, function(u, s)
			new[u][s], fixed[u][s] = slot.y, true
		end, true)
	end
	for _ = 1, 24 do
		for u = 1 - area.half_u, area.half_u - 1 do
			for s = 1 - area.half_s, area.half_s - 1 do
				if not fixed[u][s] then
					new[u][s] = (new[u - 1][s] + new[u + 1][s] + new[u][s - 1] + new[u][s + 1]) / 4
				end
			end
		end
	end
	for u = -area.half_u, area.half_u do
		for s = -area.half_s, area.half_s do
			new[u][s] = math.floor(new[u][s] + 0.5)
		end
	end
	return new
end

-- Trees that are in the way are removed completely.
local function fell(v, starts)
	local queue, k = starts, 1
	while k <= #queue do
		local i, left = queue[k][1], queue[k][2]
		k = k + 1
		if v.class[i] == basalt.PLANT then
			v.class[i], v.ids[i] = basalt.PASSABLE, minetest.CONTENT_AIR
			if is_loose(v.ids[i + v.dy]) then
				v.class[i + v.dy], v.ids[i + v.dy] = basalt.PASSABLE, minetest.CONTENT_AIR
			end
			if left > 0 then
				for _, side in ipairs({v.dx, -v.dx, v.dy, -v.dy, v.dz, -v.dz}) do
					queue[#queue + 1] = {i + side, left - 1}
				end
			end
		end
	end
end

-- What grows on a place of the ground: a content id, usually that of air.
local function growth(style, rng)
	if style.dust then
		return minetest.get_content_id(style.dust)
	elseif rng:next(1, 1000) > style.growth_share * 1000 then
		return minetest.CONTENT_AIR
	end
	local total = 0
	for _, plant in ipairs(style.growth) do
		total = total + plant[2]
	end
	local lot = rng:next(1, total)
	for _, plant in ipairs(style.growth) do
		lot = lot - plant[2]
		if lot <= 0 then
			return minetest.get_content_id(plant[1])
		end
	end
end

local function reshape(v, f, area, style, own, new, rng)
	local id = minetest.get_content_id
	local top, fill, under = id(style.top), id(style.fill), id(style.under)
	local columns, felled = {}, {}
	for u = -area.half_u, area.half_u do
		for s = -area.half_s, area.half_s do
			if area.outside(u, s) == 0 or own[u][s] ~= new[u][s] then
				local x, z = f.world(u, s)
				columns[#columns + 1] = {x = x, z = z, own = own[u][s], new = new[u][s]}
				for y = math.min(own[u][s], new[u][s]) - 1, v.max.y - 1 do
					local i = v.index(x, y, z)
					if v.class[i] == basalt.PLANT then
						felled[#felled + 1] = {i, 16}
					end
				end
			end
		end
	end
	fell(v, felled)
	for _, column in ipairs(columns) do
		for y = math.min(column.own, column.new) - 3, math.max(column.own, column.new) + 12 do
			local i = v.index(column.x, y, column.z)
			if y < column.new - 3 then
				v.ids[i] = under
			elseif y < column.new then
				v.ids[i] = fill
			elseif y == column.new then
				v.ids[i] = top
			else
				v.ids[i] = y == column.new + 1 and growth(style, rng) or minetest.CONTENT_AIR
			end
		end
	end
end

-- Makes the ground of a village, {half length, half width, margin}, with level slots; sets each slot's height `y`.
-- Returns the heights.
function ground.make(f, size, style, slots, each_of_slot, rng)
	local area = {half_u = size[1] + size[3] + 1, half_s = size[2] + size[3] + 1}
	function area.outside(u, s)
		return smoothstep(math.max(math.abs(u) - size[1], math.abs(s) - size[2], 0) / size[3])
	end
	local beyond = 17   -- a removed tree may reach this far
	local x1, z1 = f.world(-area.half_u - beyond, -area.half_s - beyond)
	local x2, z2 = f.world(area.half_u + beyond, area.half_s + beyond)
	local v = basalt.read_voxels(vector.new(x1, -16, z1), vector.new(x2, 63, z2))
	local own = ground.heights(v, f, area.half_u, area.half_s)
	local new = level(own, area, slots, each_of_slot)
	reshape(v, f, area, style, own, new, rng)
	v.manip:set_data(v.ids)
	v.manip:write_to_map(true)
	return new
end

-- Read here: the engine cannot read it in the thread that generates land.
local schematics = {}
for _, style in pairs(basalt.styles) do
	local file = minetest.get_modpath("default") .. "/schematics/" .. style.tree .. ".mts"
	schematics[style.tree] = assert(minetest.read_schematic(file, {}), "no schematic " .. style.tree)
end

-- Plants a tree of the game's schematics with the foot of its trunk at a place. The village's own random numbers
-- choose its leaves.
local function plant_tree(name, pos, rng)
	local schematic = schematics[name]
	local size = schematic.size
	local left_out = {}
	for _, slice in ipairs(schematic.yslice_prob or {}) do
		left_out[slice.ypos] = rng:next(0, 253) >= slice.prob
	end
	local corner = vector.new(pos.x - math.floor(size.x / 2), pos.y - 1, pos.z - math.floor(size.z / 2))
	local k, height = 0, 0
	for z = 0, size.z - 1 do
		height = 0
		for y = 0, size.y - 1 do
			for x = 0, size.x - 1 do
				k = k + 1
				local node = schematic.data[k]
				if not left_out[y] and node.name ~= "air" and rng:next(0, 253) < node.prob then
					local at = vector.new(corner.x + x, corner.y + height, corner.z + z)
					local there = minetest.registered_nodes[minetest.get_node(at).name]
					if there and (there.buildable_to or node.force_place) then
						minetest.swap_node(at, {name = node.name, param2 = node.param2})
					end
				end
			end
			height = height + (left_out[y] and 0 or 1)
		end
	end
end

-- Plants a few trees of the style's kind between street and houses, and behind the houses.
function ground.plant_trees(f, size, style, heights, is_free, rng)
	local planted, wanted = {}, rng:next(6, 9)
	for _ = 1, 400 do
		if #planted >= wanted then
			break
		end
		local u = rng:next(3 - size[1], size[1] - 3)
		local s = rng:next(3 - size[2], size[2] - 3)
		local fits = true
		for ou = -4, 4 do
			for os = -4, 4 do
				fits = fits and is_free(u + ou, s + os)
			end
		end
		for _, other in ipairs(planted) do
			fits = fits and math.max(math.abs(other[1] - u), math.abs(other[2] - s)) > 7
		end
		if fits then
			planted[#planted + 1] = {u, s}
			local x, z = f.world(u, s)
			plant_tree(style.tree, {x = x, y = heights[u][s] + 1, z = z}, rng)
		end
	end
end

return ground
