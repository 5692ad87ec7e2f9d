-- Houses, farms, wells and lamps, built in a frame of their own: seen from the street, `a` runs from left to
-- right, `up` from the ground upwards, and `b` from the front to the back.

-- A frame: put(a, up, b, node[, facing]) with facing one of "back", "front", "right", "left".
-- origin: the ground at a = 0, b = 0; into: unit vector away from the street.
function basalt.frame(origin, into, set)
	local along = {x = into.z, z = -into.x}
	local frame = {origin = origin, into = into, along = along}
	local facings = {
		back = into, front = {x = -into.x, z = -into.z},
		right = along, left = {x = -along.x, z = -along.z},
	}
	function frame.at(a, up, b)
		return {
			x = origin.x + a * along.x + b * into.x,
			y = origin.y + up,
			z = origin.z + a * along.z + b * into.z,
		}
	end
	function frame.facedir(facing)
		local d = facings[facing]
		return minetest.dir_to_facedir({x = d.x, y = 0, z = d.z})
	end
	function frame.wallmounted(facing)
		local d = facings[facing]
		return minetest.dir_to_wallmounted({x = d.x, y = 0, z = d.z})
	end
	function frame.put(a, up, b, name, param2)
		set(frame.at(a, up, b), name, param2 or 0)
	end
	return frame
end

basalt.house_types = {
	{name = "hut", width = 5, depth = 5, height = 3, ridge = "across"},
	{name = "cottage", width = 7, depth = 6, height = 3, ridge = "along"},
	{name = "house", width = 7, depth = 8, height = 3, ridge = "across", chimney = true},
	{name = "long house", width = 9, depth = 6, height = 3, ridge = "along", chimney = true},
	{name = "tall house", width = 7, depth = 7, height = 6, ridge = "across", chimney = true},
}

local AIR = "air"

-- Log beams run along the street (a) or away from it (b).
local function beam(frame, style, axis)
	if not style.post:find("tree") then
		return 0
	end
	local along_x = (axis == "a") == (frame.along.x ~= 0)
	return along_x and 12 or 4
end

local function walls(frame, style, kind, door)
	local w, d, h = kind.width, kind.depth, kind.height
	for b = 0, d - 1 do
		for a = 0, w - 1 do
			local edge_a, edge_b = a == 0 or a == w - 1, b == 0 or b == d - 1
			frame.put(a, -1, b, style.base)
			frame.put(a, 0, b, (edge_a or edge_b) and style.base or style.floor)
			for up = 1, h do
				if edge_a and edge_b then
					frame.put(a, up, b, style.post)
				elseif edge_a or edge_b then
					frame.put(a, up, b, up == 1 and style.base or style.wall)
				else
					frame.put(a, up, b, AIR)
				end
			end
		end
	end
	if h > 4 then -- a second floor, on beams
		for b = 0, d - 1 do
			for a = 0, w - 1 do
				local edge_a, edge_b = a == 0 or a == w - 1, b == 0 or b == d - 1
				if edge_a ~= edge_b then
					frame.put(a, 4, b, style.post, beam(frame, style, edge_b and "a" or "b"))
				elseif not edge_a then
					frame.put(a, 4, b, style.floor)
				end
			end
		end
	end
	frame.put(door, 1, 0, "doors:door_wood_a", frame.facedir("back"))
	frame.put(door, 2, 0, "doors:hidden", frame.facedir("back"))
end

local function windows(frame, kind, door)
	local w, d = kind.width, kind.depth
	local across = frame.facedir("back") % 2
	local function front_or_back(a, up, b)
		frame.put(a, up, b, "xpanes:pane_flat", across == 0 and 0 or 1)
	end
	local function side(a, up, b)
		frame.put(a, up, b, "xpanes:pane_flat", across == 0 and 1 or 0)
	end
	for floor = 2, kind.height, 4 do
		local up = floor == 2 and 2 or 5
		for a = 1, w - 2 do
			local middle = w == 9 and (a == 2 or a == 6) or w == 7 and (a == 1 or a == 5)
				or w == 5 and a ~= 2
			if middle and (floor > 2 or math.abs(a - door) > 1 or w == 5 and a ~= door) then
				front_or_back(a, up, 0)
			end
			if w == 5 and a == 2 or w > 5 and (a == 2 or a == w - 3) then
				front_or_back(a, up, d - 1)
			end
		end
		if floor > 2 then
			front_or_back(door, up, 0)
		end
		local first, last = 2, d - 3
		side(0, up, first)
		side(w - 1, up, first)
		if last > first then
			side(0, up, last)
			side(w - 1, up, last)
		end
	end
end

-- Builds a gable roof that overhangs by one on all sides. `across`: the ridge runs away from the street.
local function roof(frame, style, kind)
	local across = kind.ridge == "across"
	local span = across and kind.width or kind.depth
	local length = across and kind.depth or kind.width
	local function put(s, up, l, name, param2)
		if across then
			frame.put(s, up, l, name, param2)
		else
			frame.put(l, up, s, name, param2)
		end
	end
	local rise_low = frame.facedir(across and "right" or "back")
	local rise_high = frame.facedir(across and "left" or "front")
	local half = math.floor((span - 1) / 2)
	for l = -1, length do
		for k = -1, half do
			local up = kind.height + k + 1
			local far = span - 1 - k
			local gable = l == 0 or l == length - 1
			if k == far then
				put(k, up, l, style.roof_slab)
				put(k, up - 1, l, style.roof)
			elseif k < far then
				put(k, up, l, style.roof_stair, rise_low)
				put(far, up, l, style.roof_stair, rise_high)
				if gable and k >= 0 then
					for below = kind.height + 1, up - 1 do
						put(k, below, l, style.wall)
						put(far, below, l, style.wall)
					end
				end
			end
		end
		if (l == 0 or l == length - 1) and span % 2 == 1 then
			for below = kind.height + 1, kind.height + half do
				put(half, below, l, style.wall)
			end
		end
	end
	if span >= 7 and across then -- a small window under the gable
		local param2 = frame.facedir("back") % 2 == 0 and 0 or 1
		for _, l in ipairs({0, length - 1}) do
			frame.put(half, kind.height + 1, l, "xpanes:pane_flat", param2)
		end
	end
end

local function furnish(frame, style, kind, door)
	local w, d = kind.width, kind.depth
	frame.put(1, 1, d - 2, "default:bookshelf", frame.facedir("back"))
	if w > 5 then
		frame.put(w - 2, 1, d - 3, "beds:bed_bottom", frame.facedir("back"))
		frame.put(w - 2, 1, d - 2, "beds:bed_top", frame.facedir("back"))
	end
	frame.put(door, 2, d - 2, "default:torch_wall", frame.wallmounted("back"))
	-- On the outside, beside the door.
	local beside = door + 1 <= w - 2 and door + 1 or door - 1
	frame.put(beside, 2, -1, "default:torch_wall", frame.wallmounted("back"))
end

local function chimney(frame, kind)
	local top = kind.height + 1 + math.floor(
		(kind.ridge == "across" and kind.width or kind.depth) / 2) + 1
	local a = kind.ridge == "across" and 1 or kind.width - 2
	for up = 1, top do
		frame.put(a, up, kind.depth - 1, "default:cobble")
	end
	frame.put(a, top + 1, kind.depth - 1, "walls:cobble")
end

-- Builds a house with its front wall at b = 0. Returns its entry in the site.
function basalt.build_house(frame, style, kind, rng)
	local door = math.floor(kind.width / 2)
	if kind.width == 9 then
		door = rng:next(0, 1) == 0 and 3 or 5
	elseif kind.width == 7 and kind.ridge == "along" then
		door = rng:next(2, 4)
	end
	walls(frame, style, kind, door)
	windows(frame, kind, door)
	roof(frame, style, kind)
	if kind.chimney and style.post:find("tree") then
		chimney(frame, kind)
	end
	furnish(frame, style, kind, door)
	frame.put(door, 0, -1, style.base)
	return {
		kind = kind.name,
		corners = {frame.at(0, 0, 0), frame.at(kind.width - 1, 0, kind.depth - 1)},
		door = frame.at(door, 1, 0),
		outside = frame.at(door, 1, -1),
		facing = {x = -frame.into.x, y = 0, z = -frame.into.z},
		height = kind.height,
	}
end

-- Builds a field: rows of crops on wet soil, a ditch in the middle, an edge of logs.
function basalt.build_farm(frame, style, width, depth, rng)
	local middle = math.floor(width / 2)
	local crops = {"farming:wheat_", "farming:cotton_"}
	local left, right = crops[rng:next(1, 2)], "farming:wheat_"
	for b = 0, depth - 1 do
		for a = 0, width - 1 do
			frame.put(a, -1, b, style.fill)
			if a == 0 or a == width - 1 or b == 0 or b == depth - 1 then
				local axis = (b == 0 or b == depth - 1) and "a" or "b"
				frame.put(a, 0, b, style.edge, beam(frame, style, axis))
			elseif a == middle then
				frame.put(a, 0, b, "default:water_source")
			else
				frame.put(a, 0, b, "farming:soil_wet")
				frame.put(a, 1, b, (a < middle and left or right) .. rng:next(4, 8), 3)
			end
		end
	end
	return {corners = {frame.at(0, 0, 0), frame.at(width - 1, 0, depth - 1)}}
end

-- Builds a well with a roof on four posts; its middle is at a = 0, b = 0.
function basalt.build_well(frame, style)
	for b = -1, 2 do
		for a = -1, 2 do
			local edge_a, edge_b = a == -1 or a == 2, b == -1 or b == 2
			for up = -3, 0 do
				frame.put(a, up, b, (edge_a or edge_b) and style.base or "default:water_source")
			end
			frame.put(a, -4, b, style.base)
			if edge_a or edge_b then
				frame.put(a, 1, b, style.base)
			end
			if edge_a and edge_b then
				frame.put(a, 2, b, style.fence)
				frame.put(a, 3, b, style.fence)
			end
			frame.put(a, 4, b, (edge_a or edge_b) and style.roof_slab or style.roof)
		end
	end
	return {corners = {frame.at(-1, 0, -1), frame.at(2, 0, 2)}}
end

function basalt.build_lamp(frame, style)
	frame.put(0, 0, 0, style.base)
	for up = 1, 2 do
		frame.put(0, up, 0, style.fence)
	end
	frame.put(0, 3, 0, style.lamp)
	return frame.at(0, 0, 0)
end
