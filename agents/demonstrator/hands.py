"""Moving and crafting items in the inventory's screens with the mouse."""

import math
from collections.abc import Sequence

from agents.demonstrator.body import CARRIED_SLOTS, Body, Routine
from basalt.core.actions import FRAME_SIZE, null_action
from basalt.core.recorder_lines import DEGREES_PER_PIXEL
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.screens import HOTBAR_SLOTS, Pixel, carried_slot, grid_slot, result_slot
from basalt.worlds.luanti.settings import window_size

FASTEST, SLOWEST = 34.0, 3.0
"""Highest and lowest speed of the cursor, in pixels per step."""

PATIENCE = 20

Cell = tuple[int, int]


class Hands:
    """What a body does with its items.

    Args:
        body: The player.

    Raises:
        ConfigError: The game's window does not have the size in which the slots' places are known.
    """

    def __init__(self, body: Body) -> None:
        if window_size(body.frame_size) != FRAME_SIZE:
            (width, height), (got_width, got_height) = FRAME_SIZE, body.frame_size
            raise ConfigError(
                "agent: the demonstrator of this task clicks in the game's screens, whose slots it knows in frames "
                f"of {width}x{height} and smaller ones of that shape, not {got_width}x{got_height}; "
                "leave the world's size as it is"
            )
        self._body = body
        self._cursor = (320.0, 180.0)

    def hold(self, thing: str) -> Routine[bool]:
        """Take an item into the hand, and fetch it from the inventory if it is not in the hotbar."""
        body = self._body
        slot = body.slot_of(thing)
        if body.state.held != thing and slot is not None and slot >= HOTBAR_SLOTS:
            to = self._empty_slot(range(HOTBAR_SLOTS))
            yield from self.open()
            yield from self.move(slot, to)
            yield from self.close()
        return (yield from body.hold(thing))

    def _empty_slot(self, slots: range) -> int:
        """Return the first empty slot of a range, or its first slot if none is empty."""
        full = self._body.slots()
        return next((slot for slot in slots if slot not in full), slots[0])

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
        swaps = to in self._body.slots()
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
            slot = self._body.slot_of(thing)
            if slot is None:
                return
            cells = [grid_slot(*cell, table=table) for cell, name in pattern if name == thing]
            yield from self.click(carried_slot(slot))
            for cell in cells:
                yield from self.click(cell, "use", times)
            if slot in self._body.slots():  # the rest on the cursor
                yield from self.click(carried_slot(slot))
        if to is None:
            to = self._empty_slot(range(HOTBAR_SLOTS, CARRIED_SLOTS))
        yield from self.click(result_slot(table=table), times=times)
        yield from self.click(carried_slot(to))

    def make_of_half(self, thing: str, times: int, to: int) -> Routine[None]:
        """Craft from one item in the inventory: put half a stack into the grid, take the rest back."""
        slot = self._body.slot_of(thing)
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
