-- What the nodes of the map mean for a player.

local function definition(pos)
	return minetest.registered_nodes[minetest.get_node(pos).name] or {}
end

function basalt.is_liquid(pos)
	return (definition(pos).liquidtype or "none") ~= "none"
end

function basalt.is_lava(pos)
	return minetest.get_item_group(minetest.get_node(pos).name, "lava") > 0
end

-- What is above a place: "ground", "plant" (only leaves or wood), or nil for the open sky.
function basalt.roof_above(pos)
	local plant
	for up = 1, 64 do
		local def = definition({x = pos.x, y = pos.y + up, z = pos.z})
		if def.walkable ~= false and def.name ~= "ignore" and def.name then
			local groups = def.groups or {}
			if groups.leaves or groups.tree or groups.leafdecay or groups.choppy then
				plant = "plant"
			else
				return "ground"
			end
		end
	end
	return plant
end
