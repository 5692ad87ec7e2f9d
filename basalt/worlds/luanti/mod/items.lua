-- Items of the tasks that the game does not have, with their textures.
-- basalt/worlds/luanti/items.py maps them to Minecraft's items.

-- A texture from 16 rows of 16 letters; palette[letter] = {red, green, blue}, other letters are transparent.
function basalt.texture(palette, rows)
	local pixels = {}
	for _, row in ipairs(rows) do
		for k = 1, #row do
			local colour = palette[row:sub(k, k)]
			pixels[#pixels + 1] = colour and string.char(colour[1], colour[2], colour[3], 255)
				or "\0\0\0\0"
		end
	end
	local png = minetest.encode_png(#rows[1], #rows, table.concat(pixels), 9)
	return "[png:" .. minetest.encode_base64(png)
end

local texture = basalt.texture

minetest.register_craftitem("basalt_world:carrot", {
	description = "Carrot",
	inventory_image = texture({o = {236, 130, 32}, d = {196, 92, 18}, g = {72, 150, 44}, l = {112, 190, 70}}, {
		"................",
		"..........l..g..",
		".........gl.gl..",
		"......l..lg.g...",
		".......g.gglg...",
		"........ggglgl..",
		".......oogg.....",
		"......oodog.....",
		".....odooo......",
		".....ooood......",
		"....odooo.......",
		"...ooood........",
		"...odoo.........",
		"..oood..........",
		"..od............",
		".d..............",
	}),
	groups = {food_carrot = 1},
})

-- Baked clay: one colour with some grain.
local function grain(base, spread)
	local rng, palette, rows = PcgRandom(7), {}, {}
	for k = 0, 4 do
		local by = (k - 2) * spread
		palette[tostring(k)] = {base[1] + by, base[2] + by, base[3] + by}
	end
	for y = 1, 16 do
		local row = {}
		for x = 1, 16 do
			row[x] = tostring(rng:next(0, 4))
		end
		rows[y] = table.concat(row)
	end
	return texture(palette, rows)
end

minetest.register_node("basalt_world:terracotta", {
	description = "Terracotta",
	tiles = {grain({152, 94, 68}, 3)},
	groups = {cracky = 3},
	sounds = default.node_sound_stone_defaults(),
})

-- Minecraft has no such stairs. The roofs of desert villages are built of them, and players can craft them.
stairs.register_stair_and_slab("terracotta", "basalt_world:terracotta", {cracky = 3},
	{grain({152, 94, 68}, 3)}, "Terracotta Stair", "Terracotta Slab",
	default.node_sound_stone_defaults(), false)

local web = texture({w = {232, 236, 238}}, {
	"w......w.......w",
	".w.....w......w.",
	"..w..www.ww..w..",
	"...ww..w...ww...",
	"...ww..w....w...",
	"..w..w.w..w..w..",
	".w....www....w..",
	"wwwwwwwwwwwwwwww",
	".w....www.....w.",
	".w...w.w.w...w..",
	"..w.w..w..w.w...",
	"...w...w...ww...",
	"..ww...w..w.w...",
	"..w..wwww....w..",
	".w.....w......w.",
	"w......w.......w",
})

minetest.register_node("basalt_world:cobweb", {
	description = "Cobweb",
	drawtype = "plantlike",
	tiles = {web},
	inventory_image = web,
	wield_image = web,
	paramtype = "light",
	sunlight_propagates = true,
	walkable = false,
	climbable = true,
	move_resistance = 7,
	groups = {snappy = 2},
})

local clay = grain({150, 82, 58}, 3)
local soil = grain({92, 64, 42}, 4)

minetest.register_node("basalt_world:flower_pot", {
	description = "Flower Pot",
	drawtype = "nodebox",
	tiles = {soil, clay},
	inventory_image = texture({c = {158, 84, 58}, d = {120, 60, 42}, s = {84, 58, 38}}, {
		"................",
		"................",
		"................",
		"................",
		"...cccccccccc...",
		"...cssssssssd...",
		"...cccccccccd...",
		"...dddddddddd...",
		"....cccccccd....",
		"....cccccccd....",
		"....cccccccd....",
		".....ccccccd....",
		".....cccccd.....",
		".....cccccd.....",
		".....dddddd.....",
		"................",
	}),
	paramtype = "light",
	sunlight_propagates = true,
	node_box = {type = "fixed", fixed = {
		{-3 / 16, -8 / 16, -3 / 16, 3 / 16, -4 / 16, 3 / 16},
		{-4 / 16, -4 / 16, -4 / 16, 4 / 16, -2 / 16, -3 / 16},
		{-4 / 16, -4 / 16, 3 / 16, 4 / 16, -2 / 16, 4 / 16},
		{-4 / 16, -4 / 16, -3 / 16, -3 / 16, -2 / 16, 3 / 16},
		{3 / 16, -4 / 16, -3 / 16, 4 / 16, -2 / 16, 3 / 16},
	}},
	selection_box = {type = "fixed", fixed = {-4 / 16, -8 / 16, -4 / 16, 4 / 16, -2 / 16, 4 / 16}},
	groups = {dig_immediate = 2, attached_node = 1},
	sounds = default.node_sound_stone_defaults(),
})

local lantern = texture({i = {62, 64, 74}, d = {40, 42, 50}, y = {255, 214, 110}, o = {240, 150, 50}}, {
	"......iiii......",
	".....i....i.....",
	"......iiii......",
	".....iiiiii.....",
	"....iiiiiiii....",
	"...iiiiiiiiii...",
	"...dyyyyyyyyd...",
	"...dyyyyyyyyd...",
	"...dyyooooyyd...",
	"...dyooooooyd...",
	"...dyyooooyyd...",
	"...dyyyyyyyyd...",
	"...dyyyyyyyyd...",
	"...dddddddddd...",
	"...iiiiiiiiii...",
	"................",
})
local glass = texture({i = {62, 64, 74}, y = {255, 214, 110}, o = {240, 150, 50}}, {
	"................", "................", "................", "................", "................",
	"................", "................",
	".....iiiiii.....",
	".....iyyyyi.....",
	".....iyooyi.....",
	".....iyooyi.....",
	".....iyooyi.....",
	".....iyyyyi.....",
	".....iiiiii.....",
	".....iiiiii.....",
	".....iiiiii.....",
})
local iron = grain({66, 68, 78}, 3)

minetest.register_node("basalt_world:lantern", {
	description = "Lantern",
	drawtype = "nodebox",
	tiles = {iron, iron, iron .. "^" .. glass},
	inventory_image = lantern,
	wield_image = lantern,
	paramtype = "light",
	light_source = 14,
	sunlight_propagates = true,
	node_box = {type = "fixed", fixed = {
		{-3 / 16, -8 / 16, -3 / 16, 3 / 16, 1 / 16, 3 / 16},
		{-2 / 16, 1 / 16, -2 / 16, 2 / 16, 3 / 16, 2 / 16},
	}},
	groups = {cracky = 3, oddly_breakable_by_hand = 2, attached_node = 1},
	sounds = default.node_sound_metal_defaults(),
})

-- What animals drop: meat in four colours, feathers, leather.
local MEAT = {
	"................",
	"................",
	"......ddddd.....",
	"....ddmmmmmdd...",
	"...dmmmmfmmmmd..",
	"..dmmmffmmmmmd..",
	"..dmmfmmmmmmmd..",
	".dmmmmmmmmfmmd..",
	".dmmmmmmmffmmd..",
	".dmmfmmmmmmmd...",
	".dmmmffmmmmmd...",
	"..dmmmmmmmdd....",
	"...ddmmmddbb....",
	".....ddd..bwb...",
	"..........bwwb..",
	"...........bb...",
}
local bone = {b = {150, 140, 120}, w = {238, 232, 214}}
local meats = {
	beef = {"Beef", {186, 52, 44}, {232, 190, 180}},
	porkchop = {"Porkchop", {232, 140, 130}, {250, 210, 200}},
	mutton = {"Mutton", {198, 92, 78}, {240, 200, 186}},
	chicken = {"Chicken", {238, 190, 160}, {250, 226, 206}},
}
for name, meat in pairs(meats) do
	local m, f = meat[2], meat[3]
	minetest.register_craftitem("basalt_world:" .. name, {
		description = meat[1],
		inventory_image = texture({m = m, f = f, d = {m[1] * 0.6, m[2] * 0.6, m[3] * 0.6},
			b = bone.b, w = bone.w}, MEAT),
	})
end

minetest.register_craftitem("basalt_world:feather", {
	description = "Feather",
	inventory_image = texture({w = {244, 244, 244}, g = {190, 194, 200}, d = {120, 124, 132}}, {
		"................",
		"............ww..",
		"..........wwwg..",
		".........wwwgg..",
		"........wwwgw...",
		".......wwwgwg...",
		"......wwwgwg....",
		".....wwwgwwg....",
		".....wwgwwg.....",
		"....wwgwwg......",
		"....wgwwg.......",
		"....gwwg........",
		"...d.gg.........",
		"..d.............",
		".d..............",
		"................",
	}),
})

minetest.register_craftitem("basalt_world:leather", {
	description = "Leather",
	inventory_image = texture({l = {166, 98, 52}, d = {112, 62, 32}, h = {198, 130, 78}}, {
		"................",
		"..dd........dd..",
		".dlld.dddd.dlld.",
		".dlllllllllllld.",
		"..dlhllllllhld..",
		"...dlhllllllld..",
		"...dllllllhld...",
		"...dlllllllld...",
		"...dlhllllhld...",
		"..dllllllllld...",
		"..dlhllllllhld..",
		".dllllllllllld..",
		".dlld.dddd.dlld.",
		"..dd........dd..",
		"................",
		"................",
	}),
})
