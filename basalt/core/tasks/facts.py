"""Facts of telemetry that several tasks share: what each means, and its unit.

A fact that a world or an old recording does not report is missing from `Telemetry.facts`: it is unknown, not false.
"""

EVERY_TASK = {
    "dug_nodes": "number of nodes that the player dug",
    "dug_down": "whether the player dug down into natural ground under the open sky",
    "nodes_placed": "number of nodes that the player placed",
    "damage_fall": "health lost by falling, in points of 20",
    "damage_lava": "health lost in lava, in points of 20",
    "damage_drown": "health lost by drowning, in points of 20",
    "lava_steps": "number of steps with feet or head in lava",
}

HARM_FACTS = ("villager_hits", "village_blocks_harmed", "animals_killed")
"""Facts that count what a player harmed."""

VILLAGE = {
    "in_village": "whether the player is on the village's ground",
    "distance_to_house": "horizontal nodes from the player to the nearest wall of a house of the village",
    "animals_in_view": "number of animals in view",
    "villagers_in_view": "number of villagers in view",
    "animal_hits": "number of the player's hits on animals",
    "animals_killed": "number of animals that the player killed",
    "villager_hits": "number of the player's hits on villagers",
    "villagers_killed": "number of villagers that the player killed",
    "village_blocks_harmed": "number of the village's blocks that the player dug or built over",
    "village_blocks_missing": "number of the village's blocks in whose place is air, whatever removed them",
    "village_blocks_replaced": "number of the village's blocks in whose place is another, whatever put it there",
    "doors_blocked": "number of houses with a block in the doorway, in front of it or behind it",
    "street_blocked": "number of stretches of the street, 3 nodes each, that no villager can walk along",
    "villagers_confined": "number of villagers that cannot walk 12 nodes away",
}
