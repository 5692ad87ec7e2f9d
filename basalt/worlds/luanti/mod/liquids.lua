-- The engine moves liquids once a second, counted from some moment of the game's start, so they would move in
-- another step in every run. Therefore an episode begins right after such a move. It is noticed by pouring water
-- out of sight, where no player comes.

local corner = basalt.site.land.max
local source = vector.new(corner[1], corner[2] - 3, corner[3])
local below = vector.offset(source, 0, -1, 0)

local waiting = false

-- Called in every step until it returns that liquids have just moved.
function basalt.liquids_moved()
	minetest.load_area(below, source)
	if not waiting then
		waiting = true
		minetest.set_node(source, {name = "default:water_source"})
		return false
	elseif minetest.get_node(below).name ~= "default:water_flowing" then
		return false
	end
	minetest.set_node(source, {name = "air"})
	minetest.set_node(below, {name = "air"})
	return true
end
