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

local RAYS = 1     -- most lines of sight that are looked along in a step

local mouths = {}

-- The head of somebody who stands at a mouth.
local function point_of(mouth)
	return sight.in_frame(mouth.head) and mouth.head
end

-- The number of the nearest mouth in view; 0 for none.
local function nearest_in_view(player)
	local pos, nearest, number = player:get_pos(), math.huge, 0
	for id, mouth in ipairs(mouths) do
		local away = mouth.in_view and vector.distance(pos, mouth.head)
		if away and away < nearest then
			nearest, number = away, id
		end
	end
	return number
end

return {
	begin = function()
		mouths = {}
		for id, place in ipairs(basalt.site.mouths) do
			mouths[id] = {id = id, head = vector.new(place[1], place[2] + 1, place[3])}
		end
	end,
	step = function()
		sight.look_for(mouths, point_of, RAYS)
	end,
	facts = function(player, feet)
		local number = nearest_in_view(player)
		return {
			in_cave = in_cave(feet, basalt.changed),
			mouth_in_view = number > 0,
			mouth_number = number,
		}
	end,
}
