-- The server searches for land that the client does not have yet. When it finds none, it pauses for two seconds,
-- which may begin at any time during the start, so land would come into sight in another step in every run. A
-- change of the map ends the pause if it is more than 100 nodes from the player (nearer changes are sent at once).

local max = basalt.site.land.max
-- A place high above a corner of the saved land, at least 72 nodes from the path in both directions.
local corner = vector.new(max[1], max[2] - 1, max[3])

function basalt.look_for_land()
	minetest.load_area(corner)
	minetest.swap_node(corner, minetest.get_node(corner))
end
