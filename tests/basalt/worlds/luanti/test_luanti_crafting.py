"""Making things in the inventory's forms: clicks only, as a player does."""

import pytest

import basalt.worlds
from basalt.worlds.luanti.screens import carried_slot, grid_slot, result_slot
from tests.support.world_behaviour import SEED

pytestmark = pytest.mark.engine
PIXEL = 0.15
OAK_LOG, EMPTY = 3, 30
"""Slots of the task's inventory at its start."""

DOOR = [(column, row) for row in range(3) for column in range(2)]
STAIR = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)]
SLAB = [(0, 2), (1, 2), (2, 2)]


class Clicker:
    """Steps an environment whose inventory it handles."""

    def __init__(self, env):
        self._env = env
        self.step()

    def step(self, n=1, **action):
        for _ in range(n):
            *_, self.info = self._env.step(action)
        return self.info["telemetry"]

    def click(self, at, button="attack", times=1):
        x, y = self.info["applied"]["x"], self.info["applied"]["y"]
        self.step(camera=[(at[1] - y) * PIXEL, (at[0] - x) * PIXEL])
        assert (self.info["applied"]["x"], self.info["applied"]["y"]) == at
        for _ in range(times):
            self.step(**{button: 1})
            self.step(2)

    def open_or_close(self, **key):
        was_open = self.step().gui_open
        self.step(**(key or {"inventory": 1}))
        for _ in range(10):
            if self.step().gui_open != was_open:
                return self.step(2)
        raise AssertionError("the form did not open or close")

    def lay_out(self, slot, cells, *, table):
        """One thing of a slot in each cell of the grid; the rest back into the slot."""
        self.click(carried_slot(slot))
        for cell in cells:
            self.click(grid_slot(*cell, table=table), "use")
        self.click(carried_slot(slot))

    def count(self, thing):
        things = self.info["telemetry"].inventory
        return sum(item.quantity for item in things if item.type == thing)

    def make_planks(self, times=1):
        self.click(carried_slot(OAK_LOG))
        self.click(grid_slot(0, 0, table=False), "use", times)
        self.click(carried_slot(OAK_LOG))
        self.click(result_slot(table=False), times=times)
        self.click(carried_slot(EMPTY))


@pytest.fixture(scope="module")
def played():
    env = basalt.worlds.make_env("build_village_house")
    yield env
    env.close()


@pytest.fixture
def hands(played):
    played.reset(seed=SEED)
    return Clicker(played)


def test_planks_from_logs_in_the_inventory(hands):
    hands.open_or_close()
    hands.make_planks(times=2)
    assert (hands.count("oak_log"), hands.count("oak_planks")) == (62, 8)
    assert not hands.open_or_close().gui_open
    assert (hands.count("oak_log"), hands.count("oak_planks")) == (62, 8)


def test_what_lies_in_the_grid_comes_back_when_the_form_closes(hands):
    hands.open_or_close()
    hands.click(carried_slot(OAK_LOG))
    hands.click(grid_slot(1, 1, table=False))
    assert hands.count("oak_log") == 0
    hands.open_or_close()
    assert hands.count("oak_log") == 64


def test_the_lowest_row_is_the_hotbar(hands):
    """Two slots of it change places, and so do their keys."""
    assert hands.step(3, **{"hotbar.9": 1}).held == "poppy"
    hands.open_or_close()
    for slot in (8, 0, 8):
        hands.click(carried_slot(slot))
    assert hands.open_or_close().held == "stone_pickaxe"
    assert hands.step(3, **{"hotbar.1": 1}).held == "poppy"


def test_table_door_stairs_and_slabs(hands):
    hands.open_or_close()
    hands.make_planks(times=7)
    hands.lay_out(EMPTY, [(0, 0), (1, 0), (0, 1), (1, 1)], table=False)
    hands.click(result_slot(table=False))
    hands.click(carried_slot(EMPTY + 1))
    assert (hands.count("crafting_table"), hands.count("oak_planks")) == (1, 24)
    # Into the hotbar's last slot; what was there comes to where the table was.
    hands.click(carried_slot(EMPTY + 1))
    hands.click(carried_slot(8))
    hands.click(carried_slot(EMPTY + 1))
    hands.open_or_close()
    assert hands.step(3, **{"hotbar.9": 1}).held == "crafting_table"

    hands.step(6, camera=[10.0, 0.0])
    hands.step(use=1)
    assert hands.step(6).facts["nodes_placed"] == 1
    hands.open_or_close(use=1)
    for cells, slot in ((DOOR, 32), (STAIR, 33), (SLAB, 34)):
        hands.lay_out(EMPTY, cells, table=True)
        hands.click(result_slot(table=True))
        hands.click(carried_slot(slot))
    hands.open_or_close()
    made = {
        name: hands.count(name) for name in ("oak_door", "oak_stairs", "oak_slab", "oak_planks")
    }
    assert made == {"oak_door": 3, "oak_stairs": 4, "oak_slab": 6, "oak_planks": 9}
