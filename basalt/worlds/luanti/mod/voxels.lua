-- A block of the map as flat arrays, for searching.

local PASSABLE, GROUND, PLANT, LIQUID = 0, 1, 2, 3
basalt.PASSABLE, basalt.GROUND, basalt.PLANT, basalt.LIQUID = PASSABLE, GROUND, PLANT, LIQUID

-- What a node is for a walker: free, natural ground, a solid plant, or to be avoided.
local function class_of(def)
	if not def then
		return LIQUID
	end
	if (def.liquidtype or "none") ~= "none" or (def.damage_per_second or 0) > 0 then
		return LIQUID
	end
	if def.walkable == false then
		return PASSABLE
	end
	local groups = def.groups or {}
	if groups.leaves or groups.tree or groups.leafdecay or groups.choppy then
		return PLANT
	end
	return GROUND
end

local class_by_id = {}

local function class_of_id(id)
	local class = class_by_id[id]
	if not class then
		class = class_of(minetest.registered_nodes[minetest.get_name_from_content_id(id)])
		class_by_id[id] = class
	end
	return class
end

-- Reads the map between two corners (a multiple of 16, and 15 more than one). Returns a table:
-- manip: the voxel manipulator; min, max, sx, sy, sz: its corners and sizes; dx, dy, dz: index steps; index(x, y, z)
-- class[i]: what the node is for a walker; grass[i]: true where the ground is grass
-- day[i], night[i]: 0..15; roof[column]: height of the highest natural ground of each column
function basalt.read_voxels(min, max)
	local manip = minetest.get_voxel_manip()
	local emin, emax = manip:read_from_map(min, max)
	local ids, light = manip:get_data(), manip:get_light_data()
	local v = {min = emin, max = emax, manip = manip}
	v.sx, v.sy, v.sz = emax.x - emin.x + 1, emax.y - emin.y + 1, emax.z - emin.z + 1
	v.dx, v.dy, v.dz = 1, v.sx, v.sx * v.sy
	function v.index(x, y, z)
		return (z - emin.z) * v.dz + (y - emin.y) * v.dy + (x - emin.x) + 1
	end
	function v.position(i)
		i = i - 1
		local z = math.floor(i / v.dz)
		local y = math.floor((i - z * v.dz) / v.dy)
		return i - z * v.dz - y * v.dy + emin.x, y + emin.y, z + emin.z
	end
	function v.column(i)
		i = i - 1
		local z = math.floor(i / v.dz)
		return z * v.sx + i % v.sx + 1
	end

	local class, day, night, roof = {}, {}, {}, {}
	for i = 1, #ids do
		class[i] = class_of_id(ids[i])
		local l = light[i]
		day[i] = l % 16
		night[i] = (l - l % 16) / 16
	end
	for z = 0, v.sz - 1 do
		for x = 0, v.sx - 1 do
			local height = emin.y - 1
			local i = z * v.dz + (v.sy - 1) * v.dy + x + 1
			for y = emax.y, emin.y, -1 do
				if class[i] == GROUND then
					height = y
					break
				end
				i = i - v.dy
			end
			roof[z * v.sx + x + 1] = height
		end
	end
	v.class, v.day, v.night, v.roof, v.ids = class, day, night, roof, ids
	return v
end
