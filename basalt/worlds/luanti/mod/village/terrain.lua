-- Flat land without caves, in the climate of the seed's style of village.

local style = basalt.styles[basalt.style_of_seed(basalt.config.seed)]

local function climate(seed, spread, wanted)
	return {offset = wanted.offset, scale = wanted.scale, spread = {x = spread, y = spread, z = spread},
		seed = seed, octaves = 3, persist = 0.5, lacunarity = 2.0, flags = "eased"}
end

return {
	settings = {
		mg_name = "v7",
		mg_flags = "nocaves,nodungeons,light,decorations,biomes,ores",
		water_level = "1",
		mgv7_spflags = "nomountains,noridges,nofloatlands,nocaverns",
	},
	noises = {
		mg_biome_np_heat = climate(5349, 300, style.heat),
		mg_biome_np_humidity = climate(842, 120, style.humidity),
		-- Well above the sea, in low, long waves.
		mgv7_np_terrain_base = {offset = 14, scale = 7, spread = {x = 180, y = 180, z = 180},
			seed = 82341, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
		mgv7_np_terrain_alt = {offset = 12, scale = 5, spread = {x = 240, y = 240, z = 240},
			seed = 5934, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
	},
}
