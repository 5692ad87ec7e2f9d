-- What hands do in Minecraft but not in the game: drop one item at a time, fill a bucket with the use key.

local REACH = 4.5

local drop = minetest.item_drop

-- Drops one item of the stack, or all of them with the sprint key, as in Minecraft.
function minetest.item_drop(stack, dropper, pos)
	if dropper and dropper:is_player() and not dropper:get_player_control().aux1 then
		drop(stack:take_item(1), dropper, pos)
		return stack
	end
	return drop(stack, dropper, pos)
end

local FULL = {
	["default:water_source"] = "bucket:bucket_water",
	["default:river_water_source"] = "bucket:bucket_river_water",
	["default:lava_source"] = "bucket:bucket_lava",
}

-- Flowing water does not hide the source behind it.
local function fill(stack, player)
	local from = vector.offset(player:get_pos(), 0, player:get_properties().eye_height, 0)
	local to = vector.add(from, vector.multiply(player:get_look_dir(), REACH))
	for thing in minetest.raycast(from, to, false, true) do
		local name = minetest.get_node(thing.under).name
		if FULL[name] and stack:get_count() == 1 then
			minetest.remove_node(thing.under)
			return ItemStack(FULL[name])
		elseif (minetest.registered_nodes[name] or {}).walkable ~= false then
			return nil
		end
	end
	return nil
end

minetest.override_item("bucket:bucket_empty", {
	on_place = function(stack, player, pointed)
		local def = minetest.registered_nodes[minetest.get_node(pointed.under).name]
		if def and def.on_rightclick then
			return def.on_rightclick(pointed.under, minetest.get_node(pointed.under), player, stack, pointed)
		end
		return fill(stack, player)
	end,
	on_secondary_use = fill,
})
