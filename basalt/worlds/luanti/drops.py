"""How far a player that walks straight ahead would fall, on the land of a saved world: for labels of where to turn away."""

import math

import numpy as np
from numpy.typing import ArrayLike

from basalt.worlds.luanti.land import FREE, LIQUID, OUTSIDE, Land

_STRIDE = 0.25
"""Distance at which a player's way is looked at, in nodes."""

_JUMP = 1
"""Nodes that a player jumps up."""


def drop_ahead(land: Land, feet: ArrayLike, yaw: float, reach: float) -> int:
    """Nodes of the deepest fall of a player that walks straight ahead and jumps up where it can; 0 for none.

    Falls into water or lava count as none. The way ends at a wall, and where the land is not known.

    Args:
        land: The land.
        feet: Position of the player, [x, y, z].
        yaw: Yaw of its view, in degrees.
        reach: Length of its way, in nodes.
    """
    x, height, z = np.asarray(feet, np.float64)
    across = math.radians(yaw)
    y, deepest = math.floor(height + 1), 0
    for length in np.arange(0.0, reach + _STRIDE, _STRIDE):
        column = (
            math.floor(x + length * math.sin(across) + 0.5),
            math.floor(z + length * math.cos(across) + 0.5),
        )

        def kind(at: int, column: tuple[int, int] = column) -> int:
            return land.kind(column[0], at, column[1])

        up = next((up for up in range(_JUMP + 1) if kind(y + up) == kind(y + up + 1) == FREE), None)
        if up is None:
            break
        y += up
        fallen = 0
        while kind(y - fallen - 1) == FREE:
            fallen += 1
        below = kind(y - fallen - 1)
        if below == OUTSIDE:
            break
        if below != LIQUID:
            deepest = max(deepest, fallen)
        y -= fallen
    return deepest
