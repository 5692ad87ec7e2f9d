"""What scripts know about a village: its walkable ground and paths over it."""

import heapq
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Cell = tuple[int, int]
"""A column of the ground: x, z."""


class Ground:
    """The walkable ground of a village's site.

    Args:
        site: Site of the village, with `ground` and `blocks`.
    """

    def __init__(self, site: Mapping[str, Any]) -> None:
        told = site["ground"]
        self._west, self._south = (int(part) for part in told["min"])
        heights = np.asarray(told["heights"], np.int64)
        self._heights = heights.reshape(-1, int(told["width"]))
        # The mod writes an empty list as null.
        plants = np.reshape(told["plants"] or [], (-1, 2))
        self.plants = {(int(x), int(z)) for x, z in plants}
        blocks = np.reshape(site["blocks"], (-1, 3)).astype(np.int64)
        self.built = {(int(x), int(z)) for x, _, z in blocks}
        self._barred: set[Cell] = set()

    def bar(self, cell: Cell) -> None:
        """Note that a cell is blocked now."""
        self._barred.add(cell)

    def free(self, cell: Cell) -> None:
        """Note that a cell is free again, or has an open gate."""
        self._barred.discard(cell)

    def is_clear(self, x: float, z: float, cell: Cell) -> bool:
        """Return whether nothing that was put is between a point and a cell."""
        line = np.rint(np.linspace((x, z), cell, 32)).astype(np.int64)
        return self._barred.isdisjoint({(int(east), int(north)) for east, north in line} - {cell})

    def height(self, cell: Cell) -> int:
        """Return the height of the node of the feet; 0 where the player cannot stand."""
        row, column = cell[1] - self._south, cell[0] - self._west
        inside = 0 <= row < self._heights.shape[0] and 0 <= column < self._heights.shape[1]
        return int(self._heights[row, column]) if inside and cell not in self._barred else 0

    def cells(self) -> list[Cell]:
        """Return all cells on which the player can stand."""
        rows, columns = np.nonzero(self._heights)
        cells = zip(columns.tolist(), rows.tolist(), strict=True)
        return [(x + self._west, z + self._south) for x, z in cells]

    def nearest(self, x: float, z: float) -> Cell:
        """Return the cell nearest to a point on which the player can stand."""
        return min(
            (cell for cell in self.cells() if self.height(cell)),
            key=lambda cell: (cell[0] - x) ** 2 + (cell[1] - z) ** 2,
        )

    def way(self, start: Cell, goal: Cell) -> list[list[float]] | None:
        """Return the cheapest path (Dijkstra), [x, y, z] of the nodes of the feet; it avoids walls if possible."""
        cost, before = {start: 0.0}, {start: start}
        queue = [(0.0, start)]
        while queue:
            so_far, cell = heapq.heappop(queue)
            if cell == goal:
                break
            if so_far > cost[cell]:
                continue
            for neighbour, length in self._neighbours(cell):
                total = so_far + length
                if total < cost.get(neighbour, math.inf):
                    cost[neighbour], before[neighbour] = total, cell
                    heapq.heappush(queue, (total, neighbour))
        if goal not in before:
            return None
        cells = [goal]
        while cells[-1] != start:
            cells.append(before[cells[-1]])
        return [[float(x), float(self.height((x, z))), float(z)] for x, z in reversed(cells)]

    def _neighbours(self, cell: Cell) -> list[tuple[Cell, float]]:
        x, z = cell
        here = self.height(cell) or None
        found = []
        for dx in (-1, 0, 1):
            for dz in (-1, 0, 1):
                there = (x + dx, z + dz)
                height = self.height(there)
                if (dx == 0 and dz == 0) or not height:
                    continue
                rise = height - here if here else 0
                if not -2 <= rise <= 1 or (dx and dz and (rise or not self._open(x, z, dx, dz))):
                    continue
                length = math.hypot(dx, dz) + 0.6 * abs(rise)
                found.append((there, length + (0.0 if self._is_roomy(there) else 0.8)))
        return found

    def _open(self, x: int, z: int, dx: int, dz: int) -> bool:
        return bool(self.height((x + dx, z)) and self.height((x, z + dz)))

    def _is_roomy(self, cell: Cell) -> bool:
        x, z = cell
        return all(self.height((x + dx, z + dz)) for dx in (-1, 0, 1) for dz in (-1, 0, 1))
