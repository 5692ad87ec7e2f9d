-- How creatures move: what is in their way, and how they react. Everything depends only on the server's steps and
-- on their own random numbers, so the same actions give the same walks.

local steering = {}

local GRAVITY = 9.81
local JUMP = 6.2       -- nodes per second: slightly more than one node high
local MAX_DROP = 2

local function definition(x, y, z)
	return minetest.registered_nodes[minetest.get_node({x = x, y = y, z = z}).name]
end

local kinds = {}

-- What a node is for a creature: "free", "fence" (never jumped or stood on), "solid", or "bad".
local function kind_of(def)
	if not def then
		return "solid"
	end
	local groups = def.groups or {}
	if def.name:find("^doors:") and not def.name:find("_open$") then
		return "fence"
	elseif def.name:find("^doors:gate.*_open$") then
		return "free"
	elseif groups.fence or groups.wall or groups.pane then
		return "fence"
	elseif (def.liquidtype or "none") ~= "none" or (def.damage_per_second or 0) > 0 then
		return "bad"
	end
	return def.walkable == false and "free" or def.name == "default:snow" and "free" or "solid"
end

local function kind_at(x, y, z)
	local def = definition(x, y, z)
	local name = def and def.name or "unknown"
	if not kinds[name] then
		kinds[name] = kind_of(def)
	end
	return kinds[name]
end
steering.kind_at = kind_at

local function round(n)
	return math.floor(n + 0.5)
end

-- What is ahead of the feet at `pos` in a direction: "free", "step" (one up), or "blocked".
local function ahead(pos, dx, dz, reach)
	local y = math.floor(pos.y + 0.55)   -- the node of the feet, also on a layer of snow
	local x, z = round(pos.x + dx * reach), round(pos.z + dz * reach)
	if x == round(pos.x) and z == round(pos.z) then
		return "free"
	end
	local feet, head, under = kind_at(x, y, z), kind_at(x, y + 1, z), kind_at(x, y - 1, z)
	if feet == "bad" or under == "bad" or feet == "fence" or head == "fence" or under == "fence" then
		return "blocked"
	elseif feet == "solid" then
		local above_me = kind_at(round(pos.x), y + 1, round(pos.z))
		if head == "free" and above_me == "free" and kind_at(x, y + 2, z) == "free" then
			return "step"
		end
		return "blocked"
	elseif under == "free" then
		for drop = 2, MAX_DROP + 1 do
			local kind = kind_at(x, y - drop, z)
			if kind == "solid" then
				return "free"
			elseif kind ~= "free" then
				return "blocked"
			end
		end
		return "blocked"
	end
	return "free"
end

-- The worst obstacle ahead of a body with that half width.
local function look_ahead(pos, dx, dz, half)
	local found = "free"
	for side = -0.8, 0.8, 0.8 do
		local from = {x = pos.x - dz * side * half, y = pos.y, z = pos.z + dx * side * half}
		local kind = ahead(from, dx, dz, half + 0.25)
		if kind == "blocked" then
			return kind
		elseif kind == "step" then
			found = kind
		end
	end
	return found
end

-- Walks for one server step in a direction (unit vector dx, dz) at a speed in nodes per second. Returns false if
-- the way is blocked.
function steering.walk(object, half, dx, dz, speed)
	local pos, velocity = object:get_pos(), object:get_velocity()
	object:set_acceleration({x = 0, y = -GRAVITY, z = 0})
	local what = look_ahead(pos, dx, dz, half)
	if what == "blocked" then
		-- Try the two directions along the axes, so that creatures slide along a fence.
		local slides = {{dx > 0 and 1 or -1, 0, math.abs(dx)}, {0, dz > 0 and 1 or -1, math.abs(dz)}}
		for _, slide in ipairs(slides) do
			if slide[3] > 0.25 and look_ahead(pos, slide[1], slide[2], half) == "free" then
				object:set_velocity({x = slide[1] * speed * slide[3], y = velocity.y,
					z = slide[2] * speed * slide[3]})
				return false
			end
		end
		object:set_velocity({x = 0, y = velocity.y, z = 0})
		return false
	end
	local up = velocity.y
	if what == "step" and math.abs(velocity.y) < 0.1 then
		up = JUMP
	end
	object:set_velocity({x = dx * speed, y = up, z = dz * speed})
	return true
end

-- The height that a walker in column (x, z) at height y reaches in the next column, or nil.
local function next_height(x, y, z, nx, nz)
	local feet, head = kind_at(nx, y, nz), kind_at(nx, y + 1, nz)
	if feet == "fence" or feet == "bad" or head ~= "free" then
		return nil
	elseif feet == "solid" then
		local free = kind_at(nx, y + 2, nz) == "free" and kind_at(x, y + 2, z) == "free"
		return free and y + 1 or nil
	end
	for drop = 0, MAX_DROP do
		local under = kind_at(nx, y - drop - 1, nz)
		if under ~= "free" then
			return under == "solid" and y - drop or nil
		end
	end
end

steering.next_height = next_height

local SIDES = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}}
local MAX_LOOKED_AT = 260

-- A path over the ground from one position to a place beside another, nearest cells first: a list of {x, y, z},
-- or nil if none was found nearby.
local function find_way(from, to)
	local start = {round(from.x), math.floor(from.y + 0.55), round(from.z)}
	local gx, gz = round(to.x), round(to.z)
	local function rest_of(cell)
		return math.abs(cell[1] - gx) + math.abs(cell[3] - gz)
	end
	local function key(x, y, z)
		return (x % 1024 * 1024 + z % 1024) * 256 + y % 256
	end
	start.cost, start.rest = 0, rest_of(start)
	local open, seen = {start}, {[key(unpack(start))] = true}
	for _ = 1, MAX_LOOKED_AT do
		if #open == 0 then
			return nil
		end
		local best = 1
		for k = 2, #open do
			if open[k].cost + open[k].rest < open[best].cost + open[best].rest then
				best = k
			end
		end
		local cell = table.remove(open, best)
		if cell.rest <= 1 then
			local way = {}
			while cell.before do
				table.insert(way, 1, cell)
				cell = cell.before
			end
			return way
		end
		for _, side in ipairs(SIDES) do
			local nx, nz = cell[1] + side[1], cell[3] + side[2]
			local ny = next_height(cell[1], cell[2], cell[3], nx, nz)
			if ny and not seen[key(nx, ny, nz)] then
				seen[key(nx, ny, nz)] = true
				local found = {nx, ny, nz, cost = cell.cost + 1, before = cell}
				found.rest = rest_of(found)
				open[#open + 1] = found
			end
		end
	end
end

-- Whether a creature can walk from a position to one that is `distance` nodes away along x or z.
function steering.can_leave(pos, distance)
	local x0, z0 = round(pos.x), round(pos.z)
	local seen, rings = {}, {}
	local farthest = 0
	local function reach(x, y, z)
		if y and not seen[x * 65536 + z] then
			seen[x * 65536 + z] = true
			local ring = math.max(math.abs(x - x0), math.abs(z - z0))
			rings[ring] = rings[ring] or {}
			table.insert(rings[ring], {x, y, z})
			farthest = math.max(farthest, ring)
		end
	end
	reach(x0, math.floor(pos.y + 0.55), z0)
	while farthest >= 0 and farthest < distance do
		local cell = table.remove(rings[farthest] or {})
		if cell then
			for _, side in ipairs(SIDES) do
				local nx, nz = cell[1] + side[1], cell[3] + side[2]
				reach(nx, next_height(cell[1], cell[2], cell[3], nx, nz), nz)
			end
		else
			farthest = farthest - 1
		end
	end
	return farthest >= distance
end

-- Whether a body can walk straight to a point on level ground.
local function is_straight(pos, half, x, z)
	local dx, dz = x - pos.x, z - pos.z
	local length = math.sqrt(dx * dx + dz * dz)
	for along = 0, length - 0.3, 0.5 do
		local at = {x = pos.x + dx / length * along, y = pos.y, z = pos.z + dz / length * along}
		if look_ahead(at, dx / length, dz / length, half) ~= "free" then
			return false
		end
	end
	return true
end

-- The next point on the way to `goal`: straight ahead, or around what is in the way.
function steering.towards(pos, half, goal)
	if is_straight(pos, half, goal.x, goal.z) then
		return goal
	end
	local way = find_way(pos, goal)
	if not way or #way == 0 then
		return goal
	end
	for k = math.min(#way, 5), 2, -1 do
		if is_straight(pos, half, way[k][1], way[k][3]) then
			return {x = way[k][1], z = way[k][3]}
		end
	end
	local first = way[1]
	if math.abs(first[1] - pos.x) + math.abs(first[3] - pos.z) < 0.3 and way[2] then
		first = way[2]
	end
	return {x = first[1], z = first[3]}
end

function steering.stand(object)
	object:set_acceleration({x = 0, y = -GRAVITY, z = 0})
	object:set_velocity({x = 0, y = object:get_velocity().y, z = 0})
end

-- Turns a body gradually; yaw in the game's convention, in radians.
function steering.turn(object, dx, dz, fastest)
	local wanted = math.atan2(-dx, dz)
	local now = object:get_yaw()
	local off = (wanted - now + math.pi) % (2 * math.pi) - math.pi
	object:set_yaw((now + math.max(-fastest, math.min(fastest, off))) % (2 * math.pi))
end

return steering
