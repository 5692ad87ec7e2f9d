"""The walkable ground of a village, and paths over it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agents.demonstrator.blocks import Block, Node, Place, level_ground
from agents.demonstrator.paths import nearest_first

Cell = tuple[int, int]
"""A column of the ground: x, z."""


class Ground:
    """The walkable ground of a village's site.

    Args:
        site: Site of the village; `ground` has the node of the feet of every column, and the plants on them.
    """

    def __init__(self, site: Mapping[str, Any]) -> None:
        ground = site["ground"]
        west, south = (int(part) for part in ground["min"])
        rows = np.reshape(ground["heights"], (-1, int(ground["width"]))).astype(int).tolist()
        self._heights: dict[Cell, int] = {
            (west + x, south + z): height
            for z, row in enumerate(rows)
            for x, height in enumerate(row)
            if height  # 0 where the player cannot stand
        }
        # The mod writes an empty list as null.
        plants = np.reshape(ground["plants"] or [], (-1, 2))
        self.plants = {(int(x), int(z)) for x, z in plants}
        # A layer of snow covers nearly all of the ground in a snowy village.
        self._snow = 0.125 if site.get("style") == "snowy" else 0.0
        self._barred: set[Cell] = set()

    def bar(self, cell: Cell) -> None:
        """Note that a cell is blocked now."""
        self._barred.add(cell)

    def free(self, cell: Cell) -> None:
        """Note that a cell is free again, or has an open gate."""
        self._barred.discard(cell)

    def height(self, cell: Cell) -> int:
        """Return the height of the node of the feet; 0 where the player cannot stand."""
        return 0 if cell in self._barred else self._heights.get(cell, 0)

    def feet(self, cell: Cell) -> Node:
        """Return the node of the feet of a player who stands on a cell."""
        return cell[0], self.height(cell), cell[1]

    def nearest(self, x: float, z: float) -> Cell:
        """Return the cell nearest to a point on which the player can stand."""
        cell = round(x), round(z)
        if self.height(cell):
            return cell
        free = (cell for cell in self._heights if cell not in self._barred)
        return min(free, key=lambda cell: (cell[0] - x) ** 2 + (cell[1] - z) ** 2)

    def way(self, start: ArrayLike, goal: Cell) -> list[Node]:
        """Return the cheapest path, nodes of the feet; it avoids walls if possible, and is empty if no path was found.

        Args:
            start: Position of the player, x and z in nodes.
            goal: Cell to go to.
        """
        first = self.nearest(*np.asarray(start, np.float64))
        for cell, _, way in nearest_first(first, self._steps):
            if cell == goal:
                return [self.feet(cell) for cell in (first, *way)]
        return []

    def level_place(self, low: Cell, high: Cell) -> Place:
        """Return a level rectangle, from corner to corner and one cell around, as a place to build on."""
        ground = level_ground(low, high, self.height(low) - 1)
        plants = [cell for cell in sorted(self.plants) if ground(*cell) is not None]
        blocks = {self.feet(cell): Block("plant") for cell in plants}
        return Place(ground, blocks, snow=self._snow)

    def _steps(self, cell: Cell) -> Iterator[tuple[Cell, float]]:
        """Yield the cells that can be reached from a cell in one step, and their distance."""
        x, z = cell
        for dx in (-1, 0, 1):
            for dz in (-1, 0, 1):
                there = (x + dx, z + dz)
                if not self.height(there) or there == cell:
                    continue
                rise = self.height(there) - self.height(cell)
                straight = dx == 0 or dz == 0
                corners = self.height((x + dx, z)) and self.height((x, z + dz))
                if -2 <= rise <= 1 and (straight or (rise == 0 and corners)):
                    walls = 0.0 if self._is_roomy(there) else 0.8
                    yield there, math.hypot(dx, dz) + 0.6 * abs(rise) + walls

    def _is_roomy(self, cell: Cell) -> bool:
        x, z = cell
        return all(self.height((x + dx, z + dz)) for dx in (-1, 0, 1) for dz in (-1, 0, 1))
