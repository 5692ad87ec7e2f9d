-- Generates land around the origin, then further out, until the task finds its site; saves the site and the land
-- around it.
--
-- What tasks/TASK/site.lua returns:
-- area = {chunks, bottom, top}: width of an area in chunks of the map generator, and its lowest and highest
--     node; both at borders of chunks
-- find(v, seed): the site in an area's voxels (voxels.lua), or nil; and a table of numbers about the search. A
--     site has spawn (the node of the feet), spawn_yaw (degrees) and what else the task needs. Its `path`, `spawn`
--     and `corners` (places) show how far a player may go.
-- finish(site, min, max), optional: builds what the task needs into the generated land around the site, in whole
--     chunks, and adds to the site.
-- Places are vectors; site.json has them as lists [x, y, z].

local CHUNK, HALF = 80, 32     -- the map generator's chunks begin at -32
local VIEW = 72               -- slightly more than a player can see
local MAX_AREAS = 25

-- The k-th square of a spiral around the origin.
local function spiral(k)
	local x, z, dx, dz = 0, 0, 1, 0
	local run, left = 1, 1
	local turns = 0
	for _ = 2, k do
		x, z = x + dx, z + dz
		left = left - 1
		if left == 0 then
			dx, dz = -dz, dx
			turns = turns + 1
			if turns % 2 == 0 then
				run = run + 1
			end
			left = run
		end
	end
	return x, z
end

local function emerge(min, max, finished)
	minetest.emerge_area(min, max, function(_, _, remaining)
		if remaining == 0 then
			finished()
		end
	end)
end

local function as_json(value)
	if type(value) ~= "table" then
		return value
	elseif value.x and value.y and value.z then
		return {value.x, value.y, value.z}
	end
	local result = {}
	for key, part in pairs(value) do
		result[key] = as_json(part)
	end
	return result
end

local function fail(message)
	basalt.write_json("failed.json", {message = message})
	minetest.request_shutdown()
end

-- Corners of everything that a player may see or reach, in whole chunks.
local function surroundings(site, area)
	local min, max = vector.new(site.spawn), vector.new(site.spawn)
	for _, places in ipairs({site.path or {}, site.corners or {}}) do
		for _, p in ipairs(places) do
			min.x, min.z = math.min(min.x, p.x), math.min(min.z, p.z)
			max.x, max.z = math.max(max.x, p.x), math.max(max.z, p.z)
		end
	end
	local function down(n)
		return math.floor((n + HALF) / CHUNK) * CHUNK - HALF
	end
	return vector.new(down(min.x - VIEW), area.bottom - CHUNK, down(min.z - VIEW)),
		vector.new(down(max.x + VIEW) + CHUNK - 1, area.top + CHUNK, down(max.z + VIEW) + CHUNK - 1)
end

local function finish(task, site, stats)
	local min, max = surroundings(site, task.area)
	emerge(min, max, function()
		if task.finish then
			task.finish(site, min, max)
		end
		site.search = stats
		site.land = {min = min, max = max}
		site.task, site.seed = basalt.config.task, basalt.config.seed
		basalt.write_json("site.json", as_json(site))
		minetest.request_shutdown()
	end)
end

local function try(task, k)
	local width = task.area.chunks * CHUNK
	if k > MAX_AREAS then
		return fail("no site within " .. MAX_AREAS .. " areas of " .. width .. " nodes")
	end
	local ox, oz = spiral(k)
	local min = vector.new(ox * width - HALF - CHUNK, task.area.bottom, oz * width - HALF - CHUNK)
	local max = vector.new(min.x + width - 1, task.area.top, min.z + width - 1)
	emerge(min, max, function()
		local began = minetest.get_us_time()
		local v = basalt.read_voxels(min, max)
		local site, stats = task.find(v, basalt.config.seed + k)
		stats.areas, stats.area = k, {ox, oz}
		minetest.log("action", ("basalt: area %d: %s in %.2f s"):format(k,
			minetest.write_json(stats), (minetest.get_us_time() - began) / 1e6))
		if site then
			finish(task, site, stats)
		else
			try(task, k + 1)
		end
	end)
end

function basalt.search(task)
	minetest.after(0, function()
		try(task, 1)
	end)
end
