-- Gentle grassland with some woods; tunnels that are wide enough to walk in and open at hillsides.

return {
	settings = {
		mg_name = "v7",
		mg_flags = "caves,nodungeons,light,decorations,biomes,ores",
		water_level = "1",
		mgv7_spflags = "nomountains,noridges,nofloatlands,nocaverns",
		mgv7_cave_width = "0.065",
		mgv7_large_cave_depth = "-33",
		mgv7_large_cave_num_min = "0",
		mgv7_large_cave_num_max = "0",
		mgv7_small_cave_num_min = "0",
		mgv7_small_cave_num_max = "0",
	},
	noises = {
		-- Around grassland (heat 50, humidity 35), reaching into deciduous forest.
		mg_biome_np_heat = {offset = 55, scale = 8, spread = {x = 300, y = 300, z = 300},
			seed = 5349, octaves = 3, persist = 0.5, lacunarity = 2.0, flags = "eased"},
		mg_biome_np_humidity = {offset = 50, scale = 14, spread = {x = 120, y = 120, z = 120},
			seed = 842, octaves = 3, persist = 0.5, lacunarity = 2.0, flags = "eased"},
		-- Land well above the sea, in long hills.
		mgv7_np_terrain_base = {offset = 18, scale = 15, spread = {x = 220, y = 220, z = 220},
			seed = 82341, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
		mgv7_np_terrain_alt = {offset = 16, scale = 8, spread = {x = 300, y = 300, z = 300},
			seed = 5934, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
	},
}
