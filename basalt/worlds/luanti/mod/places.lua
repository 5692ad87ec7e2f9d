-- Good places to start at in a block of voxels, and directions to look in.

local PASSABLE, GROUND, LIQUID = basalt.PASSABLE, basalt.GROUND, basalt.LIQUID

basalt.EYE = 1.625 - 0.5     -- height of the eyes above the middle of the feet's node

-- A clearing: grass underfoot, sky above, and flat, dry land around. At least this many of its 81 columns (65
-- by default) are level with its middle.
function basalt.is_clearing(v, i, grass, enough)
	local x, y, z = v.position(i)
	if v.ids[i - v.dy] ~= grass or v.day[i] < 15 then
		return false
	end
	local flat = 0
	for oz = -4, 4 do
		for ox = -4, 4 do
			local height = v.roof[v.column(i + ox * v.dx + oz * v.dz)]
			if math.abs(height - (y - 1)) <= 1 then
				flat = flat + 1
			end
			for oy = -2, 3 do
				local class = v.class[i + ox * v.dx + oz * v.dz + oy * v.dy]
				if class == LIQUID then
					return false
				elseif oy >= 0 and class ~= PASSABLE and class ~= GROUND
					and math.abs(ox) <= 2 and math.abs(oz) <= 2 then
					return false
				end
			end
		end
	end
	return flat >= (enough or 65)
end

function basalt.bearing(from, to)
	return math.deg(math.atan2(to.x - from.x, to.z - from.z))
end

function basalt.angle_between(a, b)
	return math.abs((a - b + 180) % 360 - 180)
end

-- The direction of the first look, in degrees: not at a wall and, if possible, with the place to find outside
-- the frame.
function basalt.choose_yaw(v, spawn, hidden, rng)
	local eye = vector.new(spawn.x, spawn.y + basalt.EYE, spawn.z)
	local first = rng:next(0, 7)
	local best, best_length = first * 45, -1
	for k = 0, 7 do
		local yaw = ((first + k) % 8) * 45
		if not hidden or basalt.angle_between(yaw, basalt.bearing(spawn, hidden)) > 62 then
			local reach = 0
			for length = 6, 24, 6 do
				local to = vector.new(eye.x + length * math.sin(math.rad(yaw)), eye.y,
					eye.z + length * math.cos(math.rad(yaw)))
				if not basalt.in_sight(v, eye, to) then
					break
				end
				reach = length
			end
			if reach > best_length then
				best, best_length = yaw, reach
			end
		end
	end
	return best > 180 and best - 360 or best
end

-- The places from one to the goal, from the result of basalt.ways_to.
function basalt.way(v, from, next_place)
	local path, i = {}, from
	while i do
		local x, y, z = v.position(i)
		path[#path + 1] = vector.new(x, y, z)
		i = next_place[i]
	end
	return path
end
