"""Hollows of the land: places lower than the ground around them, where caves open."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.motion import direction, wrap
from agents.demonstrator.wilds import Node
from basalt.worlds.luanti.land import LIQUID, Land

DEEP, AROUND = 2.0, 14
"""Least depth of a hollow below the mean ground around it, and the distance to which that ground counts, in nodes."""

RIM = 2
"""Width of its rim, which is seen from farther away than what it holds, in nodes."""

ACROSS, DOWN = 46.0, 30.0
"""Largest angles from the middle of the view at which a hollow is noticed, in degrees."""

LOOKED_AT = 10.0
"""Distance within which a player has seen what a hollow holds, in nodes."""

MOST_LINES = 12
"""Lines of sight that one look tries."""


class Hollows:
    """Hollows of a land, each with its rim, that a player has not looked into yet.

    Args:
        land: The land.
    """

    def __init__(self, land: Land) -> None:
        self._land = land
        ground = land.ground
        known = np.isfinite(ground)
        mean = ground[known].mean() if known.any() else 0.0
        level = np.where(known, ground, mean)
        side = (2 * AROUND + 1, 2 * AROUND + 1)
        deep = known & (level <= cv2.blur(level, side, borderType=cv2.BORDER_REFLECT) - DEEP)
        top = np.where(known, ground - land.low[1] + 1, 0).astype(int)
        above = np.take_along_axis(land.kinds, np.minimum(top, land.kinds.shape[1] - 1)[:, None], 1)
        dry = known & (above[:, 0] != LIQUID)
        near = cv2.dilate(
            (deep & dry).astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
        )
        x, z = np.nonzero(dry & (near > 0))
        self._places = np.stack([x, top[x, z], z], 1) + np.array(land.low, np.float64)

    def look_into(
        self, position: Sequence[float] | NDArray[np.float64], within: float = LOOKED_AT
    ) -> None:
        """Forget the places near a position."""
        away = np.hypot(self._places[:, 0] - position[0], self._places[:, 2] - position[2])
        self._places = self._places[away > within]

    def in_view(
        self, eye: Sequence[float], yaw: float, pitch: float, farthest: float
    ) -> Node | None:
        """Return the nearest place of a hollow that is in view, or None.

        Args:
            eye: Position of the eyes, [x, y, z].
            yaw: Yaw of the view, in degrees.
            pitch: Pitch of the view, in degrees.
            farthest: Distance up to which a hollow is noticed, in nodes.
        """
        away = np.linalg.norm(self._places - eye, axis=1)
        tried = 0
        for number in np.argsort(away):
            if away[number] > farthest or tried == MOST_LINES:
                break
            point = self._places[number]
            at, down = direction(eye, point)
            if abs(wrap(at - yaw)) < ACROSS and abs(down - pitch) < DOWN:
                tried += 1
                if self._land.sees(eye, point):
                    x, y, z = (int(part) for part in point)
                    return x, y, z
        return None
