-- A twin: changes one thing of the saved world before the player sees it (basalt/worlds/edits.py). Changes of the
-- inventory are made where the inventory is given.

local edit = basalt.config.edit or {}

local function name_of(pos)
	minetest.load_area(pos)
	return minetest.get_node(pos).name
end

local function change_block(change)
	local pos = vector.new(unpack(change.position))
	local spawn = vector.new(unpack(basalt.site.spawn))
	local was = name_of(pos)
	if was == "ignore" then
		return "edit.block.position: outside the saved land"
	elseif not minetest.registered_nodes[change.to] then
		return "edit.block.to: the game has no block " .. change.to
	elseif was == change.to then
		return "edit.block.to: is there already: " .. change.to
	elseif pos.x == spawn.x and pos.z == spawn.z and (pos.y == spawn.y or pos.y == spawn.y + 1) then
		return "edit.block.position: the player begins there"
	end
	minetest.set_node(pos, {name = change.to})
end

local function change_item(change)
	if change.to and not minetest.registered_items[change.to] then
		return "edit.item.to: the game has no item " .. change.to
	end
end

-- The village is filled from the site's list. Its numbers, and so the animals' random numbers, stay the same.
local function change_animal(change)
	local list = basalt.site.creatures or {}
	local one = list[change.number]
	if not one or one.kind == "villager" then
		return ("edit.animal.number: there is no animal %d"):format(change.number)
	elseif change.position then
		local pos = vector.new(unpack(change.position))
		local was = name_of(pos)
		if was == "ignore" then
			return "edit.animal.position: outside the saved land"
		elseif (minetest.registered_nodes[was] or {}).walkable ~= false then
			return "edit.animal.position: inside a block of " .. was
		end
		one.at = change.position
	elseif one.kind == change.to then
		return ("edit.animal.to: animal %d is a %s already"):format(change.number, change.to)
	else
		one.kind = change.to
	end
end

local tried, refused

-- Makes the change, once. Returns the reason if it cannot be made.
function basalt.apply_edit()
	if not tried then
		tried = true
		if edit.block then
			refused = change_block(edit.block)
		elseif edit.item then
			refused = change_item(edit.item)
		elseif edit.animal then
			refused = change_animal(edit.animal)
		end
	end
	return refused
end
