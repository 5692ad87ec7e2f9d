"""Places in the wild for the feet of a walker, and the cheapest ways between them.

The rules are those of the site search (`basalt/worlds/luanti/mod/paths.lua`): a walker climbs one node, drops three at
most, keeps away from edges, and never digs or enters water.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.motion import Point
from basalt.worlds.luanti.land import FREE, GROUND, LIQUID, Land

Node = tuple[int, int, int]

MAX_DROP = 3
CLIFF_COST = 2.0
"""Extra cost of a step onto a place at an edge, in nodes."""

HALF_WIDTH = 0.4
"""Half of a walker's width, in nodes."""

MOST_PLACES = 12_000
"""Places after which a search for a way is given up."""

_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


class Wilds:
    """Where a walker can go.

    Args:
        land: The land.

    Attributes:
        stand: Whether a walker can stand at a node of the land's box, bool [X, Y, Z].
    """

    def __init__(self, land: Land) -> None:
        self.land = land
        kinds = land.kinds
        self._shape = kinds.shape
        _, height, depth = kinds.shape
        self._dx, self._dy, self._dz = height * depth, depth, 1
        free = kinds == FREE
        stand = np.zeros(kinds.shape, bool)
        stand[:, 1:-1] = free[:, 1:-1] & free[:, 2:] & (kinds[:, :-2] == GROUND)
        stand &= ~_spread(kinds == LIQUID)
        stand[:6], stand[-6:], stand[:, :6], stand[:, -6:] = False, False, False, False
        stand[:, :, :6], stand[:, :, -6:] = False, False
        self.stand = stand
        self._stand = stand.tobytes()
        self._free = free.tobytes()
        self._cliff = (stand & _beside_drop(free)).tobytes()

    def _index(self, node: Sequence[float]) -> int | None:
        x, y, z = (int(part) for part in node)
        x, y, z = x - self.land.low[0], y - self.land.low[1], z - self.land.low[2]
        a, b, c = self._shape
        if not (0 <= x < a and 0 <= y < b and 0 <= z < c):
            return None
        return x * self._dx + y * self._dy + z

    def _node(self, index: int) -> Node:
        x, rest = divmod(index, self._dx)
        y, z = divmod(rest, self._dy)
        return x + self.land.low[0], y + self.land.low[1], z + self.land.low[2]

    def can_stand(self, node: Sequence[float]) -> bool:
        """Return whether a walker's feet can be at a node."""
        index = self._index(node)
        return index is not None and bool(self._stand[index])

    def flood(self, place: Sequence[float], within: float) -> None:
        """From here on, nobody can stand near a place: water runs there.

        Args:
            place: Node where the water was poured.
            within: Horizontal distance, in nodes; up and down the same.
        """
        x, y, z = np.ogrid[tuple(slice(0, size) for size in self._shape)]
        a, b, c = (int(part) - low for part, low in zip(place, self.land.low, strict=True))
        self.stand &= (np.hypot(x - a, z - c) > within) | (abs(y - b) > within)
        self._stand = self.stand.tobytes()

    def near(self, point: Sequence[float], within: int = 2) -> Node | None:
        """Return the place nearest to a point, at most some nodes away on each axis, or None."""
        x, y, z = (round(float(part)) for part in point)
        span = range(-within, within + 1)
        places = [
            (abs(a) + abs(b) + abs(c), (x + a, y + b, z + c))
            for a in span
            for c in span
            for b in range(-within - 1, within + 2)
            if self.can_stand((x + a, y + b, z + c))
        ]
        return min(places)[1] if places else None

    def surface(self, x: float, z: float, within: int = 3) -> Node | None:
        """Return the place under the open sky nearest to a column, or None if no such place is within some nodes."""
        best: tuple[float, Node] | None = None
        for a in range(round(x) - within, round(x) + within + 1):
            for c in range(round(z) - within, round(z) + within + 1):
                away = math.hypot(a - x, c - z)
                if best is not None and away >= best[0]:
                    continue
                top = self.top(a, c)
                if top is not None and self.can_stand((a, top, c)):
                    best = away, (a, top, c)
        return None if best is None else best[1]

    def top(self, x: int, z: int) -> int | None:
        """Return the height of the node above the highest thing of a column; None outside the land."""
        i, k = x - self.land.low[0], z - self.land.low[2]
        if not (0 <= i < self._shape[0] and 0 <= k < self._shape[2]):
            return None
        column = self.land.kinds[i, :, k]
        solid = np.flatnonzero((column != FREE) & (column != 255))
        return int(solid[-1]) + 1 + self.land.low[1] if solid.size else None

    def way(
        self,
        start: Sequence[float],
        goal: Sequence[float] | None = None,
        *,
        ends: Callable[[Node], bool] | None = None,
        around: float = 0.0,
        farthest: float = 80.0,
    ) -> list[Node]:
        """Return the cheapest way, nodes of the feet from the start on; empty if no way was found.

        Args:
            start: Node of the feet.
            goal: Node to go to; needed unless `ends` is given.
            ends: Whether a node is a goal; by default only `goal` is.
            around: Horizontal distance from `goal` within which all goals are.
            farthest: Largest cost, about the length in nodes.
        """
        first = self._index(start)
        if first is None:
            return []
        to = None if goal is None else np.asarray(goal, int)
        target = None if goal is None or ends is not None else self._index(goal)

        def is_end(index: int) -> bool:
            return index == target or (ends is not None and ends(self._node(index)))

        def left(index: int) -> float:
            if to is None:
                return 0.0
            x, _, z = self._node(index)
            return max(0.0, math.hypot(x - to[0], z - to[2]) - around)

        came, end = self._search(first, farthest, is_end, left)
        return [] if end is None else self._back(came, end)

    def ways(self, start: Sequence[float], farthest: float = 80.0) -> Callable[[Node], list[Node]]:
        """Return the function from a place to the cheapest way to it, empty without one: one search for many goals.

        Args:
            start: Node of the feet.
            farthest: Largest cost, about the length in nodes.
        """
        first = self._index(start)
        came: dict[int, int] = {}
        if first is not None:
            came, _ = self._search(first, farthest, lambda _: False, lambda _: 0.0)

        def way(goal: Node) -> list[Node]:
            end = self._index(goal)
            return self._back(came, end) if end in came else []

        return way

    def _search(
        self,
        first: int,
        farthest: float,
        is_end: Callable[[int], bool],
        left: Callable[[int], float],
    ) -> tuple[dict[int, int], int | None]:
        """Return the place before each place that was reached, and the end that was."""
        came: dict[int, int] = {}
        best = {first: 0.0}
        queue = [(0.0, 0.0, first, first)]
        while queue and len(came) < MOST_PLACES:
            _, cost, here, before = heapq.heappop(queue)
            if here in came:
                continue
            came[here] = before
            if is_end(here):
                return came, here
            for there, step in self._steps(here):
                total = cost + step + (CLIFF_COST if self._cliff[there] else 0.0)
                if total <= farthest and total < best.get(there, math.inf):
                    best[there] = total
                    heapq.heappush(queue, (total + left(there), total, there, here))
        return came, None

    def _back(self, came: Mapping[int, int], end: int) -> list[Node]:
        """Return the way to a place that was reached."""
        way = [end]
        while came[way[-1]] != way[-1]:
            way.append(came[way[-1]])
        return [self._node(index) for index in reversed(way)]

    def straight(self, start: Node, end: Node) -> list[Point] | None:
        """Return points at most half a node apart on the straight line between two places; None if nobody can walk it.

        It keeps away from edges of cliffs, and is as wide as a walker.

        Args:
            start: Node of the feet.
            end: Node to go to.
        """
        (x, y, z), flat = start, math.hypot(end[0] - start[0], end[2] - start[2])
        count = max(1, math.ceil(2 * flat))
        points: list[Point] = []
        aside = (0.0, 0.0) if not flat else ((end[2] - z) / flat, (x - end[0]) / flat)
        for k in range(1, count + 1):
            at, to = x + (end[0] - x) * k / count, z + (end[2] - z) * k / count
            levels = [
                self._level(round(at + a * aside[0]), y, round(to + a * aside[1]))
                for a in (0.0, -HALF_WIDTH, HALF_WIDTH)
            ]
            known = [level for level in levels if level is not None]
            if len(known) < 3 or max(known) - min(known) > 1:
                return None
            y = known[0]
            index = self._index((round(at), y, round(to)))
            if k < count and index is not None and self._cliff[index]:
                return None
            points.append((at, float(y), to))
        return points if y == end[1] else None

    def _level(self, x: int, y: int, z: int) -> int | None:
        """Return where the feet are in a column beside a place of some height, or None if they cannot get there."""
        here = self._index((x, y, z))
        if here is None:
            return None
        if self._stand[here]:
            return y
        if self._stand[here + self._dy]:
            return y + 1
        if self._free[here] and self._free[here + self._dy]:
            for drop in range(1, MAX_DROP + 1):
                if self._stand[here - drop * self._dy]:
                    return y - drop
                if not self._free[here - drop * self._dy]:
                    break
        return None

    def _steps(self, i: int) -> list[tuple[int, float]]:
        """Return the places one move away, and the lengths of the moves."""
        stand, free, dx, dy, dz = self._stand, self._free, self._dx, self._dy, self._dz
        found = []
        for side in (dx, -dx, dz, -dz):
            n = i + side
            if stand[n]:
                found.append((n, 1.0))
            if stand[n + dy] and free[i + 2 * dy]:
                found.append((n + dy, 1.6))
            if free[n] and free[n + dy]:
                for drop in range(1, MAX_DROP + 1):
                    if stand[n - drop * dy]:
                        found.append((n - drop * dy, 1.1 + 0.1 * drop))
                        break
                    if not free[n - drop * dy]:
                        break
        for across in (dx, -dx):
            for along in (dz, -dz):
                n = i + across + along
                if stand[n] and stand[i + across] and stand[i + along]:
                    found.append((n, 1.4))
        return found


@dataclass(frozen=True)
class Lip:
    """The edge of a cliff, with level ground behind.

    Attributes:
        place: Place to stand at the edge.
        side: Direction to the fall: x, y, z, a unit vector.
        height: Free fall beyond it, in nodes.
    """

    place: Node
    side: Node
    height: int

    def beyond(self, nodes: int) -> Node:
        """Return the node some nodes beyond the place, or behind it for a negative number."""
        (x, y, z), (a, _, c) = self.place, self.side
        return x + nodes * a, y, z + nodes * c


def find_lips(land: Land, stand: NDArray[np.bool_], least: int, most: int) -> list[Lip]:
    """Return the edges of cliffs under the open sky.

    Args:
        land: The land.
        stand: Whether a walker can stand at a node, bool [X, Y, Z].
        least: Smallest free fall, in nodes.
        most: Largest free fall, in nodes.
    """
    free = land.kinds == FREE
    depth = np.zeros(free.shape, np.int16)  # free nodes below
    ends = np.zeros(free.shape, bool)  # ... which end on ground
    for y in range(1, free.shape[1]):
        below = free[:, y - 1]
        depth[:, y] = np.where(below, depth[:, y - 1] + 1, 0)
        ends[:, y] = np.where(below, ends[:, y - 1], land.kinds[:, y - 1] == GROUND)
    sheer = free & ends & (depth >= least) & (depth <= most)
    sheer[:, :-1] &= free[:, 1:]
    lips = []
    for a, c in _SIDES:
        level = stand & np.roll(stand, (a, c), (0, 2)) & np.roll(stand, (2 * a, 2 * c), (0, 2))
        for x, y, z in np.argwhere(level & np.roll(sheer, (-a, -c), (0, 2))).tolist():
            if land.daylight[x, y + 1, z] == 15:
                place = x + land.low[0], y + land.low[1], z + land.low[2]
                lips.append(Lip(place, (a, 0, c), int(depth[x + a, y, z + c])))
    return lips


def _spread(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells and all that touch one, also by a corner."""
    for axis in range(3):
        one = cells.copy()
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        one[tuple(ahead)] |= cells[tuple(behind)]
        one[tuple(behind)] |= cells[tuple(ahead)]
        cells = one
    return cells


def _beside_drop(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where one of the four sides is the top of a fall deeper than `MAX_DROP`."""
    deep = free.copy()
    for depth in range(1, MAX_DROP + 2):
        deep[:, depth:] &= free[:, :-depth]
        deep[:, :depth] = False
    beside = np.zeros_like(deep)
    beside[1:] |= deep[:-1]
    beside[:-1] |= deep[1:]
    beside[:, :, 1:] |= deep[:, :, :-1]
    beside[:, :, :-1] |= deep[:, :, 1:]
    return beside
