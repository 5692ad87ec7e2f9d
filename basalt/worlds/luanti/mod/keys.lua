-- MineRL's keys without a function in the engine, swapHands and pickItem: the environment writes those that
-- are held into the file "keys", one letter each.

local path = minetest.get_worldpath() .. "/keys"
local REACH = 4.5
local OFFHAND_SCALE = {x = 2.5, y = 2.5}

basalt.OFFHAND = "offhand"     -- inventory list of one slot

-- Swaps the items in the hand and in the off hand.
local function swap_hands(player)
	local inventory = player:get_inventory()
	local held, off = player:get_wielded_item(), inventory:get_stack(basalt.OFFHAND, 1)
	player:set_wielded_item(off)
	inventory:set_stack(basalt.OFFHAND, 1, held)
end

-- An image of an item: its own, or a cube of its tiles.
local function picture_of(name)
	local def = minetest.registered_items[name]
	if not def or name == "" then
		return ""
	elseif def.inventory_image ~= "" then
		return def.inventory_image .. "^[resize:16x16"
	end
	local tiles = {}
	for k, tile in ipairs(def.tiles or {}) do
		tiles[k] = type(tile) == "table" and tile.name or tile
	end
	local top, side = tiles[1] or "", tiles[6] or tiles[3] or tiles[1] or ""
	return minetest.inventorycube(top, side, side) .. "^[resize:16x16"
end

-- Shows the item in the off hand left of the hotbar, as in Minecraft.
local shown, element

local function show_offhand(player)
	local name = player:get_inventory():get_stack(basalt.OFFHAND, 1):get_name()
	if name == shown then
		return
	end
	shown = name
	local image = picture_of(name)
	if element then
		player:hud_change(element, "text", image)
	else
		local kind = minetest.features.hud_def_type_field and "type" or "hud_elem_type"
		element = player:hud_add({[kind] = "image", text = image, position = {x = 0.5, y = 1},
			offset = {x = -300, y = -34}, alignment = {x = 0, y = 0}, scale = OFFHAND_SCALE})
	end
end

-- The item of a node: itself or, for the many states of a door or a plant, what it drops.
local function item_of(name)
	local def = minetest.registered_nodes[name]
	if not def then
		return nil
	end
	local groups = def.groups or {}
	if groups.not_in_creative_inventory and groups.not_in_creative_inventory > 0 then
		return type(def.drop) == "string" and def.drop ~= "" and ItemStack(def.drop):get_name() or nil
	end
	return name
end

-- Swaps the item in the hand with the carried item of the node that is pointed at.
local function pick_item(player)
	local from = vector.offset(player:get_pos(), 0, player:get_properties().eye_height, 0)
	local to = vector.add(from, vector.multiply(player:get_look_dir(), REACH))
	for thing in minetest.raycast(from, to, false, false) do
		local item = item_of(minetest.get_node(thing.under).name)
		local inventory = player:get_inventory()
		for k, stack in ipairs(item and inventory:get_list("main") or {}) do
			if stack:get_name() == item and k ~= player:get_wield_index() then
				inventory:set_stack("main", k, player:get_wielded_item())
				player:set_wielded_item(stack)
				return
			end
		end
		return
	end
end

local KEYS = {{letter = "p", act = pick_item}, {letter = "s", act = swap_hands}}

-- Open all the time, because the engine checks every path that is opened; not buffered, to see each change.
local keys = assert(io.open(path, "r"))
keys:setvbuf("no")

-- Once per step: keys that were just pressed take effect.
function basalt.use_keys(player)
	show_offhand(player)
	keys:seek("set")
	local letters = keys:read("*a") or ""
	for _, key in ipairs(KEYS) do
		local held = letters:find(key.letter, 1, true) ~= nil
		if held and not key.held then
			key.act(player)
		end
		key.held = held
	end
end
