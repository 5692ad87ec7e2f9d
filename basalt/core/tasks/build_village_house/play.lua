-- BuildVillageHouse: the village, and what the referee knows about the house and about the player showing it.

local life = basalt.load("village/life")
local structure = basalt.load("tasks/build_village_house/structure")

local SIDES = 4
local LOOK_EVERY = 4                     -- server steps
local NEAREST, FARTHEST = 2.5, 40        -- distance from the house's middle at which it is looked at
local IN_PICTURE = math.cos(math.rad(35))

local seen, in_view, countdown, placed_at

local function begin()
	life.begin()
	structure.reset()
	seen, in_view, countdown, placed_at = {}, false, 0, nil
end

minetest.register_on_placenode(function(pos, node, placer)
	if placer and placer:is_player() then
		structure.add(pos, node.name)
		placed_at = {pos.x, pos.y, pos.z}
	end
end)

minetest.register_on_dignode(function(pos, _, digger)
	if digger and digger:is_player() then
		structure.remove(pos)
	end
end)

-- The side from which the player looks at the house now, 0 to 3, or nil if it does not.
local function side_in_view(player, house)
	local middle = vector.divide(vector.add(house.min, house.max), 2)
	local eye = vector.offset(player:get_pos(), 0, player:get_properties().eye_height, 0)
	local way = vector.subtract(middle, eye)
	local away = math.sqrt(way.x ^ 2 + way.z ^ 2)
	if away < NEAREST or away > FARTHEST
		or vector.dot(vector.normalize(way), player:get_look_dir()) < IN_PICTURE then
		return nil
	end
	local free, what = minetest.line_of_sight(eye, middle)
	if not free and not structure.is_part(what) then
		return nil
	end
	return math.floor(math.atan2(way.x, way.z) / (2 * math.pi) * SIDES + 0.5) % SIDES
end

-- Looks before the last change do not count: the finished house has to be shown.
local function step(player)
	life.step()
	local house, news = structure.house(basalt.site)
	if news then
		seen, in_view = {}, false
	end
	countdown = countdown - 1
	if countdown <= 0 and house.blocks > 0 then
		countdown = LOOK_EVERY
		local side = side_in_view(player, house)
		in_view = side ~= nil
		if side then
			seen[side] = true
		end
	end
end

local function rounded(number)
	return math.floor(number * 1000 + 0.5) / 1000
end

local function facts(player)
	local house = structure.house(basalt.site)
	local sides = 0
	for _ in pairs(seen) do
		sides = sides + 1
	end
	local all = life.facts(player)
	for name, value in pairs({
		placed_at = placed_at,
		house_blocks = house.blocks,
		loose_blocks = house.loose,
		house_enclosed = house.enclosed,
		house_floor_area = house.floor_area,
		house_roof_share = rounded(house.roof_share),
		house_door = house.door,
		house_door_reachable = house.door_reachable,
		house_style_share = rounded(house.style_share),
		house_street_distance = rounded(house.street_distance),
		house_sides_seen = sides,
		house_in_view = in_view,
	}) do
		all[name] = value
	end
	return all
end

return {begin = begin, step = step, facts = facts}
