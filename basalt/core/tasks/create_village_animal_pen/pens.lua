-- The pens that the player built: places that a walking animal cannot leave, found again after every change of the
-- map. Gates bound a pen whether they are open or closed; their state is a fact of its own.
--
-- The ground beside every fence and gate of the player is flood-filled, up and down the steps that an animal takes.
-- An area of up to MAX_CELLS is enclosed. Houses, steep steps and village walls may bound a pen too, but an area
-- that includes the inside of a house is not a pen.

local steering = basalt.load("village/steering")

local pens = {all = {}}

local MAX_CELLS = 300
local MAX_DROP = 2
local BESIDE = 4         -- largest distance in nodes between a pen and a house beside it

local ours, changed = {}, false   -- the player's fences and gates, by hash of their place

local function key(x, y, z)
	return minetest.hash_node_position({x = x, y = y, z = z})
end

local function is_gate(name)
	return name:find("^doors:gate_") ~= nil
end

local function is_fence(name)
	local def = minetest.registered_nodes[name]
	return is_gate(name) or (def and def.groups.fence) ~= nil
end

local function kind_at(x, y, z)
	if is_gate(minetest.get_node({x = x, y = y, z = z}).name) then
		return "fence"
	end
	local kind = steering.kind_at(x, y, z)
	return kind == "bad" and "free" or kind
end

-- The height that an animal with its feet at (x, y, z) reaches in the column (nx, nz), or nil and the height of
-- what is in the way.
local function walk_into(y, nx, nz)
	local feet = kind_at(nx, y, nz)
	if feet == "fence" then
		return nil, y
	elseif feet == "solid" then
		if kind_at(nx, y + 1, nz) == "free" and kind_at(nx, y + 2, nz) == "free" then
			return y + 1
		end
		return nil, y + 1
	end
	for drop = 0, MAX_DROP do
		local under = kind_at(nx, y - drop - 1, nz)
		if under == "fence" then
			return nil, y - drop - 1
		elseif under == "solid" then
			return y - drop
		end
	end
	return nil, y
end

local SIDES = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}}
local CORNERS = {{1, 1}, {1, -1}, {-1, 1}, {-1, -1}}

-- Flood fill from a place: its cells and the player's barriers around them, or nil if it is not enclosed.
local function flood(x, y, z, outside)
	local cells, list, fences, gates = {[key(x, y, z)] = true}, {{x, y, z}}, {}, {}
	local k = 1
	local function step_to(nx, ny, nz)
		local place = key(nx, ny, nz)
		if not cells[place] then
			cells[place] = true
			list[#list + 1] = {nx, ny, nz}
		end
		return outside[place]
	end
	while k <= #list do
		local cx, cy, cz = list[k][1], list[k][2], list[k][3]
		local open = {}
		for n, side in ipairs(SIDES) do
			local nx, nz = cx + side[1], cz + side[2]
			local ny, wall = walk_into(cy, nx, nz)
			if ny then
				open[n] = true
				if step_to(nx, ny, nz) then
					return nil, list
				end
			else
				local place = key(nx, wall, nz)
				if ours[place] then
					fences[place] = {nx, wall, nz}
					if is_gate(minetest.get_node({x = nx, y = wall, z = nz}).name) then
						gates[place] = fences[place]
					end
				end
				open[n] = kind_at(nx, cy, nz) ~= "solid"
			end
		end
		-- Two fences that only touch at a corner leave a gap.
		for _, corner in ipairs(CORNERS) do
			if open[corner[1] == 1 and 1 or 2] and open[corner[2] == 1 and 3 or 4] then
				local ny = walk_into(cy, cx + corner[1], cz + corner[2])
				if ny and step_to(cx + corner[1], ny, cz + corner[2]) then
					return nil, list
				end
			end
		end
		if #list > MAX_CELLS then
			return nil, list
		end
		k = k + 1
	end
	if not next(fences) then
		return nil, list
	end
	return {cells = cells, list = list, fences = fences, gates = gates}, list
end

local function find_pens()
	local found, inside, outside = {}, {}, {}
	local starts = {}
	for place, pos in pairs(ours) do
		starts[#starts + 1] = {place, pos}
	end
	table.sort(starts, function(a, b) return a[1] < b[1] end)
	for _, start in ipairs(starts) do
		local p = start[2]
		for _, side in ipairs(SIDES) do
			local y = walk_into(p.y, p.x + side[1], p.z + side[2])
			local place = y and key(p.x + side[1], y, p.z + side[2])
			if place and not inside[place] and not outside[place] then
				local pen, list = flood(p.x + side[1], y, p.z + side[2], outside)
				local away = math.huge
				for _, cell in ipairs(list) do
					(pen and inside or outside)[key(cell[1], cell[2], cell[3])] = true
					if pen then
						away = math.min(away, basalt.to_house(cell[1], cell[3]))
					end
				end
				if pen and away > 0 then
					pen.to_house = away
					found[#found + 1] = pen
				end
			end
		end
	end
	return found
end

minetest.register_on_placenode(function(pos, node, placer)
	if placer and placer:is_player() and is_fence(node.name) then
		ours[key(pos.x, pos.y, pos.z)] = vector.new(pos)
	end
	changed = true
end)

minetest.register_on_dignode(function(pos)
	ours[key(pos.x, pos.y, pos.z)] = nil
	changed = true
end)

function pens.begin()
	ours, changed, pens.all = {}, false, {}
end

local function is_in(pen, pos)
	local x, z = math.floor(pos.x + 0.5), math.floor(pos.z + 0.5)
	local y = math.floor(pos.y + 0.55)
	return pen.cells[key(x, y, z)] or pen.cells[key(x, y - 1, z)] or pen.cells[key(x, y + 1, z)]
end

-- The animals in a pen: {kind = count}, the number of kinds, and the largest number of one kind.
local function animals_in(pen, animals)
	local counts, kinds, most = {}, 0, 0
	for _, animal in ipairs(animals) do
		local pos = animal.object:get_pos()
		if pos and is_in(pen, pos) then
			local name = animal.name_of_kind
			if not counts[name] then
				kinds = kinds + 1
			end
			counts[name] = (counts[name] or 0) + 1
			most = math.max(most, counts[name])
		end
	end
	return counts, kinds, most
end

local function is_closed(pen)
	for _, gate in pairs(pen.gates) do
		if minetest.get_node({x = gate[1], y = gate[2], z = gate[3]}).name:find("_open$") then
			return false
		end
	end
	return true
end

-- The facts of the pen that fulfils the task best.
function pens.facts(animals)
	if changed then
		pens.all, changed = find_pens(), false
	end
	local best
	for _, pen in ipairs(pens.all) do
		local counts, kinds, most = animals_in(pen, animals)
		local gate = next(pen.gates) ~= nil
		local score = (most >= 2 and 8 or most) + (kinds == 1 and 4 or 0) + (gate and 2 or 0)
			+ (pen.to_house <= BESIDE and 2 or 0)
		if not best or score > best.score then
			local listed = {}
			for name, count in pairs(counts) do
				listed[#listed + 1] = name .. " " .. count
			end
			table.sort(listed)
			best = {score = score, animals = table.concat(listed, ", "), kinds = kinds, most = most,
				gate = gate, closed = is_closed(pen), cells = #pen.list, to_house = pen.to_house}
		end
	end
	return {
		pens = #pens.all,
		pen_animals = best and best.animals or "",
		pen_kinds = best and best.kinds or 0,
		pen_most_of_a_kind = best and best.most or 0,
		pen_gate = best ~= nil and best.gate,
		pen_gate_closed = best ~= nil and best.gate and best.closed,
		pen_beside_house = best ~= nil and best.to_house <= BESIDE,
		pen_size = best and best.cells or 0,
	}
end

return pens
