"""Names of items in Minecraft and in the game.

Tasks, telemetry and recordings use Minecraft's names, as BEDD does; the game has its own. Items of `basalt_world` are
defined by this world's mod (`mod/items.lua`), because Minetest Game has nothing like them.
"""

from basalt.core.tasks import Task

STARTING_ITEMS = {
    "water_bucket": "bucket:bucket_water",
    "cobblestone": "default:cobble",
    "stone_shovel": "default:shovel_stone",
    "stone_pickaxe": "default:pick_stone",
    "stone_axe": "default:axe_stone",
    "oak_fence": "default:fence_wood",
    "oak_fence_gate": "doors:gate_wood_closed",
    "carrot": "basalt_world:carrot",
    "wheat_seeds": "farming:seed_wheat",
    "wheat": "farming:wheat",
    "oak_log": "default:tree",
    "glass_pane": "xpanes:pane_flat",
    "torch": "default:torch",
    "dirt": "default:dirt",
    "grass_block": "default:dirt_with_grass",
    "poppy": "flowers:rose",
    "spruce_log": "default:pine_tree",
    "acacia_log": "default:acacia_tree",
    "jungle_log": "default:jungletree",
    "sand": "default:sand",
    "sandstone": "default:sandstone",
    "smooth_sandstone": "default:sandstone_block",
    "terracotta": "basalt_world:terracotta",
    "packed_ice": "default:ice",
    "snow_block": "default:snowblock",
    "cobweb": "basalt_world:cobweb",
    "white_wool": "wool:white",
    "black_dye": "dye:black",
    "blue_dye": "dye:blue",
    "brown_dye": "dye:brown",
    "green_dye": "dye:green",
    "red_dye": "dye:red",
    "white_dye": "dye:white",
    "yellow_dye": "dye:yellow",
    "flower_pot": "basalt_world:flower_pot",
    "cactus": "default:cactus",
    "lantern": "basalt_world:lantern",
}
"""The game's name of what players of the tasks are given, by Minecraft's name."""

FOUND_ITEMS = {
    "bucket": "bucket:bucket_empty",
    "stone": "default:stone",
    "stick": "default:stick",
    "gravel": "default:gravel",
    "flint": "default:flint",
    "clay_ball": "default:clay_lump",
    "coal": "default:coal_lump",
    "raw_iron": "default:iron_lump",
    "raw_copper": "default:copper_lump",
    "raw_gold": "default:gold_lump",
    "snowball": "default:snow",
    "apple": "default:apple",
    "dandelion": "flowers:dandelion_yellow",
    "oak_leaves": "default:leaves",
    "jungle_leaves": "default:jungleleaves",
    "acacia_leaves": "default:acacia_leaves",
    "spruce_leaves": "default:pine_needles",
    "birch_log": "default:aspen_tree",
    "birch_leaves": "default:aspen_leaves",
    "oak_sapling": "default:sapling",
    "oak_planks": "default:wood",
    "spruce_planks": "default:pine_wood",
    "acacia_planks": "default:acacia_wood",
    "jungle_planks": "default:junglewood",
    "birch_planks": "default:aspen_wood",
    "oak_stairs": "stairs:stair_wood",
    "spruce_stairs": "stairs:stair_pine_wood",
    "acacia_stairs": "stairs:stair_acacia_wood",
    "jungle_stairs": "stairs:stair_junglewood",
    "cobblestone_stairs": "stairs:stair_cobble",
    "sandstone_stairs": "stairs:stair_sandstone",
    "oak_slab": "stairs:slab_wood",
    "spruce_slab": "stairs:slab_pine_wood",
    "acacia_slab": "stairs:slab_acacia_wood",
    "jungle_slab": "stairs:slab_junglewood",
    "cobblestone_slab": "stairs:slab_cobble",
    "sandstone_slab": "stairs:slab_sandstone",
    "oak_door": "doors:door_wood",
    "oak_trapdoor": "doors:trapdoor",
    "oak_sign": "default:sign_wall_wood",
    "ladder": "default:ladder_wood",
    "chest": "default:chest",
    "furnace": "default:furnace",
    "bread": "farming:bread",
    "string": "farming:string",
    "beef": "basalt_world:beef",
    "porkchop": "basalt_world:porkchop",
    "mutton": "basalt_world:mutton",
    "chicken": "basalt_world:chicken",
    "feather": "basalt_world:feather",
    "leather": "basalt_world:leather",
    "wooden_pickaxe": "default:pick_wood",
    "wooden_axe": "default:axe_wood",
    "wooden_shovel": "default:shovel_wood",
    "wooden_sword": "default:sword_wood",
    "stone_sword": "default:sword_stone",
    "crafting_table": "basalt_world:crafting_table",
    "cut_sandstone": "default:sandstonebrick",
}
"""The same of what players may dig up, pick or craft. Everything else keeps the game's own name."""

ITEMS = STARTING_ITEMS | FOUND_ITEMS
"""The game's name by Minecraft's name; all are different."""

_NAMES = {item: name for name, item in ITEMS.items()}


def minecraft_name(item: str) -> str:
    """Return Minecraft's name of an item of the game, or the game's own name; "" stays ""."""
    return _NAMES.get(item, item)


def game_name(name: str) -> str:
    """Return the game's name of a Minecraft item; other names are returned as they are."""
    return ITEMS.get(name, name)


def starting_inventory(task: Task) -> list[tuple[str, int]]:
    """Return the starting inventory of a task, slot by slot: (the game's name, count)."""
    return [(game_name(name), count) for name, count in task.inventory]


def markdown_table() -> str:
    """Return the table of `docs/worlds-reference.md`; `python -m basalt.worlds.luanti.items` prints it."""
    rows = ["| Minecraft | Luanti | |", "|---|---|---|"]
    for name, item in ITEMS.items():
        note = " defined by the mod " if item.startswith("basalt_world:") else " "
        rows.append(f"| `{name}` | `{item}` |{note}|")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown_table(), end="")
