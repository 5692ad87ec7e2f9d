-- The world's own mod: basalt.json in the world's folder says which task it is and what to do:
-- "search" finds the task's site in a fresh world and saves it, "play" is one episode in a copy.

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

dofile(folder .. "/terrain.lua")
dofile(folder .. "/quiet.lua")

if basalt.config.mode == "search" then
	dofile(folder .. "/voxels.lua")
	dofile(folder .. "/paths.lua")
	dofile(folder .. "/find_cave.lua")
	dofile(folder .. "/search.lua")
else
	basalt.site = assert(read_json("site.json"), "site.json is missing in the world's folder")
	dofile(folder .. "/caves.lua")
	dofile(folder .. "/player.lua")
	dofile(folder .. "/sky.lua")
	dofile(folder .. "/sending.lua")
	dofile(folder .. "/telemetry.lua")
end
