-- The three styles of villages: their land and their materials.

basalt.styles = {}

basalt.styles.plains = {
	heat = {offset = 54, scale = 5}, humidity = {offset = 46, scale = 12},
	top = "default:dirt_with_grass", fill = "default:dirt", under = "default:stone",
	street = {"default:gravel", "default:gravel", "default:cobble"},
	base = "default:cobble", floor = "default:wood", wall = "default:wood",
	post = "default:tree", roof_stair = "stairs:stair_wood", roof_slab = "stairs:slab_wood",
	roof = "default:wood", fence = "default:fence_wood", lamp = "default:mese_post_light",
	edge = "default:tree", tree = "apple_tree",
	growth = {{"default:grass_3", 20}, {"default:grass_2", 20}, {"default:grass_4", 14},
		{"default:grass_5", 6}, {"flowers:dandelion_yellow", 4}, {"flowers:rose", 3},
		{"flowers:dandelion_white", 3}, {"flowers:tulip", 2}, {"flowers:viola", 2}},
	growth_share = 0.12,
}

basalt.styles.desert = {
	heat = {offset = 92, scale = 3}, humidity = {offset = 16, scale = 3},
	top = "default:desert_sand", fill = "default:desert_sand", under = "default:desert_stone",
	street = {"default:silver_sandstone", "default:silver_sandstone", "default:sandstone_block"},
	base = "default:sandstone_block", floor = "default:sandstone_block", wall = "default:sandstone",
	post = "default:sandstonebrick", roof_stair = "stairs:stair_terracotta",
	roof_slab = "stairs:slab_terracotta", roof = "basalt_world:terracotta",
	fence = "default:fence_wood", lamp = "default:mese_post_light",
	edge = "default:sandstone_block", tree = "large_cactus",
	growth = {{"default:dry_shrub", 8}, {"default:dry_grass_2", 3}, {"default:dry_grass_4", 2}},
	growth_share = 0.02,
}

basalt.styles.snowy = {
	heat = {offset = 21, scale = 3}, humidity = {offset = 46, scale = 9},
	top = "default:dirt_with_snow", fill = "default:dirt", under = "default:stone",
	dust = "default:snow",
	street = {"default:gravel", "default:gravel", "default:cobble"},
	base = "default:cobble", floor = "default:pine_wood", wall = "default:pine_wood",
	post = "default:pine_tree", roof_stair = "stairs:stair_snowblock",
	roof_slab = "stairs:slab_snowblock", roof = "default:snowblock",
	fence = "default:fence_pine_wood", lamp = "default:mese_post_light_pine_wood",
	edge = "default:pine_tree", tree = "small_pine_tree",
	growth = {}, growth_share = 0,
}

-- Half of the seeds are plains, the official tasks' biome; the other styles are equally frequent.
local by_lot = {"plains", "plains", "desert", "snowy"}

function basalt.style_of_seed(seed)
	return by_lot[PcgRandom(seed):next(1, #by_lot)]
end
