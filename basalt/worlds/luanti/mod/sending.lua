-- The server looks for land that the client lacks, and having found none it rests for two seconds, which
-- began at any time during the start: land would come into sight at another step in every run. A change
-- of the map ends the rest, if it is more than 100 nodes from the player (nearer ones are told at once).

local max = basalt.site.land.max
-- In the corner of the saved land, high above it: at least 72 nodes from the way in both directions.
local corner = vector.new(max[1], max[2] - 1, max[3])

function basalt.look_for_land()
	minetest.load_area(corner)
	minetest.swap_node(corner, minetest.get_node(corner))
end
