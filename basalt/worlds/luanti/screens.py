"""Where the slots of the inventory's screens are; `mod/crafting.lua` draws them.

Positions are (x, y) pixels of a window of 640x360, the middle of the slot. They are Minecraft's at GUI scale 1, as
BEDD's videos show them.
"""

Pixel = tuple[int, int]

_LEFT, _TOP = 232, 97
_SLOT, _HALF = 18, 8
HOTBAR_SLOTS = 9


def _middle(x: int, y: int, column: int = 0, row: int = 0) -> Pixel:
    return _LEFT + x + _SLOT * column + _HALF, _TOP + y + _SLOT * row + _HALF


def carried_slot(slot: int) -> Pixel:
    """Return a slot of the player's inventory: 0-8 is the hotbar, 9-35 the rows above it."""
    if slot < HOTBAR_SLOTS:
        return _middle(8, 142, slot)
    return _middle(8, 84, (slot - HOTBAR_SLOTS) % 9, (slot - HOTBAR_SLOTS) // 9)


def grid_slot(column: int, row: int, *, table: bool) -> Pixel:
    """Return a slot of the crafting grid: 3 x 3 at a crafting table, 2 x 2 in the inventory."""
    return _middle(30, 17, column, row) if table else _middle(98, 18, column, row)


def result_slot(*, table: bool) -> Pixel:
    """Return the slot that shows the result of crafting."""
    return _middle(124, 35) if table else _middle(154, 28)
