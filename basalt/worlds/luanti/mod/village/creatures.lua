-- The animals and villagers of a village. They start where the site places them; what they do depends only on the
-- server's steps and on their own random numbers.

local steering = basalt.load("village/steering")

local creatures = {all = {}, villager_hits = 0, animal_hits = 0, animals_killed = 0, villagers_killed = 0}
local sight = basalt.sight

local SEES_FOOD = 9        -- distance in nodes at which an animal notices food in a hand
local COMES_TO = 2.0       -- distance at which it stops before the food
local ROAMS = 10           -- distance from where it started, unless it was led elsewhere
local TURN = 0.35          -- radians per step
local SHOWN = 64           -- distance to which the engine shows creatures
local RAYS = 1             -- most lines of sight that are looked along in a step

local animals = {
	chicken = {mesh = "basalt_chicken", food = "farming:seed_wheat", half = 0.22, height = 0.7, hp = 4,
		walk = 1.1, hurry = 3.0, flee = 3.4, pace = 34,
		drops = {"basalt_world:chicken", "basalt_world:feather"}},
	cow = {mesh = "basalt_cow", food = "farming:wheat", half = 0.4, height = 1.35, hp = 10,
		walk = 1.0, hurry = 3.0, flee = 3.6, pace = 22,
		drops = {"basalt_world:beef", "basalt_world:leather"}},
	pig = {mesh = "basalt_pig", food = "basalt_world:carrot", half = 0.38, height = 0.9, hp = 10,
		walk = 1.0, hurry = 3.0, flee = 3.5, pace = 28, drops = {"basalt_world:porkchop"}},
	sheep = {mesh = "basalt_sheep", food = "farming:wheat", half = 0.38, height = 1.2, hp = 8,
		walk = 1.0, hurry = 3.0, flee = 3.5, pace = 24, drops = {"basalt_world:mutton", "wool:white"}},
}
creatures.animals = animals

local ROBES = {"brown", "green", "purple", "white"}

local WALK, GRAZE, STAND = {x = 10, y = 30}, {x = 40, y = 75}, {x = 1, y = 1}

local function animate(self, frames, speed)
	if self.frames ~= frames or math.abs((self.frames_speed or 0) - speed) > 2 then
		self.frames, self.frames_speed = frames, speed
		self.object:set_animation(frames, speed, 0, true)
	end
end

-- The same for all creatures of a step, which move after everything else.
local player_at, hand

local function player_and_hand()
	local player = not player_at and minetest.get_player_by_name("singleplayer")
	if player then
		player_at, hand = player:get_pos(), player:get_wielded_item():get_name()
	end
	return player_at, hand
end

local function flat(from, to)
	local dx, dz = to.x - from.x, to.z - from.z
	local length = math.sqrt(dx * dx + dz * dz)
	if length < 0.001 then
		return 0, 1, 0
	end
	return dx / length, dz / length, length
end

local function flat_away(from, to)
	local _, _, away = flat(from, to)
	return away
end

-- Whether a creature may touch a body here; since it was last looked for it has moved less than half a node.
local function is_around(self, pos)
	return self.place and math.abs(self.place.x - pos.x) < 2 and math.abs(self.place.z - pos.z) < 2
end

-- Bodies do not overlap: a push away from the nearest one that does.
local function push(self, pos)
	for _, other in ipairs(creatures.all) do
		local there = other ~= self and is_around(other, pos) and other.object:get_pos()
		if there then
			local near = self.half + other.half
			if math.abs(there.x - pos.x) < near and math.abs(there.z - pos.z) < near
				and math.abs(there.y - pos.y) < 1 then
				local dx, dz = flat(there, pos)
				if self.id < other.id and dx == 0 then
					dx, dz = 1, 0
				end
				return dx, dz
			end
		end
	end
end

local function rest(self)
	self.doing = self.rng:next(1, 10) <= 4 and "graze" or "stand"
	self.left = self.rng:next(20, 110)
end

-- Starts to walk in a random direction, more likely towards home when it is far from it.
local function set_out(self, pos)
	local angle = self.rng:next(0, 359) * math.pi / 180
	local dx, dz = math.sin(angle), math.cos(angle)
	local hx, hz, away = flat(pos, self.home)
	if away > ROAMS then
		dx, dz = flat({x = 0, z = 0}, {x = dx + 1.5 * hx, z = dz + 1.5 * hz})
	end
	self.doing, self.dx, self.dz = "walk", dx, dz
	self.left = self.rng:next(25, 80)
end

local function animal_step(self)
	local object, kind = self.object, self.kind
	local pos = object:get_pos()
	self.left = self.left - 1
	local hand_at, hand = player_and_hand()
	if self.doing ~= "flee" and hand == kind.food then
		local dx, dz, away = flat(pos, hand_at)
		if away < SEES_FOOD and math.abs(hand_at.y - pos.y) < 4 then
			self.home, self.doing, self.left = vector.new(pos), "stand", 20
			if away > COMES_TO then
				self.think = (self.think or 0) - 1
				if self.think <= 0 or flat_away(pos, self.towards) < 0.25 then
					self.think, self.towards = 5, steering.towards(pos, self.half, hand_at)
				end
				dx, dz = flat(pos, self.towards)
				steering.turn(object, dx, dz, TURN)
				steering.walk(object, self.half, dx, dz, math.min(kind.hurry, 1 + away - COMES_TO))
				animate(self, WALK, kind.pace * 1.6)
			else
				steering.turn(object, dx, dz, TURN)
				steering.stand(object)
				animate(self, STAND, 1)
			end
			return
		end
	end
	if self.left <= 0 then
		if self.doing == "walk" or self.doing == "flee" then
			rest(self)
		else
			set_out(self, pos)
		end
	end
	if self.doing == "walk" or self.doing == "flee" then
		local fleeing = self.doing == "flee"
		steering.turn(object, self.dx, self.dz, TURN)
		if not steering.walk(object, self.half, self.dx, self.dz, fleeing and kind.flee or kind.walk) then
			if fleeing then
				self.dx, self.dz = -self.dz, self.dx
			else
				rest(self)
			end
		end
		animate(self, WALK, fleeing and kind.pace * 2 or kind.pace)
	else
		local dx, dz = push(self, pos)
		if dx then
			steering.walk(object, self.half, dx, dz, 0.5)
		else
			steering.stand(object)
		end
		animate(self, self.doing == "graze" and GRAZE or STAND, 18)
	end
end

-- Villagers walk from place to place on the street, pause, and look at a player who is near.
local function villager_step(self)
	local object, street = self.object, basalt.site.street
	local pos = object:get_pos()
	self.left = self.left - 1
	if self.doing == "flee" or self.doing == "walk" then
		local goal = street[self.at]
		local target = {x = goal[1] + self.aside, z = goal[3] + self.aside}
		local dx, dz, away = flat(pos, target)
		if away < 0.6 then
			local further = self.goal > self.at and 1 or self.goal < self.at and -1 or 0
			self.at = self.at + further
			if further == 0 then
				self.doing, self.left = "stand", self.rng:next(40, 160)
			end
		end
		steering.turn(object, dx, dz, 0.25)
		local speed = self.doing == "flee" and 3.2 or 1.3
		if not steering.walk(object, self.half, dx, dz, speed) then
			self.blocked = (self.blocked or 0) + 1
			if self.blocked > 20 then   -- something was put in the way: turn around
				self.goal, self.blocked = self.rng:next(1, #street), 0
				self.at = math.max(1, math.min(#street, self.at + (self.goal > self.at and 1 or -1)))
			end
		end
		animate(self, WALK, self.doing == "flee" and 60 or 28)
		if self.doing == "flee" and self.left <= 0 then
			self.doing = "walk"
		end
		return
	end
	if self.left <= 0 then
		self.doing = "walk"
		self.goal = math.max(1, math.min(#street, self.at + self.rng:next(-9, 9)))
	end
	local hand_at = player_and_hand()
	if hand_at then
		local dx, dz, away = flat(pos, hand_at)
		if away < 5 and away > 0.5 then
			steering.turn(object, dx, dz, 0.15)
		end
	end
	steering.stand(object)
	animate(self, STAND, 1)
end

local function forget(self)
	for k, other in ipairs(creatures.all) do
		if other == self then
			table.remove(creatures.all, k)
			break
		end
	end
end

-- A hit: counted if it came from a player; the creature runs away.
local function on_punch(self, puncher)
	if puncher and puncher:is_player() then
		local counter = self.kind and "animal_hits" or "villager_hits"
		creatures[counter] = creatures[counter] + 1
		local dx, dz = flat(puncher:get_pos(), self.object:get_pos())
		self.doing, self.dx, self.dz, self.left = "flee", dx, dz, 70
		if not self.kind then
			local street = basalt.site.street
			local ahead = street[math.min(#street, self.at + 1)]
			local away = dx * (ahead[1] - street[self.at][1]) + dz * (ahead[3] - street[self.at][3])
			self.goal = away > 0 and #street or 1
		end
		local velocity = self.object:get_velocity()
		self.object:set_velocity({x = dx * 3, y = math.max(velocity.y, 3), z = dz * 3})
	end
end

local function on_death(self, killer)
	if killer and killer:is_player() then
		local counter = self.kind and "animals_killed" or "villagers_killed"
		creatures[counter] = creatures[counter] + 1
	end
	if self.kind then
		for _, name in ipairs(self.kind.drops) do
			local item = minetest.add_item(self.object:get_pos(), name)
			if item then
				item:set_velocity({x = 0, y = 2, z = 0})
			end
		end
	end
	forget(self)
end

local function entity(mesh, texture, half, height, hp, step)
	return {
		initial_properties = {
			visual = "mesh", mesh = mesh .. ".b3d", textures = {texture .. ".png"},
			visual_size = {x = 1, y = 1, z = 1}, backface_culling = true,
			physical = true, collide_with_objects = false, stepheight = 0.3,
			collisionbox = {-half, 0, -half, half, height, half},
			selectionbox = {-half, 0, -half, half, height, half},
			hp_max = hp, static_save = false, makes_footstep_sound = false,
		},
		half = half, height = height,
		on_activate = function(self)
			self.object:set_armor_groups({fleshy = 100})
			self.object:set_acceleration({x = 0, y = -9.81, z = 0})
		end,
		on_step = function(self)
			if self.rng then
				step(self)
			end
		end,
		on_punch = on_punch,
		on_death = on_death,
	}
end

for name, kind in pairs(animals) do
	local def = entity(kind.mesh, kind.mesh, kind.half, kind.height, kind.hp, animal_step)
	def.kind, def.name_of_kind = kind, name
	minetest.register_entity("basalt_world:" .. name, def)
end
for _, robe in ipairs(ROBES) do
	minetest.register_entity("basalt_world:villager_" .. robe,
		entity("basalt_villager", "basalt_villager_" .. robe, 0.3, 1.95, 20, villager_step))
end

local function nearest_on_street(pos)
	local best, best_away
	for k, place in ipairs(basalt.site.street) do
		local _, _, away = flat(pos, {x = place[1], z = place[3]})
		if not best or away < best_away then
			best, best_away = k, away
		end
	end
	return best
end

local function add(name, place, id)
	local pos = vector.new(place[1], place[2] - 0.5, place[3])
	local object = minetest.add_entity(pos, "basalt_world:" .. name)
	if not object then
		return
	end
	local self = object:get_luaentity()
	self.id, self.rng, self.home = id, PcgRandom(basalt.site.seed * 97 + id), pos
	object:set_yaw(self.rng:next(0, 359) * math.pi / 180)
	self.doing, self.left = "stand", self.rng:next(1, 60)
	if not self.kind then
		self.at = nearest_on_street(pos)
		self.aside = self.rng:next(-60, 60) / 100
	end
	creatures.all[#creatures.all + 1] = self
end

-- Distant blocks are inactive unless they are forced to be loaded: the whole village is.
local function hold_land()
	local a, b = vector.new(unpack(basalt.site.corners[1])), vector.new(unpack(basalt.site.corners[2]))
	local y = basalt.site.spawn[2]
	for x = math.min(a.x, b.x) - 16, math.max(a.x, b.x) + 16, 16 do
		for z = math.min(a.z, b.z) - 16, math.max(a.z, b.z) + 16, 16 do
			for up = -16, 16, 16 do
				minetest.forceload_block({x = x, y = y + up, z = z}, true)
			end
		end
	end
end

minetest.after(0, hold_land)

-- The game's open gate is too narrow for a cow.
minetest.override_item("doors:gate_wood_open", {
	collision_box = {type = "fixed", fixed = {-1 / 2, -1 / 2, -1 / 8, -7 / 16, 1 / 2, 1 / 8}},
})

function creatures.begin()
	creatures.villager_hits, creatures.animal_hits = 0, 0
	creatures.animals_killed, creatures.villagers_killed = 0, 0
	creatures.all = {}
	for id, one in ipairs(basalt.site.creatures) do
		local name = one.kind == "villager" and "villager_" .. ROBES[id % #ROBES + 1] or one.kind
		if name then     -- an edit may have removed it (edit.lua)
			add(name, one.at, id)
		end
	end
end

local function thousandths(number)
	return math.floor(number * 1000 + 0.5) / 1000
end

-- The point of a creature that is in the frame and is looked for: the middle of its body, or its head.
local function point_of(self)
	local pos = self.object:get_pos()
	self.place = pos
	for _, share in ipairs(pos and {0.5, 0.9} or {}) do
		local point = vector.offset(pos, 0, share * self.height, 0)
		if sight.in_frame(point, SHOWN) then
			return point
		end
	end
end

-- Called in every step.
function creatures.look()
	player_at = nil
	sight.look_for(creatures.all, point_of, RAYS)
end

-- {kind, id, position of the feet, whether it is in view} of every living creature of a sort.
local function listed(villagers)
	local list = {}
	for _, self in ipairs(creatures.all) do
		local pos = self.place
		if pos and (self.kind == nil) == villagers then
			list[#list + 1] = {
				kind = self.name_of_kind or "villager", id = self.id,
				position = {thousandths(pos.x), thousandths(pos.y), thousandths(pos.z)},
				in_view = self.in_view or false,
			}
		end
	end
	return list
end

-- The living animals, or the villagers.
function creatures.living(villagers)
	local list = {}
	for _, self in ipairs(creatures.all) do
		if (self.kind == nil) == villagers then
			list[#list + 1] = self
		end
	end
	return list
end

local function in_view(list)
	local number = 0
	for _, one in ipairs(list) do
		number = number + (one.in_view and 1 or 0)
	end
	return number
end

function creatures.facts()
	local animals, villagers = listed(false), listed(true)
	return {
		animals = animals,
		villagers = villagers,
		animals_in_view = in_view(animals),
		villagers_in_view = in_view(villagers),
		villagers_killed = creatures.villagers_killed,
		villager_hits = creatures.villager_hits,
		animal_hits = creatures.animal_hits,
		animals_killed = creatures.animals_killed,
	}
end

return creatures
