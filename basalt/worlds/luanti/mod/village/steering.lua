-- How creatures move: what is in their way, and how they react. Everything follows from the server's steps
-- and from random numbers of their own, so the same actions give the same walks.

local steering = {}

local GRAVITY = 9.81
local JUMP = 6.2       -- nodes a second: a little over one node high
local MAX_DROP = 2

local function definition(x, y, z)
	return minetest.registered_nodes[minetest.get_node({x = x, y = y, z = z}).name]
end

local kinds = {}

-- What a node is to a creature: "free", "fence" (never jumped over nor stood on), "solid", or "bad".
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

-- What is ahead of feet at `pos` in a direction: "free", "step" (one up), or "blocked".
local function ahead(pos, dx, dz, reach)
	local y = math.floor(pos.y + 0.55)   -- the node of the feet, on a layer of snow too
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

-- The worst of what is ahead of a body of that half width.
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

-- Walks one step of the server towards a direction (unit vector dx, dz) at a speed in nodes a second.
-- Returns false where the way is blocked.
function steering.walk(object, half, dx, dz, speed)
	local pos, velocity = object:get_pos(), object:get_velocity()
	object:set_acceleration({x = 0, y = -GRAVITY, z = 0})
	local what = look_ahead(pos, dx, dz, half)
	if what == "blocked" then
		-- Perhaps one of the two directions along the axes is free: so creatures slide along a fence.
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

function steering.stand(object)
	object:set_acceleration({x = 0, y = -GRAVITY, z = 0})
	object:set_velocity({x = 0, y = object:get_velocity().y, z = 0})
end

-- Turns a body gradually; yaw as the game has it, in radians.
function steering.turn(object, dx, dz, fastest)
	local wanted = math.atan2(-dx, dz)
	local now = object:get_yaw()
	local off = (wanted - now + math.pi) % (2 * math.pi) - math.pi
	object:set_yaw((now + math.max(-fastest, math.min(fastest, off))) % (2 * math.pi))
end

return steering
