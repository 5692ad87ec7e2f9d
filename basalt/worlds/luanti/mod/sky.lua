-- A sky that never changes. The engine's own sky fades to its colours frame by frame from the start of the game,
-- so frames would depend on how long loading took.

local HORIZON = {150, 205, 238}
local ZENITH = {98, 168, 232}
local ROWS, COLUMNS = 128, 4

local function mixed(share)
	local pixel = {}
	for k = 1, 3 do
		pixel[k] = string.char(math.floor(HORIZON[k] + (ZENITH[k] - HORIZON[k]) * share + 0.5))
	end
	return table.concat(pixel) .. "\255"
end

-- share(row): from 0 at the horizon to 1 above
local function texture(share)
	local rows = {}
	for row = 0, ROWS - 1 do
		rows[#rows + 1] = mixed(share(row)):rep(COLUMNS)
	end
	local png = minetest.encode_png(COLUMNS, ROWS, table.concat(rows), 9)
	return "[png:" .. minetest.encode_base64(png)
end

-- A side spans from 45 degrees below the horizon to 45 degrees above it.
local side = texture(function(row)
	local height = math.max(0, 1 - 2 * row / ROWS)
	return 1 - (1 - height) ^ 2
end)
local top = texture(function() return 1 end)
local bottom = texture(function() return 0 end)

minetest.register_on_joinplayer(function(player)
	player:set_sky({
		type = "skybox",
		base_color = {r = HORIZON[1], g = HORIZON[2], b = HORIZON[3]},
		textures = {top, bottom, side, side, side, side},
		clouds = false,
	})
	player:set_sun({visible = false, sunrise_visible = false})
	player:set_moon({visible = false})
	player:set_stars({visible = false})
end)
