-- Whether a place is in a cave of the map generator. Looked up in the map that the search saved; places outside it
-- are checked by the same rule when needed.

local caves = {min = basalt.site.caves.min, max = basalt.site.caves.max}

do
	local file = assert(io.open(minetest.get_worldpath() .. "/caves.bin", "rb"))
	caves.bits = minetest.decompress(file:read("*a"), "deflate")
	file:close()
end

local nx = caves.max[1] - caves.min[1] + 1
local ny = caves.max[2] - caves.min[2] + 1

local function is_mapped(x, y, z)
	return x >= caves.min[1] and x <= caves.max[1] and y >= caves.min[2] and y < caves.max[2]
		and z >= caves.min[3] and z <= caves.max[3]
end

local function was_cave(x, y, z)
	local i = ((z - caves.min[3]) * ny + y - caves.min[2]) * nx + x - caves.min[1]
	local byte = caves.bits:byte(math.floor(i / 8) + 1)
	return math.floor(byte / 2 ^ (i % 8)) % 2 == 1
end

-- feet: the node of the player's feet. dug, placed: sets of the nodes that the player changed.
local function in_cave(feet, changed)
	local head = {x = feet.x, y = feet.y + 1, z = feet.z}
	if basalt.is_liquid(feet) or basalt.is_liquid(head) then
		return false
	end
	if is_mapped(feet.x, feet.y, feet.z) then
		return was_cave(feet.x, feet.y, feet.z)
	end
	if changed[minetest.hash_node_position(feet)] or changed[minetest.hash_node_position(head)] then
		return false
	end
	local light = minetest.get_natural_light(head, 0.5)
	return light ~= nil and light <= 9 and basalt.roof_above(head) == "ground"
end

-- ---- mouths in view ----

local sight = basalt.sight

local LOOK_EVERY = 4     -- server steps
local NEAREST = 4        -- number of mouths, the nearest in the frame, that are looked for

local mouths = {}
for k, place in ipairs(basalt.site.mouths) do
	local feet = vector.new(unpack(place))
	mouths[k] = {number = k, points = {feet, vector.offset(feet, 0, 1, 0)}}
end

local steps, seen = 0, nil

local function is_in_frame(mouth)
	return sight.in_frame(mouth.points[1]) ~= nil or sight.in_frame(mouth.points[2]) ~= nil
end

-- The nearest mouth in view, or nil.
local function nearest_in_view(player)
	local pos, found = player:get_pos(), {}
	for _, mouth in ipairs(mouths) do
		if is_in_frame(mouth) then
			mouth.away = vector.distance(pos, mouth.points[1])
			found[#found + 1] = mouth
		end
	end
	table.sort(found, function(a, b)
		if a.away ~= b.away then
			return a.away < b.away
		end
		return a.number < b.number
	end)
	for k = 1, math.min(NEAREST, #found) do
		if sight.sees(found[k].points[2]) or sight.sees(found[k].points[1]) then
			return found[k]
		end
	end
end

return {
	begin = function()
		steps, seen = 0, nil
	end,
	step = function(player)
		if steps % LOOK_EVERY == 0 then
			seen = nearest_in_view(player)
		elseif seen and not is_in_frame(seen) then
			seen = nil
		end
		steps = steps + 1
	end,
	facts = function(_, feet)
		return {
			in_cave = in_cave(feet, basalt.changed),
			mouth_in_view = seen ~= nil,
			mouth_number = seen and seen.number or 0,
		}
	end,
}
