-- Finds a cliff that can be climbed on foot, a place above it to pour water from, a place to see the fall from, and
-- a spawn on the mountain's side.

local PASSABLE, GROUND = basalt.PASSABLE, basalt.GROUND

local MIN_FALL, MAX_FALL = 7, 30         -- free fall below the lip, in nodes
local MIN_COST, MAX_COST = 250, 1000     -- cost of the path to the lip, in tenths of a node
local MAX_VIEW_COST = 900                -- cost of the path from there to the viewpoint
local MIN_VIEW, MAX_VIEW = 11, 36        -- horizontal distance from the viewpoint to the fall
local DRY = 9                            -- how far water spreads where it lands
local LIPS_TRIED = 40

-- The depth of the fall over the edge from a place in a direction; 0 without an edge.
local function fall_beyond(v, i, side)
	local n = i + side
	if v.class[n] ~= PASSABLE or v.class[n + v.dy] ~= PASSABLE then
		return 0
	end
	local depth = 0
	while v.class[n - (depth + 1) * v.dy] == PASSABLE do
		depth = depth + 1
		if depth > MAX_FALL then
			return 0
		end
	end
	return v.class[n - (depth + 1) * v.dy] == GROUND and depth or 0
end

-- Lips of cliffs: places with a sheer drop on one side and level ground on the other.
local function find_lips(v, places, rng)
	local lips = {}
	for _, i in ipairs(places) do
		local x, y, z = v.position(i)
		local room = x > v.min.x + 40 and x < v.max.x - 40 and z > v.min.z + 40 and z < v.max.z - 40
			and y > v.min.y + 40
		if room and v.day[i] == 15 then
			for _, side in ipairs({v.dx, -v.dx, v.dz, -v.dz}) do
				local height = fall_beyond(v, i, side)
				if height >= MIN_FALL and v.stand[i - side] and v.stand[i - 2 * side] then
					local across = math.abs(side) == v.dx and v.dz or v.dx
					local width = 1
					for k = -2, 2 do
						if k ~= 0 and fall_beyond(v, i + k * across, side) >= MIN_FALL then
							width = width + 1
						end
					end
					lips[#lips + 1] = {place = i, side = side, height = height,
						score = math.min(height, 16) + 2 * width + rng:next(0, 600) / 100}
				end
			end
		end
	end
	table.sort(lips, function(a, b)
		if a.score ~= b.score then
			return a.score > b.score
		end
		return a.place < b.place
	end)
	return lips
end

local function centre(v, i)
	return vector.new(v.position(i))
end

-- Places in front of the fall from which nearly all of it is seen, best ones first.
local function viewpoints(v, lip, places, rng)
	local top = centre(v, lip.place + lip.side)
	local front = vector.subtract(top, centre(v, lip.place))
	local ideal = math.max(14, 1.1 * lip.height + 5)
	local candidates = {}
	for _, i in ipairs(places) do
		local x, y, z = v.position(i)
		local ox, oz = x - top.x, z - top.z
		local distance = math.sqrt(ox * ox + oz * oz)
		if distance >= math.max(MIN_VIEW, 0.8 * lip.height) and distance <= MAX_VIEW
			and y <= top.y + 6 and y >= top.y - lip.height - 6 and v.day[i] == 15
			and (ox * front.x + oz * front.z) / distance > 0.5 then
			candidates[#candidates + 1] = {place = i,
				score = -math.abs(distance - ideal) + rng:next(0, 400) / 100}
		end
	end
	table.sort(candidates, function(a, b)
		if a.score ~= b.score then
			return a.score > b.score
		end
		return a.place < b.place
	end)
	local good = {}
	for k = 1, math.min(#candidates, 120) do
		local x, y, z = v.position(candidates[k].place)
		local eye = vector.new(x, y + basalt.EYE, z)
		local seen = 0
		for part = 0, 4 do
			local point = vector.new(top.x, top.y - part / 4 * (lip.height - 1), top.z)
			if basalt.in_sight(v, eye, point) then
				seen = seen + 1
			end
		end
		if seen >= 4 then
			good[#good + 1] = candidates[k].place
		end
		if #good == 12 then
			break
		end
	end
	return good
end

-- A spawn from which the lip can be reached, well below it if possible.
local function spawn_for(v, lip, places, cost, grass, rng)
	local _, lip_y = v.position(lip.place)
	local candidates = {}
	for _, i in ipairs(places) do
		if cost[i] and cost[i] >= MIN_COST and v.day[i] == 15 then
			candidates[#candidates + 1] = i
		end
	end
	local best, best_rise
	for _ = 1, math.min(120, #candidates) do
		local i = candidates[rng:next(1, #candidates)]
		local _, y = v.position(i)
		local rise = math.min(lip_y - y, 25)
		if (not best or rise > best_rise) and basalt.is_clearing(v, i, grass, 35) then
			best, best_rise = i, rise
		end
	end
	return best
end

local function site_of(v, lip, places, grass, rng)
	local views = viewpoints(v, lip, places, rng)
	if #views == 0 then
		return nil
	end
	local stand = lip.place - 2 * lip.side
	local view_cost, view_next = basalt.ways_to(v, views, MAX_VIEW_COST)
	if not view_cost[stand] then
		return nil
	end
	local cost, next_place = basalt.ways_to(v, {stand}, MAX_COST)
	local spawn = spawn_for(v, lip, places, cost, grass, rng)
	if not spawn then
		return nil
	end
	local path, view_path = basalt.way(v, spawn, next_place), basalt.way(v, stand, view_next)
	local fall = centre(v, lip.place + lip.side)
	return {
		spawn = path[1],
		path = path,
		path_length = cost[spawn] / 10,
		pour = centre(v, lip.place),
		pour_from = path[#path],
		fall = fall,
		fall_height = lip.height,
		view_path = view_path,
		view_path_length = view_cost[stand] / 10,
		viewpoint = view_path[#view_path],
		view_distance = vector.distance(view_path[#view_path], fall),
		corners = view_path,
	}
end

local function find(v, seed)
	local rng = PcgRandom(seed)
	local grass = minetest.get_content_id("default:dirt_with_grass")
	local places = basalt.find_standing(v)
	local lips = find_lips(v, places, rng)
	local stats = {places = #places, lips = #lips, tried = 0}
	for k = 1, math.min(LIPS_TRIED, #lips) do
		stats.tried = k
		local site = site_of(v, lips[k], places, grass, rng)
		if site then
			site.spawn_yaw = basalt.choose_yaw(v, site.spawn, nil, rng)
			return site, stats
		end
	end
	return nil, stats
end

return {
	area = {chunks = 2, bottom = -32, top = 127},
	find = find,
}
