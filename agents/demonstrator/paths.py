"""Finding paths, and keeping to one while walking."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

P = TypeVar("P")


def nearest_first(
    start: P, steps: Callable[[P], Iterable[tuple[P, float]]], farthest: float = math.inf
) -> Iterator[tuple[P, float, list[P]]]:
    """Yield places in order of their distance (Dijkstra): (place, distance, path without the start).

    Args:
        start: First place.
        steps: Function that returns the places one step away from a place, and their distances from it.
        farthest: Largest distance.
    """
    came: dict[P, P] = {}
    order = itertools.count()
    queue = [(0.0, next(order), start, start)]
    while queue:
        distance, _, place, before = heapq.heappop(queue)
        if place in came:
            continue
        came[place] = before
        path, at = [], place
        while at != start:
            path.append(at)
            at = came[at]
        yield place, distance, path[::-1]
        for there, length in steps(place):
            if there not in came and distance + length <= farthest:
                heapq.heappush(queue, (distance + length, next(order), there, place))


class Route:
    """A path, and how far along it the player is.

    Args:
        path: [x, y, z] of neighbouring nodes of the feet, from the player's place to the goal.
    """

    def __init__(self, path: Sequence[Sequence[float]]) -> None:
        self._path = np.asarray(path, dtype=np.float64)
        self.index = 0

    def ends_at(self, position: NDArray[np.float64], close: float) -> bool:
        """Return whether a position is within a horizontal distance of the path's end."""
        at_end = self.index >= len(self._path) - 1
        return at_end and _flat(self._path[-1] - position) < close

    def advance(self, position: NDArray[np.float64]) -> bool:
        """Move on to the furthest nearby node that the player has reached; return whether it is a new one."""
        window = self._path[self.index : self.index + 6]
        distances = np.hypot(*(window - position)[:, [0, 2]].T)
        distances[np.abs(window[:, 1] - position[1]) > 2.5] = np.inf
        near = np.flatnonzero(distances < 0.8)
        if not near.size or near[-1] == 0:
            return False
        self.index += int(near[-1])
        return True

    def rejoin(self, position: NDArray[np.float64]) -> None:
        """Take the path up again at its nearest node."""
        self.index = int(np.linalg.norm(self._path - position, axis=1).argmin())

    def straight_ahead(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the furthest node to which the player can walk straight without leaving the path."""
        best = min(self.index + 1, len(self._path) - 1)
        for index in range(best, min(self.index + 6, len(self._path))):
            stretch = self._path[self.index : index + 1]
            if np.ptp(stretch[:, 1]) > 0:
                break
            line = np.linspace(position, self._path[index], 8)[:, None, [0, 2]]
            away = np.linalg.norm(line - stretch[None][:, :, [0, 2]], axis=2).min(axis=1)
            if away[1:].max() < 0.75:
                best = index
        node: NDArray[np.float64] = self._path[best]
        return node

    def rises(self, position: NDArray[np.float64]) -> bool:
        """Return whether one of the next two nodes is a step up that is near enough to jump."""
        return any(
            _flat(node - position) < 1.7 and node[1] - 0.5 > position[1] + 0.55
            for node in self._path[self.index : self.index + 3]
        )

    def gaze_pitch(self, position: NDArray[np.float64]) -> float:
        """Return the pitch towards the ground a few nodes ahead, in degrees; nearly level."""
        target = self._path[min(self.index + 7, len(self._path) - 1)]
        flat = max(3.0, _flat(target - position))
        slope = math.degrees(math.atan2(position[1] - (target[1] - 0.5), flat))
        return float(np.clip(6.0 + 0.7 * slope, -30.0, 40.0))


def _flat(vector: ArrayLike) -> float:
    """Return the horizontal length of a vector [x, y, z]."""
    x, _, z = np.asarray(vector)
    return math.hypot(x, z)
