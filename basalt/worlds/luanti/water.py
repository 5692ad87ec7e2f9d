"""Where water that a player pours would run, on the land of a saved world: for labels of where it is worth pouring."""

import math
from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

from basalt.worlds.luanti.land import FREE, GROUND, OUTSIDE, PLANT, Land

REACH = 4.0
"""Distance up to which a player pours, in nodes from its eyes."""

EYES = 1.47
"""Height of a player's eyes above its feet, in nodes."""

SPREAD = 8
"""Level of a source, and of water that has fallen; each node to the side has one less, down to 1."""

MOST_NODES = 1500
"""Nodes of water after which it is followed no further."""

_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))
_LENGTHS = np.arange(0.0, REACH, 0.05)

Node = tuple[int, int, int]


class Pours:
    """How far water falls that is poured on a land as the map generator left it.

    Water runs by the engine's rules: down where it can, and to all four sides where it cannot. Plants that a player walks
    through count as free, although a bucket is pointed at them.

    Args:
        land: The land.
    """

    def __init__(self, land: Land) -> None:
        self._land = land
        self._heights: dict[Node, int] = {}

    def height(self, feet: ArrayLike, yaw: float, pitch: float) -> int:
        """Nodes of free fall of the longest column, if a player poured; 0 where nothing is in reach.

        Args:
            feet: Position of the player, [x, y, z].
            yaw: Yaw of its view, in degrees.
            pitch: Pitch of its view, in degrees; positive is down.
        """
        source = self._source(np.add(feet, [0.0, EYES, 0.0]), yaw, pitch)
        if source is None:
            return 0
        if source not in self._heights:
            self._heights[source] = self._follow(source)
        return self._heights[source]

    def _source(self, eye: NDArray[np.float64], yaw: float, pitch: float) -> Node | None:
        """The node that a bucket would fill: the last free one before what the view's middle points at."""
        across, down = math.radians(yaw), math.radians(pitch)
        ray = [
            math.sin(across) * math.cos(down),
            -math.sin(down),
            math.cos(across) * math.cos(down),
        ]
        nodes = np.floor(eye + np.multiply.outer(_LENGTHS, ray) + 0.5).astype(int)
        last: Node | None = None
        for x, y, z in nodes[np.r_[True, (np.diff(nodes, axis=0) != 0).any(axis=1)]].tolist():
            kind = self._land.kind(x, y, z)
            if kind != FREE:
                return last if kind in (GROUND, PLANT) else None
            last = x, y, z
        return None

    def _follow(self, source: Node) -> int:
        """Nodes of free fall of the longest column of the water from a source."""
        land, highest, count = self._land, 0, 0
        seen, queue = {source}, deque([(source, SPREAD, True)])
        while queue and count < MOST_NODES:
            (x, y, z), level, stands = queue.popleft()
            count += 1
            fallen = 0
            while land.kind(x, y - fallen - 1, z) == FREE:
                fallen += 1
            if fallen:
                foot = x, y - fallen, z
                if land.kind(x, y - fallen - 1, z) != OUTSIDE:
                    highest = max(highest, fallen)
                    if foot not in seen:
                        queue.append((foot, SPREAD, True))
                seen.update((x, y - one, z) for one in range(1, fallen + 1))
            if level == 1 or (fallen and not stands):
                continue  # running water that can fall does not spread
            for a, c in _SIDES:
                beside = x + a, y, z + c
                if beside not in seen and land.kind(*beside) == FREE:
                    seen.add(beside)
                    queue.append((beside, level - 1, False))
        return highest
