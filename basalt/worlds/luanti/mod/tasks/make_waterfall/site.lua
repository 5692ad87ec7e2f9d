-- Hills.

local function find(v, seed)
	local rng = PcgRandom(seed)
	local grass = minetest.get_content_id("default:dirt_with_grass")
	local places = basalt.find_standing(v)
	for _ = 1, 400 do
		local i = places[rng:next(1, #places)]
		if i and basalt.is_clearing(v, i, grass) then
			local x, y, z = v.position(i)
			local spawn = vector.new(x, y, z)
			return {spawn = spawn, spawn_yaw = basalt.choose_yaw(v, spawn, nil, rng)}, {places = #places}
		end
	end
	return nil, {places = #places}
end

return {
	area = {chunks = 2, bottom = -32, top = 47},
	find = find,
}
