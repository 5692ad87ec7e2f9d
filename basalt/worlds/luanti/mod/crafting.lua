-- Crafting as Minecraft's players know it: a 2 x 2 grid in the inventory, 3 x 3 at a crafting table, and
-- Minecraft's recipes where those of the game differ. The screens have Minecraft's sizes at GUI scale 1 (pixels
-- of BEDD's videos): slots of 16 pixels, 18 apart, with the hotbar as the lowest row.

-- Pixels of a formspec's unit in a frame 360 pixels high; the engine's version decides (settings.py).
local UNIT = tonumber(minetest.settings:get("basalt_form_unit"))
local WIDTH, HEIGHT, SLOT, GAP = 176, 166, 16, 2
local SMALL_GRID, LARGE_GRID = 2, 3
local TABLE_FORM = "basalt_world:crafting_table"

local function at(...)
	local numbers = {...}
	for k, pixels in ipairs(numbers) do
		numbers[k] = ("%.5f"):format((pixels + 0.02) / UNIT)     -- the game rounds down
	end
	return table.concat(numbers, ",")
end

local function slots(list, x, y, columns, rows, first)
	return ("list[current_player;%s;%s;%d,%d;%d]"):format(list, at(x, y), columns, rows, first or 0)
end

local function label(x, y, text)
	return ("label[%s;%s]"):format(at(x, y), text)
end

local function arrow(x, y)
	return ("image[%s;%s;gui_furnace_arrow_bg.png^[transformR270]"):format(at(x, y), at(16, 16))
end

-- A panel with the player's slots, and what is shown above them.
local function form(parts)
	return table.concat({
		"formspec_version[4]",
		("size[%s]"):format(at(WIDTH, HEIGHT)),
		"no_prepend[]",
		"bgcolor[#C6C6C6FF;both;#10101090]",
		"listcolors[#8B8B8BFF;#B4B4C8FF;#373737FF;#100010F0;#FFFFFFFF]",
		"style_type[label;textcolor=#404040]",
		("style_type[list;size=%s;spacing=%s]"):format(at(SLOT, SLOT), at(GAP, GAP)),
		parts,
		slots("main", 8, 84, 9, 3, 9),
		slots("main", 8, 142, 9, 1),
		"listring[current_player;main]",
		"listring[current_player;craft]",
	})
end

-- The player from the front, from parts of its skin: {x, y in the panel, x, y in the skin, width, height}.
local function portrait()
	local parts = {}
	for _, p in ipairs({{4, 0, 8, 8, 8, 8}, {4, 8, 20, 20, 8, 12}, {0, 8, 44, 20, 4, 12},
		{12, 8, 44, 20, 4, 12}, {4, 20, 4, 20, 4, 12}, {8, 20, 4, 20, 4, 12}}) do
		parts[#parts + 1] = ("%d,%d=[combine\\:%dx%d\\:-%d,-%d=character.png"):format(p[1], p[2], p[5], p[6], p[3], p[4])
	end
	return "[combine:16x32:" .. table.concat(parts, ":")
end

basalt.inventory_form = form(table.concat({
	label(97, 10, "Crafting"),
	slots("craft", 98, 18, SMALL_GRID, SMALL_GRID),
	arrow(135, 28),
	slots("craftpreview", 154, 28, 1, 1),
	slots(basalt.OFFHAND, 77, 62, 1, 1),
	("box[%s;%s;#000000FF]"):format(at(26, 8), at(49, 70)),
	("image[%s;%s;%s]"):format(at(35, 12), at(32, 64), minetest.formspec_escape(portrait())),
}))

local table_form = form(table.concat({
	label(28, 8, "Crafting"),
	slots("craft", 30, 17, LARGE_GRID, LARGE_GRID),
	arrow(93, 36),
	slots("craftpreview", 124, 35, 1, 1),
}))

-- ---- the grid ----

local function set_grid(player, edge)
	local inventory = player:get_inventory()
	inventory:set_size("craft", edge * edge)
	inventory:set_width("craft", edge)
end

-- Returns what is in the grid to the player, or drops it where the player has no room.
local function put_back(player)
	local inventory = player:get_inventory()
	for _, list in ipairs({"craft", "craftresult"}) do
		for k, stack in ipairs(inventory:get_list(list) or {}) do
			local left = inventory:add_item("main", stack)
			if not left:is_empty() then
				minetest.add_item(player:get_pos(), left)
			end
			inventory:set_stack(list, k, ItemStack())
		end
	end
end

-- Empties the grid and makes it the small one.
function basalt.reset_crafting(player)
	for _, list in ipairs({"craft", "craftresult"}) do
		player:get_inventory():set_list(list, {})
	end
	set_grid(player, SMALL_GRID)
end

minetest.register_on_player_receive_fields(function(player, name, fields)
	if fields.quit and (name == "" or name == TABLE_FORM) then
		put_back(player)
		set_grid(player, SMALL_GRID)
	end
end)

minetest.register_node("basalt_world:crafting_table", {
	description = "Crafting Table",
	tiles = {
		"default_wood.png^[colorize:#5a3a1c:70^gui_hb_bg.png",
		"default_wood.png",
		"default_wood.png^default_tool_woodaxe.png", "default_wood.png^default_tool_woodaxe.png",
		"default_wood.png^default_tool_woodpick.png", "default_wood.png^default_tool_woodpick.png",
	},
	groups = {choppy = 2, oddly_breakable_by_hand = 2},
	on_rightclick = function(_, _, player)
		put_back(player)
		set_grid(player, LARGE_GRID)
		minetest.show_formspec(player:get_player_name(), TABLE_FORM, table_form)
	end,
})

-- ---- recipes ----

-- Replaces all recipes that the game has for the item.
local function recipes(output, ...)
	minetest.clear_craft({output = ItemStack(output):get_name()})
	for _, recipe in ipairs({...}) do
		minetest.register_craft({output = output, recipe = recipe})
	end
end

local wood = "group:wood"
recipes("basalt_world:crafting_table", {{wood, wood}, {wood, wood}})
recipes("default:stick 4", {{wood}, {wood}})
recipes("doors:door_wood 3", {{wood, wood}, {wood, wood}, {wood, wood}})

for name in pairs(minetest.registered_nodes) do
	local straight = name:find("^stairs:stair_") and not name:find("_inner_") and not name:find("_outer_")
	local made_of = straight and minetest.get_craft_recipe(name)
	if made_of and made_of.items and made_of.items[9] then
		local x = made_of.items[9]
		recipes(name .. " 4", {{x, "", ""}, {x, x, ""}, {x, x, x}}, {{"", "", x}, {"", x, x}, {x, x, x}})
	end
end
