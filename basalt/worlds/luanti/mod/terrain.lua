-- Sets up the map generator for a task: terrain.settings are texts, terrain.noises are tables of noise parameters,
-- both by the names of the game's settings.

function basalt.shape_terrain(terrain)
	minetest.set_mapgen_setting("seed", tostring(basalt.config.seed), true)
	for name, value in pairs(terrain.settings) do
		minetest.set_mapgen_setting(name, value, true)
	end
	for name, noise in pairs(terrain.noises) do
		minetest.set_mapgen_setting_noiseparams(name, noise, true)
	end
end
