-- Generates land around the origin, then farther out, until the task finds its site; saves the site
-- and the land around it.

local CHUNK, HALF = 80, 32     -- the map generator works in chunks that begin at -32
local AREA = 3 * CHUNK
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

local function as_list(p)
	return {p.x, p.y, p.z}
end

local function fail(message)
	basalt.write_json("failed.json", {message = message})
	minetest.request_shutdown()
end

-- Everything a player may see or reach, in whole chunks.
local function surroundings(path)
	local min, max = vector.new(path[1]), vector.new(path[1])
	for _, p in ipairs(path) do
		min.x, min.z = math.min(min.x, p.x), math.min(min.z, p.z)
		max.x, max.z = math.max(max.x, p.x), math.max(max.z, p.z)
	end
	local function down(n)
		return math.floor((n + HALF) / CHUNK) * CHUNK - HALF
	end
	return vector.new(down(min.x - 72), -HALF - CHUNK, down(min.z - 72)),
		vector.new(down(max.x + 72) + CHUNK - 1, 2 * CHUNK - HALF - 1, down(max.z + 72) + CHUNK - 1)
end

-- One bit for every node: can feet be here in a cave? The map generator's own caves, as they were
-- before any player dug.
local function save_caves(min, max)
	min, max = vector.new(min.x, -48, min.z), vector.new(max.x, 63, max.z)
	local v = basalt.read_voxels(min, max)
	local bytes = {}
	for first = 1, v.dz * v.sz, 8 do
		local byte, bit = 0, 1
		for i = first, first + 7 do
			local y = math.floor((i - 1) / v.dy) % v.sy
			if y < v.sy - 1 and basalt.is_cave(v, i) then
				byte = byte + bit
			end
			bit = bit * 2
		end
		bytes[#bytes + 1] = string.char(byte)
	end
	local file = io.open(minetest.get_worldpath() .. "/caves.bin", "wb")
	file:write(minetest.compress(table.concat(bytes), "deflate", 6))
	file:close()
	return {min = as_list(v.min), max = as_list(v.max)}
end

local function finish(site, stats)
	local min, max = surroundings(site.path)
	emerge(min, max, function()
		local saved = {}
		for key, value in pairs(site) do
			saved[key] = value
		end
		saved.spawn, saved.mouth, saved.cave = as_list(site.spawn), as_list(site.mouth), as_list(site.cave)
		saved.path = {}
		for k, p in ipairs(site.path) do
			saved.path[k] = as_list(p)
		end
		saved.search = stats
		saved.caves = save_caves(min, max)
		saved.seed = basalt.config.seed
		basalt.write_json("site.json", saved)
		minetest.request_shutdown()
	end)
end

local function try(k)
	if k > MAX_AREAS then
		return fail("no site within " .. MAX_AREAS .. " areas of " .. AREA .. " nodes")
	end
	local ox, oz = spiral(k)
	local min = vector.new(ox * AREA - HALF - CHUNK, -HALF, oz * AREA - HALF - CHUNK)
	local max = vector.new(min.x + AREA - 1, CHUNK - HALF - 1, min.z + AREA - 1)
	emerge(min, max, function()
		local began = minetest.get_us_time()
		local v = basalt.read_voxels(min, max)
		local site, stats = basalt.find_site(v, basalt.config.seed + k)
		stats.areas, stats.area = k, {ox, oz}
		minetest.log("action", ("basalt: area %d: %s in %.2f s"):format(k,
			minetest.write_json(stats), (minetest.get_us_time() - began) / 1e6))
		if site then
			finish(site, stats)
		else
			try(k + 1)
		end
	end)
end

minetest.after(0, function()
	try(1)
end)
