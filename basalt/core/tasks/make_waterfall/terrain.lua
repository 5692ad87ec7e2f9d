-- Steep mountains with meadows and woods between them; no caves.

return {
	settings = {
		mg_name = "v7",
		mg_flags = "nocaves,nodungeons,light,decorations,biomes,ores",
		water_level = "1",
		mgv7_spflags = "mountains,noridges,nofloatlands,nocaverns",
		mgv7_mount_zero_level = "4",
	},
	noises = {
		mg_biome_np_heat = {offset = 54, scale = 8, spread = {x = 220, y = 220, z = 220},
			seed = 5349, octaves = 3, persist = 0.5, lacunarity = 2.0, flags = "eased"},
		mg_biome_np_humidity = {offset = 52, scale = 16, spread = {x = 160, y = 160, z = 160},
			seed = 842, octaves = 3, persist = 0.5, lacunarity = 2.0, flags = "eased"},
		mgv7_np_terrain_base = {offset = 14, scale = 12, spread = {x = 220, y = 220, z = 220},
			seed = 82341, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
		mgv7_np_terrain_alt = {offset = 12, scale = 8, spread = {x = 300, y = 300, z = 300},
			seed = 5934, octaves = 4, persist = 0.45, lacunarity = 2.0, flags = "eased"},
		mgv7_np_mount_height = {offset = 70, scale = 20, spread = {x = 400, y = 400, z = 400},
			seed = 72449, octaves = 3, persist = 0.6, lacunarity = 2.0, flags = "eased"},
		mgv7_np_mountain = {offset = 0.25, scale = 1.0, spread = {x = 85, y = 110, z = 85},
			seed = 5333, octaves = 5, persist = 0.6, lacunarity = 2.0, flags = ""},
	},
}
