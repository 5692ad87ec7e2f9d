-- What is in the player's view: inside the frame, near enough to be drawn, and on a free line from the eyes. The
-- frame is that of 640 x 360 pixels, whatever size is played.

local sight = {VIEW = 70}     -- viewing range, in nodes

local LOOK_EVERY = 8          -- server steps after which a line of sight is looked along again

local tangent = math.tan(math.rad(basalt.config.fov) / 2)
local tangent_across = tangent * basalt.config.aspect

local eye, look, right, up, eye_height
local turn = 0

-- Called in every step, before anything is looked for.
function sight.look(player)
	turn = turn + 1
	eye_height = eye_height or player:get_properties().eye_height
	eye = vector.offset(player:get_pos(), 0, eye_height, 0)
	look = player:get_look_dir()
	local yaw = player:get_look_horizontal()
	right = vector.new(math.cos(yaw), 0, math.sin(yaw))
	up = vector.cross(look, right)
	if up.y < 0 then
		up = vector.multiply(up, -1)
	end
end

-- Where a point is in the frame, across and up, from -1 to 1; nil if it is outside or further away than `range`.
function sight.in_frame(pos, range)
	local x, y, z = pos.x - eye.x, pos.y - eye.y, pos.z - eye.z
	local depth = x * look.x + y * look.y + z * look.z
	if depth <= 0.1 or math.sqrt(x * x + y * y + z * z) >= (range or sight.VIEW) then
		return nil
	end
	local v = (x * up.x + y * up.y + z * up.z) / depth / tangent
	local h = (x * right.x + y * right.y + z * right.z) / depth / tangent_across
	if math.abs(v) < 1 and math.abs(h) < 1 then
		return h, v
	end
end

local clear = {}     -- names of nodes that can be seen through

local function is_clear(name)
	if clear[name] == nil then
		local def = minetest.registered_nodes[name] or {}
		clear[name] = def.walkable == false or (def.drawtype or ""):find("glass") ~= nil
			or (def.groups or {}).pane ~= nil
	end
	return clear[name]
end

-- Whether something opaque, such as leaves, is between the eyes and a point.
function sight.is_hidden(pos)
	minetest.load_area(eye, pos)     -- a ray passes through land that the server has unloaded
	for thing in minetest.raycast(eye, pos, false, false) do
		if not is_clear(minetest.get_node(thing.under).name) then
			return true
		end
	end
	return false
end

function sight.sees(pos, range)
	return sight.in_frame(pos, range) ~= nil and not sight.is_hidden(pos)
end

-- Sets in_view of every thing in a list; things have an `id`. point_of(thing) is the point of it that is in the frame,
-- or nil. What is outside the frame is never in view; lines to the others are looked along in turn, at most `rays` in
-- a step, and first those that have not been for the longest time.
function sight.look_for(things, point_of, rays)
	local waiting = {}
	for _, thing in ipairs(things) do
		thing.point = point_of(thing)
		if not thing.point then
			thing.in_view, thing.looked = false, nil
		elseif not thing.looked or turn - thing.looked >= LOOK_EVERY then
			waiting[#waiting + 1] = thing
		end
	end
	table.sort(waiting, function(a, b)
		local since_a, since_b = a.looked or 0, b.looked or 0
		if since_a ~= since_b then
			return since_a < since_b
		end
		return a.id < b.id
	end)
	for k = 1, math.min(rays, #waiting) do
		local thing = waiting[k]
		thing.in_view, thing.looked = not sight.is_hidden(thing.point), turn
	end
end

return sight
