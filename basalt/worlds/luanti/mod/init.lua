-- The world's mod. basalt.json in the world's folder names the task and the mode: "search" finds the task's site
-- in a fresh world and saves it, "play" plays one episode in a copy.
--
-- A task is a folder below tasks/ (in the repository basalt/core/tasks/) with three files, each of which returns
-- a table:
-- terrain.lua   settings and noises of the map generator               (search)
-- site.lua      area, find(v, seed) and finish(site, min, max)         (search; see search.lua)
-- play.lua      begin(player), step(player, dtime), facts(player, feet)   (play; see telemetry.lua)

local folder = minetest.get_modpath("basalt_world")

basalt = {}

local function read_json(name)
	local file = io.open(minetest.get_worldpath() .. "/" .. name, "r")
	if not file then
		return nil
	end
	local text = file:read("*a")
	file:close()
	return minetest.parse_json(text)
end

function basalt.write_json(name, value)
	local path = minetest.get_worldpath() .. "/" .. name
	minetest.safe_file_write(path, minetest.write_json(value))
end

basalt.config = assert(read_json("basalt.json"), "basalt.json is missing in the world's folder")

-- Loads a file of the mod by its name without suffix; and one of the task's files.
function basalt.load(name)
	return dofile(folder .. "/" .. name .. ".lua")
end

local function load_of_task(name)
	return basalt.load("tasks/" .. basalt.config.task .. "/" .. name)
end

basalt.load("quiet")
basalt.load("items")
basalt.load("nodes")

if basalt.config.mode == "search" then
	basalt.load("terrain")
	basalt.shape_terrain(load_of_task("terrain"))
	basalt.load("voxels")
	basalt.load("paths")
	basalt.load("places")
	basalt.load("search")
	basalt.search(load_of_task("site"))
else
	basalt.site = assert(read_json("site.json"), "site.json is missing in the world's folder")
	basalt.load("keys")
	basalt.load("hands")
	basalt.load("crafting")
	basalt.load("player")
	basalt.load("sky")
	basalt.load("sending")
	basalt.load("liquids")
	basalt.sight = basalt.load("sight")
	basalt.task = load_of_task("play")
	basalt.load("edit")
	basalt.load("telemetry")
end
