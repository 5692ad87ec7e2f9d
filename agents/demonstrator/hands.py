"""Moving and crafting items in the inventory's screens with the mouse."""

import math
from collections.abc import Sequence

from agents.demonstrator.body import Body, Routine
from basalt.core.actions import null_action
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.worlds.luanti.screens import HOTBAR_SLOTS, Pixel, carried_slot, grid_slot, result_slot

FASTEST, SLOWEST = 34.0, 3.0
"""Highest and lowest speed of the cursor, in pixels per step."""

PATIENCE = 20
SLOTS = 36

Cell = tuple[int, int]


class Hands:
    """What a body does with its items.

    Args:
        body: The body.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._cursor = (320.0, 180.0)

    # ---- inventory ----

    def slots(self) -> dict[int, tuple[str, int]]:
        """Return item and count of the slots that are not empty; 0-8 is the hotbar."""
        items = self._body.state.inventory
        return {
            item.slot: (item.type, item.quantity)
            for item in items
            if item.slot is not None and item.slot < SLOTS
        }

    def slot_of(self, thing: str) -> int | None:
        """Return the first slot with the largest number of an item, None if it is not carried."""
        counts = {slot: count for slot, (name, count) in self.slots().items() if name == thing}
        return max(counts, key=lambda slot: (counts[slot], -slot), default=None)

    def empty_slot(self) -> int:
        """Return the first empty slot above the hotbar."""
        full = self.slots()
        return next(slot for slot in range(HOTBAR_SLOTS, SLOTS) if slot not in full)

    def count(self, thing: str) -> int:
        """Return the number of an item that is carried."""
        return sum(item.quantity for item in self._body.state.inventory if item.type == thing)

    def hold(self, thing: str) -> Routine[bool]:
        """Take an item into the hand, and fetch it from the inventory if it is not in the hotbar."""
        body = self._body
        if body.state.held == thing:
            return True
        slot = self.slot_of(thing)
        if slot is None:
            return False
        if slot >= HOTBAR_SLOTS:
            free = [k for k in range(HOTBAR_SLOTS) if k not in self.slots()]
            to = free[0] if free else 0
            yield from self.open()
            yield from self.move(slot, to)
            yield from self.close()
            slot = to
        for _ in range(PATIENCE):
            if body.state.held == thing:
                return True
            yield from body.do(**{f"hotbar.{slot + 1}": 1})
            yield from body.do()
        return False

    # ---- screens ----

    def open(self) -> Routine[bool]:
        """Open the inventory."""
        yield from self._body.do(inventory=1)
        return (yield from self.opened())

    def opened(self) -> Routine[bool]:
        """Wait until a screen opens."""
        for _ in range(PATIENCE):
            if self._body.state.gui_open:
                self._cursor = (320.0, 180.0)
                yield from self._body.do(int(self._body.rng.integers(3, 7)))
                return True
            yield from self._body.do()
        return False

    def close(self) -> Routine[None]:
        """Close the screen."""
        yield from self._body.do(2)
        yield from self._body.do(inventory=1)
        for _ in range(PATIENCE):
            if not self._body.state.gui_open:
                break
            yield from self._body.do()
        yield from self._body.do(3)

    def click(self, at: Pixel, button: str = "attack", times: int = 1) -> Routine[None]:
        """Move the cursor to a point as a hand would, and click there."""
        while True:
            way = at[0] - self._cursor[0], at[1] - self._cursor[1]
            length = math.hypot(*way)
            if length < 1:
                break
            speed = min(length, max(SLOWEST, min(FASTEST, 0.45 * length)))
            step = round(way[0] * speed / length), round(way[1] * speed / length)
            self._cursor = self._cursor[0] + step[0], self._cursor[1] + step[1]
            camera = [step[1] * DEGREES_PER_PIXEL, step[0] * DEGREES_PER_PIXEL]
            yield null_action() | {"camera": camera}
        for _ in range(times):
            yield from self._body.do(**{button: 1})
            yield from self._body.do(int(self._body.rng.integers(1, 3)))

    def move(self, slot: int, to: int) -> Routine[None]:
        """Swap the items of two slots."""
        swaps = to in self.slots()
        yield from self.click(carried_slot(slot))
        yield from self.click(carried_slot(to))
        if swaps:
            yield from self.click(carried_slot(slot))

    def make(
        self,
        pattern: Sequence[tuple[Cell, str]],
        times: int,
        to: int | None = None,
        *,
        table: bool = False,
    ) -> Routine[None]:
        """Craft: put items into the grid one by one, take the result, clear the grid.

        Args:
            pattern: Item of each (column, row) of the grid.
            times: Number of batches.
            to: Slot for the result; an empty one by default.
            table: Whether the open screen is that of a crafting table.
        """
        for thing in dict.fromkeys(name for _, name in pattern):
            slot = self.slot_of(thing)
            if slot is None:
                return
            cells = [grid_slot(*cell, table=table) for cell, name in pattern if name == thing]
            yield from self.click(carried_slot(slot))
            for cell in cells:
                yield from self.click(cell, "use", times)
            if slot in self.slots():  # the rest on the cursor
                yield from self.click(carried_slot(slot))
        yield from self.click(result_slot(table=table), times=times)
        yield from self.click(carried_slot(self.empty_slot() if to is None else to))

    def make_of_half(self, thing: str, times: int, to: int) -> Routine[None]:
        """Craft from one item in the inventory: put half a stack into the grid, take the rest back."""
        slot = self.slot_of(thing)
        if slot is None:
            return
        cell = grid_slot(0, 0, table=False)
        yield from self.click(carried_slot(slot), "use")
        yield from self.click(cell)
        yield from self.click(result_slot(table=False), times=times)
        yield from self.click(carried_slot(to))
        yield from self.click(cell)
        yield from self.click(carried_slot(slot))

    def share_out(self, slot: int, cells: Sequence[Cell], *, table: bool) -> Routine[None]:
        """Put the items of a slot into six cells of the grid, by halves: of 64, at least 8 into each."""
        a, b, c, d, e, f = (grid_slot(*cell, table=table) for cell in cells)
        yield from self.click(carried_slot(slot))
        yield from self.click(a)
        for half_of, to in ((a, b), (a, c), (b, d), (c, e), (d, f)):
            yield from self.click(half_of, "use")
            yield from self.click(to)
