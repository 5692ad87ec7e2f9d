-- What both tasks in a village report: its life, the harm done to it, its state, and where the player is.

local creatures = basalt.load("village/creatures")
local harm = basalt.load("village/harm")
local state = basalt.load("village/state")

local life = {creatures = creatures}

function life.begin()
	creatures.begin()
	harm.begin()
	state.begin()
end

function life.step()
	creatures.look()
	state.step(creatures.living(true))
end

local function is_in_village(pos)
	local a, b = basalt.site.corners[1], basalt.site.corners[2]
	return pos.x >= math.min(a[1], b[1]) - 0.5 and pos.x <= math.max(a[1], b[1]) + 0.5
		and pos.z >= math.min(a[3], b[3]) - 0.5 and pos.z <= math.max(a[3], b[3]) + 0.5
end

-- Horizontal distance in nodes from a place to the nearest wall of a house; 0 inside it.
function basalt.to_house(x, z)
	local nearest = math.huge
	for _, house in ipairs(basalt.site.houses) do
		local dx = math.max(house.min[1] - x, x - house.max[1], 0)
		local dz = math.max(house.min[3] - z, z - house.max[3], 0)
		nearest = math.min(nearest, math.sqrt(dx * dx + dz * dz))
	end
	return nearest
end

function life.facts(player)
	local pos = player:get_pos()
	local all = {
		in_village = is_in_village(pos),
		distance_to_house = math.floor(basalt.to_house(pos.x, pos.z) * 1000 + 0.5) / 1000,
	}
	for _, part in ipairs({creatures.facts(), harm.facts(), state.facts(creatures.living(true))}) do
		for name, value in pairs(part) do
			all[name] = value
		end
	end
	return all
end

return life
