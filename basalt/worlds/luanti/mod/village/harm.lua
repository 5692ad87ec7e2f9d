-- Harm that the player did to the village: its blocks that were dug or built over.

local harm = {blocks = 0}

local function key(x, y, z)
	return minetest.hash_node_position({x = x, y = y, z = z})
end

local village = {}
for k = 1, #basalt.site.blocks, 3 do
	village[key(basalt.site.blocks[k], basalt.site.blocks[k + 1], basalt.site.blocks[k + 2])] = true
end

local harmed = {}

local function note(pos, _, player)
	local place = key(pos.x, pos.y, pos.z)
	if player and player:is_player() and village[place] and not harmed[place] then
		harmed[place] = true
		harm.blocks = harm.blocks + 1
	end
end

minetest.register_on_dignode(note)
minetest.register_on_placenode(note)

function harm.begin()
	harmed, harm.blocks = {}, 0
end

function harm.is_village(pos)
	return village[key(pos.x, pos.y, pos.z)] or false
end

function harm.facts()
	return {village_blocks_harmed = harm.blocks}
end

return harm
