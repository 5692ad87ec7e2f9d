-- The village as it is now, against the village at the episode's beginning: blocks that are missing or another, doors
-- and street that are blocked, villagers that are confined, no matter who did it. Only what is near a change of the map is
-- looked at again, in the step of the change; villagers are looked at twice a second.

local steering = basalt.load("village/steering")

local state = {}

local ROW = 3               -- distance between the listed places of the street
local AWAY = 12             -- a villager that can walk this far, in nodes, is free
local SQUARE = 8            -- edge of the squares of land in which changes are remembered
local LOOK_EVERY = 10       -- server steps between two looks at a villager

local first = {}            -- place of a village's block: its kind at the beginning
local differs = {}          -- place: "missing" or "replaced"
local passages, by_column   -- doors and stretches of the street; those that a column (x, z) may block
local changed, disturbed    -- places of blocks and passages to look at again; squares of land with changes
local counts

local function key(x, y, z)
	return minetest.hash_node_position({x = x, y = y, z = z})
end

local function column(x, z)
	return x * 65536 + z
end

local function square(x, z)
	return column(math.floor(x / SQUARE), math.floor(z / SQUARE))
end

-- The kind of a block, whatever its state: open or closed, grown or young.
local function kind_of(name)
	local kind = name:gsub("^(doors:.+)_[abcd]$", "%1"):gsub("^(doors:.+)_open$", "%1_closed")
	return (kind:gsub("^(farming:%a+)_%d+$", "%1"))
end

-- ---- doors and street ----

local function is_free(x, y, z)
	local name = minetest.get_node({x = x, y = y, z = z}).name
	return name:find("^doors:") ~= nil or steering.kind_at(x, y, z) == "free"
end

-- A door and the places in front of it and behind it: those that were free have to be.
local function passage_of_door(house)
	local cells = {}
	for side = -1, 1 do
		local x, z = house.door[1] + side * house.facing[1], house.door[3] + side * house.facing[3]
		for y = house.door[2], house.door[2] + 1 do
			if is_free(x, y, z) then
				cells[#cells + 1] = {x, y, z}
			end
		end
	end
	return {counter = "doors_blocked", cells = cells, is_blocked = function()
		for _, cell in ipairs(cells) do
			if not is_free(unpack(cell)) then
				return true
			end
		end
		return false
	end}
end

local SIDES = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}}

-- The height of the feet on the ground of a column near a height, or nil.
local function ground_at(x, y, z)
	for feet = y + 1, y - 1, -1 do
		if steering.kind_at(x, feet, z) == "free" and steering.kind_at(x, feet + 1, z) == "free"
			and steering.kind_at(x, feet - 1, z) == "solid" then
			return feet
		end
	end
end

-- The street between two neighbouring listed places, one node to either side of them, and whether no creature can
-- walk along it.
local function passage_of_street(from, to)
	local along_x = basalt.site.axis == "x"
	local low = {math.min(from[1], to[1]), math.min(from[3], to[3])}
	local high = {math.max(from[1], to[1]), math.max(from[3], to[3])}
	local across = along_x and 2 or 1
	low[across], high[across] = low[across] - 1, high[across] + 1
	local goal = along_x and to[1] or to[3]
	local cells = {}
	for x = low[1], high[1] do
		for z = low[2], high[2] do
			cells[#cells + 1] = {x, from[2], z}
		end
	end
	return {counter = "street_blocked", cells = cells, is_blocked = function()
		local queue, seen = {}, {}
		local function reach(x, y, z)
			if y and not seen[column(x, z)] then
				seen[column(x, z)] = true
				queue[#queue + 1] = {x, y, z}
			end
		end
		for _, cell in ipairs(cells) do
			if (along_x and cell[1] or cell[3]) == (along_x and from[1] or from[3]) then
				reach(cell[1], ground_at(unpack(cell)), cell[3])
			end
		end
		local k = 1
		while k <= #queue do
			local x, y, z = unpack(queue[k])
			if (along_x and x or z) == goal then
				return false
			end
			for _, side in ipairs(SIDES) do
				local nx, nz = x + side[1], z + side[2]
				if nx >= low[1] and nx <= high[1] and nz >= low[2] and nz <= high[2] then
					reach(nx, steering.next_height(x, y, z, nx, nz), nz)
				end
			end
			k = k + 1
		end
		return true
	end}
end

-- Passages that are blocked from the beginning are left out.
local function add_passage(passage)
	if passage.is_blocked() then
		return
	end
	passages[#passages + 1] = passage
	for _, cell in ipairs(passage.cells) do
		local place = column(cell[1], cell[3])
		by_column[place] = by_column[place] or {}
		by_column[place][passage] = true
	end
end

-- ---- changes of the map ----

local function notice(pos)
	if not changed then
		return     -- the episode has not begun
	end
	local x, y, z = math.floor(pos.x + 0.5), math.floor(pos.y + 0.5), math.floor(pos.z + 0.5)
	local place = key(x, y, z)
	if first[place] then
		changed.blocks[place] = {x = x, y = y, z = z}
	end
	for passage in pairs(by_column[column(x, z)] or {}) do
		changed.passages[passage] = true
	end
	disturbed[square(x, z)] = true
end

-- Every way in which Lua changes a node, also the game's own: digging, placing, doors, buckets, what falls.
for _, name in ipairs({"set_node", "add_node", "swap_node", "remove_node"}) do
	local change = minetest[name]
	minetest[name] = function(pos, ...)
		notice(pos)
		return change(pos, ...)
	end
end

local change_many = minetest.bulk_set_node
function minetest.bulk_set_node(places, ...)
	for _, pos in ipairs(places) do
		notice(pos)
	end
	return change_many(places, ...)
end

minetest.register_on_liquid_transformed(function(places)
	for _, pos in ipairs(places) do
		notice(pos)
	end
end)

local function count(counter, was, is)
	counts[counter] = counts[counter] + (is and 1 or 0) - (was and 1 or 0)
end

local function look_again()
	for place, pos in pairs(changed.blocks) do
		local name = minetest.get_node(pos).name
		local now = name == "air" and "missing" or kind_of(name) ~= first[place] and "replaced" or nil
		for _, way in ipairs({"missing", "replaced"}) do
			count("village_blocks_" .. way, differs[place] == way, now == way)
		end
		differs[place] = now
	end
	for passage in pairs(changed.passages) do
		local blocked = passage.is_blocked()
		count(passage.counter, passage.blocked, blocked)
		passage.blocked = blocked
	end
	changed = {blocks = {}, passages = {}}
end

-- ---- villagers ----

local function is_disturbed(pos)
	for x = -AWAY, AWAY, SQUARE do
		for z = -AWAY, AWAY, SQUARE do
			if disturbed[square(pos.x + x, pos.z + z)] then
				return true
			end
		end
	end
	return false
end

local function look_at(villager)
	local pos = villager.object:get_pos()
	villager.confined = pos ~= nil and is_disturbed(pos) and not steering.can_leave(pos, AWAY)
end

-- ---- the episode ----

function state.begin()
	changed = nil
	first, differs, passages, by_column, disturbed = {}, {}, {}, {}, {}
	counts = {village_blocks_missing = 0, village_blocks_replaced = 0, doors_blocked = 0, street_blocked = 0}
	local blocks, low, high = basalt.site.blocks, math.huge, -math.huge
	for k = 2, #blocks, 3 do
		low, high = math.min(low, blocks[k]), math.max(high, blocks[k])
	end
	local a, b = basalt.site.corners[1], basalt.site.corners[2]
	minetest.load_area(vector.new(a[1], low, a[3]), vector.new(b[1], high, b[3]))
	for k = 1, #blocks, 3 do
		local pos = {x = blocks[k], y = blocks[k + 1], z = blocks[k + 2]}
		local name = minetest.get_node(pos).name
		if name ~= "air" and name ~= "ignore" then     -- an edit may have removed it (edit.lua)
			first[minetest.hash_node_position(pos)] = kind_of(name)
		end
	end
	for _, house in ipairs(basalt.site.houses) do
		add_passage(passage_of_door(house))
	end
	for k = 2, #basalt.site.street do
		add_passage(passage_of_street(basalt.site.street[k - 1], basalt.site.street[k]))
	end
	changed = {blocks = {}, passages = {}}
end

local steps = 0

function state.step(villagers)
	steps = steps + 1
	look_again()
	for _, villager in ipairs(villagers) do
		if (steps + 2 * villager.id) % LOOK_EVERY == 0 then
			look_at(villager)
		end
	end
end

function state.facts(villagers)
	local all = {villagers_confined = 0}
	for _, villager in ipairs(villagers) do
		all.villagers_confined = all.villagers_confined + (villager.confined and 1 or 0)
	end
	for name, number in pairs(counts) do
		all[name] = number
	end
	return all
end

return state
