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

return {
	facts = function(_, feet)
		return {in_cave = in_cave(feet, basalt.changed)}
	end,
}
