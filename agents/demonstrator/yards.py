"""Yards for animal pens: level, empty rectangles beside a village's houses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.demonstrator.village import Cell, Ground

SIZES = ((6, 6), (6, 5), (5, 5))
"""Lengths of the fence's sides minus one, the largest first."""

GAPS = (2, 3)
"""Distances from the fence to a house's wall, in nodes."""


@dataclass(frozen=True)
class Yard:
    """The place of a pen.

    Attributes:
        low: Low corner of its fence.
        high: High corner of its fence.
        gate: Cell of the gate.
        out: Direction from the gate to the outside.
    """

    low: Cell
    high: Cell
    gate: Cell
    out: Cell

    def inside(self) -> list[Cell]:
        """Return the cells inside the fence."""
        return cells(self.low, self.high, margin=-1)

    def fence(self) -> list[Cell]:
        """Return the cells of the fence without the gate."""
        return sorted({*cells(self.low, self.high)} - {*self.inside(), self.gate})

    def from_gate(self, nodes: int) -> Cell:
        """Return a cell in front of the gate, or behind it for a negative number."""
        return self.gate[0] + nodes * self.out[0], self.gate[1] + nodes * self.out[1]

    def far_end(self) -> Cell:
        """Return the cell inside that is opposite the gate."""
        along = 0 if self.out[0] else 1
        return self.from_gate(1 - (self.high[along] - self.low[along]))


def cells(low: Cell, high: Cell, margin: int = 0) -> list[Cell]:
    """Return the cells of a rectangle, from corner to corner, widened by a margin."""
    return [
        (x, z)
        for x in range(low[0] - margin, high[0] + margin + 1)
        for z in range(low[1] - margin, high[1] + margin + 1)
    ]


def find_yards(site: Mapping[str, Any], ground: Ground) -> list[Yard]:
    """Return the yards of the largest size for which there is room beside a house.

    Args:
        site: Site of the village.
        ground: Ground of the village.
    """
    built = {(int(x), int(z)) for x, _, z in np.reshape(site["blocks"], (-1, 3))}
    for width, depth in SIZES:
        found: list[Yard] = []
        for house in site["houses"]:
            for low in _corners(house, width, depth):
                high = low[0] + width, low[1] + depth
                around = cells(low, high, margin=1)
                heights = {ground.height(cell) for cell in around}
                if len(heights) == 1 and 0 not in heights and built.isdisjoint(around):
                    found += _gates(ground, low, high, heights.pop())
        if found:
            return found
    return []


def _corners(house: Mapping[str, Any], width: int, depth: int) -> Iterator[Cell]:
    """Yield the low corners of the rectangles of a size beside a house."""
    x0, z0 = int(house["min"][0]), int(house["min"][2])
    x1, z1 = int(house["max"][0]), int(house["max"][2])
    for gap in GAPS:
        for along in range(-2, 4):
            yield x0 + along, z1 + gap
            yield x0 + along, z0 - gap - depth
            yield x1 + gap, z0 + along
            yield x0 - gap - width, z0 + along


def _gates(ground: Ground, low: Cell, high: Cell, level: int) -> Iterator[Yard]:
    """Yield the yard with its gate in the middle of each side that is free in front."""
    x, z = (low[0] + high[0]) // 2, (low[1] + high[1]) // 2
    for gate, out in (
        ((x, low[1]), (0, -1)),
        ((x, high[1]), (0, 1)),
        ((low[0], z), (-1, 0)),
        ((high[0], z), (1, 0)),
    ):
        yard = Yard(low, high, gate, out)
        front = [yard.from_gate(nodes) for nodes in (1, 2, 3)]
        beside = {(x + side * out[1], z + side * out[0]) for x, z in front for side in (-1, 0, 1)}
        if all(abs(ground.height(cell) - level) <= 1 for cell in beside):
            yield yard
