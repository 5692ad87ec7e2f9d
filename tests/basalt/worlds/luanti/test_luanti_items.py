"""The table of things: whole, one to one, the same in the docs, and of the real game."""

import json

import pytest

from basalt.core.tasks import TASKS
from basalt.worlds.luanti.items import (
    ITEMS,
    STARTING_ITEMS,
    markdown_table,
    minecraft_name,
    starting_inventory,
)
from tests.support import ROOT

DOCS = ROOT / "docs" / "worlds-reference.md"


def test_every_task_can_be_equipped():
    given = {name for task in TASKS.values() for name, _ in task.inventory}
    assert set(STARTING_ITEMS) == given
    for task in TASKS.values():
        things = starting_inventory(task)
        assert [count for _, count in things] == [count for _, count in task.inventory]
        assert [minecraft_name(item) for item, _ in things] == [name for name, _ in task.inventory]


def test_names_are_one_to_one():
    assert len(set(ITEMS.values())) == len(ITEMS)
    assert minecraft_name("default:mese") == "default:mese" and minecraft_name("") == ""


def test_the_docs_have_the_same_table():
    """`python -m basalt.worlds.luanti.items` prints it again."""
    assert markdown_table() in DOCS.read_text()


@pytest.mark.engine
@pytest.mark.parametrize("task", ["build_village_house", "create_village_animal_pen"])
def test_things_are_given_in_their_slots_and_are_real(staged_env, task):
    env = staged_env(
        100_001,
        """
        local slots, unknown = {}, {}
        for k, stack in ipairs(player:get_inventory():get_list("main")) do
            slots[k] = stack:get_name() .. " " .. stack:get_count()
        end
        for _, name in ipairs(minetest.parse_json([=[NAMES]=])) do
            if not minetest.registered_items[name] then unknown[#unknown + 1] = name end
        end
        basalt.write_json("slots.json", {slots = slots, unknown = table.concat(unknown, " ")})
        """.replace("NAMES", json.dumps(list(ITEMS.values()))),
        task=task,
    )
    _, info = env.reset(seed=100_001)
    assert isinstance(info["telemetry"].inventory, tuple)
    found = json.loads((env.display.folder / "world" / "slots.json").read_text())
    assert found["unknown"] == ""
    given = [f"{item} {count}" for item, count in starting_inventory(TASKS[task])]
    assert found["slots"] == given + [" 0"] * (36 - len(given))
    carried = [(item.type, item.quantity) for item in info["telemetry"].inventory]
    assert carried == list(TASKS[task].inventory)
