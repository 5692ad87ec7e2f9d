-- What the player has built, examined again only after a change.
--
-- The house is the largest group of placed nodes that touch each other, also at an edge or a corner. The inside is
-- what outside air does not reach: walls, roof, windows and doors, also open ones, keep it out.

local MAX_CELLS = 30000     -- limit of the box around a house; larger ones are not examined
local HEADROOM = 2          -- lowest height of a roof above the lowest node

local structure = {}
local placed = {}           -- hash of the position: {pos = , name = }
local changed = true
local house

local hash = minetest.hash_node_position

function structure.reset()
	placed, changed, house = {}, true, nil
end

function structure.add(pos, name)
	placed[hash(pos)] = {pos = vector.new(pos), name = name}
	changed = true
end

function structure.remove(pos)
	if placed[hash(pos)] then
		placed[hash(pos)] = nil
		changed = true
	end
end

local function definition(name)
	return minetest.registered_nodes[name] or {}
end

local function is_door(name)
	return ((definition(name).groups or {}).door or 0) > 0
end

-- Whether a node keeps air out: all that cannot be walked through, except a layer of snow.
local function closes(name)
	return definition(name).walkable ~= false and name ~= "default:snow"
end

-- ---- the house ----

-- Groups of placed nodes, by flood fill; the largest one, and among equals that with the smallest number.
local function largest_group()
	local seen, best = {}, {}
	local order = {}
	for key in pairs(placed) do
		order[#order + 1] = key
	end
	table.sort(order)
	for _, first in ipairs(order) do
		if not seen[first] then
			seen[first] = true
			local group, k = {placed[first]}, 1
			while k <= #group do
				local p = group[k].pos
				for x = p.x - 1, p.x + 1 do
					for y = p.y - 1, p.y + 1 do
						for z = p.z - 1, p.z + 1 do
							local key = hash({x = x, y = y, z = z})
							if placed[key] and not seen[key] then
								seen[key] = true
								group[#group + 1] = placed[key]
							end
						end
					end
				end
				k = k + 1
			end
			if #group > #best then
				best = group
			end
		end
	end
	return best, #order
end

local function bounds(group)
	local min, max = vector.new(group[1].pos), vector.new(group[1].pos)
	for _, node in ipairs(group) do
		for _, axis in ipairs({"x", "y", "z"}) do
			min[axis] = math.min(min[axis], node.pos[axis])
			max[axis] = math.max(max[axis], node.pos[axis])
		end
	end
	return min, max
end

-- The box around the house plus one node, as flat arrays.
local function read_box(min, max)
	local v = {min = vector.subtract(min, 1), max = vector.add(max, 1)}
	v.sx, v.sy = v.max.x - v.min.x + 1, v.max.y - v.min.y + 1
	v.sz = v.max.z - v.min.z + 1
	v.count = v.sx * v.sy * v.sz
	if v.count > MAX_CELLS then
		return nil
	end
	v.closed = {}
	function v.index(x, y, z)
		return ((z - v.min.z) * v.sy + y - v.min.y) * v.sx + x - v.min.x + 1
	end
	local i = 0
	for z = v.min.z, v.max.z do
		for y = v.min.y, v.max.y do
			for x = v.min.x, v.max.x do
				i = i + 1
				v.closed[i] = closes(minetest.get_node({x = x, y = y, z = z}).name)
			end
		end
	end
	return v
end

-- outside[i]: air that is reached from the surface of the box.
local function flood(v)
	local outside, queue = {}, {}
	local dx, dy, dz = 1, v.sx, v.sx * v.sy
	local function reach(i)
		if not v.closed[i] and not outside[i] then
			outside[i] = true
			queue[#queue + 1] = i
		end
	end
	local i = 0
	local edge = {}
	for z = 1, v.sz do
		for y = 1, v.sy do
			for x = 1, v.sx do
				i = i + 1
				if x == 1 or x == v.sx or y == 1 or y == v.sy or z == 1 or z == v.sz then
					edge[i] = true
					reach(i)
				end
			end
		end
	end
	local k = 1
	while k <= #queue do
		local at = queue[k]
		k = k + 1
		local x = (at - 1) % v.sx
		local y = math.floor((at - 1) / dy) % v.sy
		local z = math.floor((at - 1) / dz)
		if x > 0 then reach(at - dx) end
		if x < v.sx - 1 then reach(at + dx) end
		if y > 0 then reach(at - dy) end
		if y < v.sy - 1 then reach(at + dy) end
		if z > 0 then reach(at - dz) end
		if z < v.sz - 1 then reach(at + dz) end
	end
	return outside
end

-- Columns with walls of the house on all four sides, and how many of them the house covers.
local function roof_share(group, min, max)
	local low_x, high_x, low_z, high_z, covered = {}, {}, {}, {}, {}
	for _, node in ipairs(group) do
		local p = node.pos
		if closes(node.name) then
			if p.y < min.y + HEADROOM + 1 then
				low_x[p.z] = math.min(low_x[p.z] or p.x, p.x)
				high_x[p.z] = math.max(high_x[p.z] or p.x, p.x)
				low_z[p.x] = math.min(low_z[p.x] or p.z, p.z)
				high_z[p.x] = math.max(high_z[p.x] or p.z, p.z)
			end
			if p.y >= min.y + HEADROOM then
				covered[p.x * 65536 + p.z] = true
			end
		end
	end
	local inner, roofed = 0, 0
	for z, from in pairs(low_x) do
		for x = from + 1, high_x[z] - 1 do
			if low_z[x] and low_z[x] < z and high_z[x] > z then
				inner = inner + 1
				roofed = roofed + (covered[x * 65536 + z] and 1 or 0)
			end
		end
	end
	return inner > 0 and roofed / inner or 0
end

-- Whether there is a door with the inside on one side and, on the other, a place outside to enter from.
local function reachable(v, outside, door)
	local function is(kind, x, y, z)
		local i = v.index(x, y, z)
		if v.closed[i] then
			return false
		end
		return (outside[i] or false) == (kind == "outside")
	end
	local p = door.pos
	for _, d in ipairs({{1, 0}, {-1, 0}, {0, 1}, {0, -1}}) do
		local ix, iz, ox, oz = p.x + d[1], p.z + d[2], p.x - d[1], p.z - d[2]
		if is("inside", ix, p.y, iz) and is("outside", ox, p.y, oz) and is("outside", ox, p.y + 1, oz)
			and closes(minetest.get_node({x = ox, y = p.y - 1, z = oz}).name) then
			return true
		end
	end
	return false
end

-- The material of a node, also of stairs and slabs: stairs:stair_wood is default:wood.
local function material(name)
	local cut = name:match("^stairs:stair_inner_(.+)$") or name:match("^stairs:stair_outer_(.+)$")
		or name:match("^stairs:stair_(.+)$") or name:match("^stairs:slab_(.+)$")
	for _, mod in ipairs({"default:", "basalt_world:"}) do
		if cut and minetest.registered_nodes[mod .. cut] then
			return mod .. cut
		end
	end
	return name
end

-- Share of the village's own materials among walls, posts and roof; windows, doors, lights and flowers
-- do not count.
local function style_share(group, materials)
	local own, all, like = {}, 0, 0
	for _, name in pairs(materials or {}) do
		own[material(name)] = true
	end
	for _, node in ipairs(group) do
		local def = definition(node.name)
		if def.walkable ~= false and not is_door(node.name) and not node.name:find("^xpanes:")
			and (def.light_source or 0) == 0 then
			all = all + 1
			like = like + (own[material(node.name)] and 1 or 0)
		end
	end
	return all > 0 and like / all or 0
end

-- Horizontal distance in nodes between the house and the nearest place of the street.
local function street_distance(min, max, street)
	local best
	for _, p in ipairs(street or {}) do
		local x = math.max(min.x - p[1], 0, p[1] - max.x)
		local z = math.max(min.z - p[3], 0, p[3] - max.z)
		local away = math.sqrt(x * x + z * z)
		best = best and math.min(best, away) or away
	end
	return best or -1
end

local NOTHING = {blocks = 0, loose = 0, enclosed = false, floor_area = 0, roof_share = 0, door = false,
	door_reachable = false, style_share = 0, street_distance = -1}

local function examine(site)
	local group, all = largest_group()
	if #group == 0 then
		return NOTHING
	end
	local min, max = bounds(group)
	local found = {min = min, max = max, blocks = #group, loose = all - #group, floor_area = 0,
		door = false, door_reachable = false,
		roof_share = roof_share(group, min, max),
		style_share = style_share(group, site.materials),
		street_distance = street_distance(min, max, site.street)}
	local v = read_box(min, max)
	local outside = v and flood(v) or {}
	if v then
		-- Places to stand: two nodes high, inside, with something underfoot.
		for z = v.min.z + 1, v.max.z - 1 do
			for x = v.min.x + 1, v.max.x - 1 do
				for y = v.min.y + 1, v.max.y - 1 do
					local i = v.index(x, y, z)
					local head = i + v.sx
					if not v.closed[i] and not outside[i] and v.closed[i - v.sx]
						and not v.closed[head] and not outside[head] then
						found.floor_area = found.floor_area + 1
					end
				end
			end
		end
	end
	found.enclosed = found.floor_area > 0
	for _, node in ipairs(group) do
		if is_door(node.name) then
			found.door = true
			found.door_reachable = found.door_reachable
				or v ~= nil and reachable(v, outside, node)
		end
	end
	return found
end

-- The house as it is now, and whether it has changed since the last call.
function structure.house(site)
	local news = changed
	if changed then
		house = examine(site)
		changed = false
	end
	return house, news
end

-- Whether the player placed a node; the upper half of a door belongs to the lower one.
function structure.is_part(pos)
	local below = placed[hash(vector.offset(pos, 0, -1, 0))]
	return placed[hash(pos)] ~= nil or below ~= nil and is_door(below.name)
end

return structure
