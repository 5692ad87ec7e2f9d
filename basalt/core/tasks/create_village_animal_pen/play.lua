-- CreateVillageAnimalPen: the village, and the pens that the player builds.

local life = basalt.load("village/life")
local pens = basalt.load("tasks/create_village_animal_pen/pens")

local function begin()
	life.begin()
	pens.begin()
end

local function facts(player)
	local all = life.facts(player)
	for name, value in pairs(pens.facts(life.creatures.living(false))) do
		all[name] = value
	end
	return all
end

return {begin = begin, step = life.step, facts = facts}
