-- CreateVillageAnimalPen: the life of the village, the harm done to it, and the pens that the player builds.

local creatures = basalt.load("village/creatures")
local harm = basalt.load("village/harm")
local pens = basalt.load("tasks/create_village_animal_pen/pens")

local function begin()
	creatures.begin()
	harm.begin()
	pens.begin()
end

local function facts()
	local all = {}
	for _, part in ipairs({creatures.facts(), harm.facts(), pens.facts(creatures.living_animals())}) do
		for name, value in pairs(part) do
			all[name] = value
		end
	end
	return all
end

return {begin = begin, facts = facts}
