-- The places where a walker can stand, and the cheapest paths to a goal, for a block of voxels.
--
-- A walker is 1 wide and 2 high, climbs 1, drops 3 at most, and never digs or enters water.

local PASSABLE, GROUND, LIQUID = basalt.PASSABLE, basalt.GROUND, basalt.LIQUID
local MAX_DROP = 3

-- v.stand[i] = true where a walker's feet can be. Cells within 5 of the border are left out, so that neighbours
-- of a place to stand are always inside the arrays.
function basalt.find_standing(v)
	local class, stand, standing = v.class, {}, {}
	local dx, dy, dz = v.dx, v.dy, v.dz
	for z = v.min.z + 5, v.max.z - 5 do
		for y = v.min.y + 5, v.max.y - 5 do
			local i = v.index(v.min.x + 5, y, z)
			for _ = v.min.x + 5, v.max.x - 5 do
				if class[i] == PASSABLE and class[i + dy] == PASSABLE and class[i - dy] == GROUND then
					local dry = true
					for nz = -dz, dz, dz do
						for nx = -dx, dx, dx do
							local n = i + nz + nx
							if class[n] == LIQUID or class[n - dy] == LIQUID or class[n + dy] == LIQUID then
								dry = false
							end
						end
					end
					if dry then
						stand[i] = true
						standing[#standing + 1] = i
					end
				end
				i = i + dx
			end
		end
	end
	v.stand = stand
	return standing
end

-- Whether a walker that leaves this place sideways would fall too deep.
local function at_cliff(v, i)
	local class, dy = v.class, v.dy
	for _, side in ipairs({v.dx, -v.dx, v.dz, -v.dz}) do
		local n = i + side
		if class[n] == PASSABLE then
			local depth = 0
			while depth <= MAX_DROP and class[n - (depth + 1) * dy] == PASSABLE do
				depth = depth + 1
			end
			if depth > MAX_DROP then
				return true
			end
		end
	end
	return false
end

-- Calls visit(from, cost) for every place from which one move leads to i. Costs are in tenths of a node. Only
-- level moves may be diagonal, and only if a walker can stand on both corners.
local function each_origin(v, i, visit)
	local class, stand, dy = v.class, v.stand, v.dy
	for _, side in ipairs({v.dx, -v.dx, v.dz, -v.dz}) do
		local a = i + side
		if stand[a] then
			visit(a, 10)
		end
		if stand[a - dy] and class[a + dy] == PASSABLE then
			visit(a - dy, 16)
		end
		for drop = 1, MAX_DROP do
			if class[i + (drop + 1) * dy] ~= PASSABLE then
				break
			end
			if stand[a + drop * dy] then
				visit(a + drop * dy, 11 + drop)
			end
		end
	end
	for _, sx in ipairs({v.dx, -v.dx}) do
		for _, sz in ipairs({v.dz, -v.dz}) do
			if stand[i + sx + sz] and stand[i + sx] and stand[i + sz] then
				visit(i + sx + sz, 14)
			end
		end
	end
end

-- Cheapest paths from everywhere to any of the goals, up to a cost. Returns cost[i] and next[i] (the place to go
-- to from i; nil at goals).
function basalt.ways_to(v, goals, max_cost)
	local cost, next_place, done, buckets = {}, {}, {}, {[0] = {}}
	for _, goal in ipairs(goals) do
		cost[goal] = 0
		table.insert(buckets[0], goal)
	end
	for c = 0, max_cost do
		local bucket = buckets[c]
		local k = 1
		while bucket and k <= #bucket do
			local i = bucket[k]
			k = k + 1
			if cost[i] == c and not done[i] then
				done[i] = true
				each_origin(v, i, function(from, step)
					local total = c + step + (at_cliff(v, from) and 20 or 0)
					if not cost[from] or total < cost[from] then
						cost[from], next_place[from] = total, i
						buckets[total] = buckets[total] or {}
						table.insert(buckets[total], from)
					end
				end)
			end
		end
		buckets[c] = nil
	end
	return cost, next_place
end

-- Whether the line between two points is free (leaves block it).
function basalt.in_sight(v, from, to)
	local d = vector.subtract(to, from)
	local length = vector.length(d)
	local step = vector.multiply(d, 0.2 / length)
	local p = vector.new(from)
	for _ = 1, math.floor(length / 0.2) - 1 do
		p = vector.add(p, step)
		local x, y, z = math.floor(p.x + 0.5), math.floor(p.y + 0.5), math.floor(p.z + 0.5)
		if v.class[v.index(x, y, z)] ~= PASSABLE then
			return false
		end
	end
	return true
end
