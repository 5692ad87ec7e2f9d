-- Removes everything that moves at random or in real time and does not belong to a task: animated tiles (their
-- phase differs between runs), random growth, weather, insects, sounds.

local still = {
	["default:water_source"] = "default_water.png",
	["default:water_flowing"] = "default_water.png",
	["default:river_water_source"] = "default_river_water.png",
	["default:river_water_flowing"] = "default_river_water.png",
	["default:lava_source"] = "default_lava.png",
	["default:lava_flowing"] = "default_lava.png",
}
for name, texture in pairs(still) do
	if minetest.registered_nodes[name] then
		local both = {
			{name = texture, backface_culling = false},
			{name = texture, backface_culling = true},
		}
		minetest.override_item(name, {tiles = {texture}, special_tiles = both})
	end
end

for name, def in pairs(minetest.registered_nodes) do
	if name:find("^butterflies:") or name:find("^fireflies:") then
		minetest.override_item(name, {drawtype = "airlike", on_timer = function() end,
			pointable = false, light_source = 0})
	end
end

-- Keeps the engine's own step functions, and those of mods whose nodes a player may use.
local kept = {["*builtin*"] = true, basalt_world = true, default = true}

minetest.register_on_mods_loaded(function()
	local steps = minetest.registered_globalsteps
	for i = #steps, 1, -1 do
		local origin = minetest.callback_origins[steps[i]]
		if not (origin and kept[origin.mod]) then
			table.remove(steps, i)
		end
	end
	for _, list in ipairs({minetest.registered_abms, minetest.registered_lbms}) do
		for i = #list, 1, -1 do
			list[i] = nil
		end
	end
end)
