-- The player's water: where it was poured, how far it falls, and how much of the fall is in the frame.

local SOURCE, FLOWING = "default:water_source", "default:water_flowing"
local FLOWS_DOWN = 8          -- bit of param2
local MOST_NODES = 3000       -- limit of the water that is followed
local STEPS_TO_FOLLOW = 10
local SAMPLES = 24            -- number of falling nodes that are looked for in the frame
local MIN_FALL = 3            -- fewer nodes do not make a waterfall
local MIN_PICTURE = 0.1       -- smallest share of the frame's height at which it is in view
local LOOK_EVERY = 4          -- server steps
local LOOKS = 8               -- number of other nodes of water that are looked for

local sight = basalt.sight

local sources, poured = {}, 0
local fall = {height = 0, nodes = {}, flowing = 0, water = {}}
local water_seen = false

-- The bucket places its water without a callback: look at what it changed.
local bucket = minetest.registered_items["bucket:bucket_water"]
local pour = bucket.on_place
minetest.override_item("bucket:bucket_water", {
	on_place = function(stack, user, pointed)
		local places = pointed.type == "node" and {pointed.under, pointed.above} or {}
		local before = {}
		for k, pos in ipairs(places) do
			before[k] = minetest.get_node(pos).name
		end
		local left = pour(stack, user, pointed)
		for k, pos in ipairs(places) do
			if minetest.get_node(pos).name == SOURCE and before[k] ~= SOURCE then
				poured = poured + 1
				sources[#sources + 1] = vector.new(pos)
			end
		end
		return left
	end,
})

local SIDES = {
	vector.new(0, -1, 0), vector.new(1, 0, 0), vector.new(-1, 0, 0), vector.new(0, 0, 1),
	vector.new(0, 0, -1),
}

-- All flowing water that comes from the player's sources, up to where other water begins.
local function follow()
	local seen, queue, falling = {}, {}, {}
	for k = #sources, 1, -1 do
		if minetest.get_node(sources[k]).name == SOURCE then
			queue[#queue + 1] = sources[k]
			seen[minetest.hash_node_position(sources[k])] = true
		else
			table.remove(sources, k)     -- picked up again
		end
	end
	local k, flowing = 1, 0
	while k <= #queue and k <= MOST_NODES do
		for _, side in ipairs(SIDES) do
			local pos = vector.add(queue[k], side)
			local hash = minetest.hash_node_position(pos)
			if not seen[hash] then
				seen[hash] = true
				local node = minetest.get_node(pos)
				if node.name == FLOWING then
					flowing = flowing + 1
					queue[#queue + 1] = pos
					if math.floor(node.param2 / FLOWS_DOWN) % 2 == 1 then
						falling[hash] = pos
					end
				end
			end
		end
		k = k + 1
	end
	-- The longest unbroken column of falling water, from its top, and all falling nodes.
	local nodes, height = {}, 0
	for _, pos in ipairs(queue) do
		local hash = minetest.hash_node_position(pos)
		if falling[hash] then
			nodes[#nodes + 1] = pos
			if not falling[minetest.hash_node_position(vector.offset(pos, 0, 1, 0))] then
				local length, below = 0, vector.new(pos)
				while falling[minetest.hash_node_position(below)] do
					length, below.y = length + 1, below.y - 1
				end
				height = math.max(height, length)
			end
		end
	end
	fall = {height = height, nodes = nodes, flowing = flowing, water = queue}
end

-- The share of the falling nodes that is in the frame and in sight, and the share of the frame's height that they
-- take up.
local function in_picture()
	if #fall.nodes == 0 then
		return 0, 0
	end
	local seen, highest, lowest, count = 0, -1, 1, 0
	local every = math.max(1, #fall.nodes / SAMPLES)
	local at = 1
	while at <= #fall.nodes do
		local node = fall.nodes[math.floor(at)]
		local _, v = sight.in_frame(node)
		count = count + 1
		if v and not sight.is_hidden(node) then
			seen = seen + 1
			highest, lowest = math.max(highest, v), math.min(lowest, v)
		end
		at = at + every
	end
	return seen / count, math.max(0, (highest - lowest) / 2)
end

-- Whether any of the player's water is in view, also where it does not fall.
local function is_water_seen()
	local water = #fall.water > 0 and fall.water or sources
	local n = math.min(LOOKS, #water)
	for k = 0, n - 1 do
		if sight.sees(water[math.floor(k * #water / n) + 1]) then
			return true
		end
	end
	return false
end

local steps = 0

return {
	begin = function()
		sources, poured, fall = {}, 0, {height = 0, nodes = {}, flowing = 0, water = {}}
		water_seen = false
	end,
	step = function()
		steps = steps + 1
		if poured > 0 and steps % STEPS_TO_FOLLOW == 0 then
			follow()
		end
		if steps % LOOK_EVERY == 0 then
			water_seen = poured > 0 and is_water_seen()
		end
	end,
	facts = function()
		local share, extent = in_picture()
		return {
			water_poured = poured,
			water_nodes = fall.flowing,
			fall_height = fall.height,
			fall_in_view = math.floor(share * 100 + 0.5) / 100,
			fall_in_picture = math.floor(extent * 100 + 0.5) / 100,
			water_in_view = share > 0 or water_seen,
			water_falling_in_view = fall.height >= MIN_FALL and extent >= MIN_PICTURE,
		}
	end,
}
