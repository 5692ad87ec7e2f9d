-- Finds a spawn in open grassland and a natural cave that a player can walk into from there.

local PASSABLE = basalt.PASSABLE

local CAVE_LIGHT = 9        -- most natural light at noon in a cave,
local DEEP_MIN, DEEP_MAX = 2, 5    -- and well inside: dim, but not completely dark
local MIN_CAVE = 40         -- standing places of the smallest cave
local VESTIBULE = 12        -- longest way between a cave's dim part and its mouth
local APART = 6             -- least distance between two listed places of mouths; a wide mouth has several
local MIN_COST, MAX_COST = 300, 1500     -- cost of the path, in tenths of a node
local MIN_MOUTH, MAX_MOUTH = 24, 80      -- straight distance between spawn and mouth

-- Below natural ground and dim: the same definition of a cave as in telemetry (play.lua).
local function is_cave(v, i)
	local head = i + v.dy
	local _, y = v.position(i)
	return v.class[i] == PASSABLE and v.class[head] == PASSABLE and v.day[head] <= CAVE_LIGHT
		and v.roof[v.column(i)] > y + 1
end

-- Groups of neighbouring places that satisfy a test.
local function groups_of(v, places, test)
	local member, groups = {}, {}
	for _, i in ipairs(places) do
		if test(i) then
			member[i] = true
		end
	end
	for _, first in ipairs(places) do
		if member[first] then
			member[first] = nil
			local group = {first}
			local k = 1
			while k <= #group do
				for _, side in ipairs({v.dx, -v.dx, v.dz, -v.dz}) do
					for up = -v.dy, v.dy, v.dy do
						local n = group[k] + side + up
						if member[n] then
							member[n] = nil
							group[#group + 1] = n
						end
					end
				end
				k = k + 1
			end
			groups[#groups + 1] = group
		end
	end
	return groups
end

-- Where the path finally goes under natural ground.
local function mouth_of(v, path)
	for k = #path, 1, -1 do
		local p = path[k]
		if v.roof[v.column(v.index(p.x, p.y, p.z))] < p.y then
			return math.min(k + 1, #path)
		end
	end
	return 1
end

local function sees_mouth(v, spawn, path, k)
	local eye = vector.new(spawn.x, spawn.y + basalt.EYE, spawn.z)
	for n = k, math.min(k + 2, #path) do
		for up = 0, 1 do
			if basalt.in_sight(v, eye, vector.new(path[n].x, path[n].y + up, path[n].z)) then
				return true
			end
		end
	end
	return false
end

-- The best spawn for a cave, or nil.
local function spawn_for(v, group, grass, places, rng)
	local goals = {}
	for _, i in ipairs(group) do
		local light = v.day[i + v.dy]
		if light >= DEEP_MIN and light <= DEEP_MAX and v.night[i] == 0 then
			goals[#goals + 1] = i
		end
	end
	if #goals < 8 then
		return nil
	end
	local cost, next_place = basalt.ways_to(v, goals, MAX_COST)
	local candidates = {}
	for _, i in ipairs(places) do
		if cost[i] and cost[i] >= MIN_COST and v.day[i] == 15 then
			candidates[#candidates + 1] = i
		end
	end
	local found
	local looked_at = 0
	while #candidates > 0 and looked_at < 60 do
		local k = rng:next(1, #candidates)
		local i = candidates[k]
		candidates[k] = candidates[#candidates]
		candidates[#candidates] = nil
		if basalt.is_clearing(v, i, grass) then
			local path = basalt.way(v, i, next_place)
			local at = mouth_of(v, path)
			local distance = vector.distance(path[1], path[at])
			if distance >= MIN_MOUTH and distance <= MAX_MOUTH and #path - at >= 5 then
				looked_at = looked_at + 1
				local open = sees_mouth(v, path[1], path, at)
				if not found or (found.open and not open) then
					found = {spawn = path[1], mouth = path[at], cave = path[#path], path = path,
						open = open, cost = cost[i], distance = distance}
				end
				if not open then
					break
				end
			end
		end
	end
	return found
end

-- The site in a block of voxels, or nil; and numbers about the search.
local function find(v, seed)
	local rng = PcgRandom(seed)
	local grass = minetest.get_content_id("default:dirt_with_grass")
	local places = basalt.find_standing(v)
	local groups = groups_of(v, places, function(i)
		return is_cave(v, i)
	end)
	local caves = {}
	for _, group in ipairs(groups) do
		if #group >= MIN_CAVE then
			caves[#caves + 1] = group
		end
	end
	local stats = {places = #places, holes = #groups, caves = #caves, tried = 0}
	local best
	while #caves > 0 and stats.tried < 12 do
		local group = table.remove(caves, rng:next(1, #caves))
		stats.tried = stats.tried + 1
		local found = spawn_for(v, group, grass, places, rng)
		if found and (not best or (best.open and not found.open)) then
			found.cave_size = #group
			best = found
		end
		if best and not best.open then
			break
		end
	end
	if not best then
		return nil, stats
	end
	local yaw = basalt.choose_yaw(v, best.spawn, best.mouth, rng)
	local in_frame = basalt.angle_between(yaw, basalt.bearing(best.spawn, best.mouth)) <= 55
	stats.cave_size = best.cave_size
	return {
		spawn = best.spawn,
		spawn_yaw = yaw,
		mouth = best.mouth,
		cave = best.cave,
		path = best.path,
		path_length = best.cost / 10,
		mouth_distance = best.distance,
		mouth_unobstructed = best.open,
		mouth_visible_at_spawn = best.open and in_frame,
	}, stats
end

-- The mouths of all caves of the land: places where a way on foot into a cave goes below natural ground, the path's
-- own one first.
local function mouths_of(v, own)
	local places = basalt.find_standing(v)
	local function is_open(i)
		local _, y = v.position(i)
		return v.roof[v.column(i)] < y
	end
	-- Outwards from the caves, below natural ground.
	local depth, queue = {}, {}
	for _, group in ipairs(groups_of(v, places, function(i) return is_cave(v, i) end)) do
		if #group >= MIN_CAVE then
			for _, i in ipairs(group) do
				depth[i] = 0
				queue[#queue + 1] = i
			end
		end
	end
	local edge = {}
	local k = 1
	while k <= #queue do
		local i = queue[k]
		for _, side in ipairs({v.dx, -v.dx, v.dz, -v.dz}) do
			for up = -v.dy, v.dy, v.dy do
				local n = i + side + up
				if v.stand[n] and not depth[n] then
					if is_open(n) then
						edge[i] = true
					elseif depth[i] < VESTIBULE then
						depth[n] = depth[i] + 1
						queue[#queue + 1] = n
					end
				end
			end
		end
		k = k + 1
	end
	local mouths = {own}
	for _, i in ipairs(places) do
		if edge[i] then
			local place, apart = vector.new(v.position(i)), true
			for _, other in ipairs(mouths) do
				apart = apart and vector.distance(place, other) >= APART
			end
			if apart then
				mouths[#mouths + 1] = place
			end
		end
	end
	return mouths
end

-- One bit per node: whether feet can be here in a cave of the map generator, before any player dug.
local function save_caves(v)
	local bytes = {}
	for first = 1, v.dz * v.sz, 8 do
		local byte, bit = 0, 1
		for i = first, first + 7 do
			local y = math.floor((i - 1) / v.dy) % v.sy
			if y < v.sy - 1 and is_cave(v, i) then
				byte = byte + bit
			end
			bit = bit * 2
		end
		bytes[#bytes + 1] = string.char(byte)
	end
	local file = io.open(minetest.get_worldpath() .. "/caves.bin", "wb")
	file:write(minetest.compress(table.concat(bytes), "deflate", 6))
	file:close()
	return {min = v.min, max = v.max}
end

return {
	area = {chunks = 3, bottom = -32, top = 47},
	find = find,
	finish = function(site, min, max)
		local v = basalt.read_voxels(vector.new(min.x, -48, min.z), vector.new(max.x, 63, max.z))
		site.caves = save_caves(v)
		site.mouths = mouths_of(v, site.mouth)
	end,
}
