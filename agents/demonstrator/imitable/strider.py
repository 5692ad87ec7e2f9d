"""Walking in the wild along a way, decided in every step from the telemetry of now and of the steps before."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.motion import EYE_HEIGHT, Point, direction, next_turn, wrap
from agents.demonstrator.paths import Route
from agents.demonstrator.wilds import Node, Wilds
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry

LOST = 3.0
"""Distance from the way at which it is given up, in nodes."""

AHEAD = 24
"""Nodes of a way between which it looks for a straight line."""

CORNER = 0.8
"""Distance from a corner of the way at which it turns to the next one, in nodes."""

SLOW_STEPS, SLOW = 12, 0.5
"""The player is stuck if it has moved less than this distance, in nodes, in this many steps."""


class Strider:
    """A player on its way.

    It walks in straight lines as long as the land allows: where it goes is then seen in the picture, and can be imitated.

    Args:
        wilds: Where it can walk.

    Attributes:
        state: State of the player now.
    """

    state: Telemetry

    def __init__(self, wilds: Wilds) -> None:
        self._wilds = wilds
        self._corners: list[int] = []  # points of the way at which it has yet to turn
        self._last: deque[Telemetry] = deque(maxlen=SLOW_STEPS)
        self._route: Route | None = None
        self._way: NDArray[np.float64] = np.zeros((0, 3))
        self._tries = 0

    def see(self, state: Telemetry) -> None:
        """Take the state of this step."""
        if hasattr(self, "state"):
            self._last.append(self.state)
        self.state = state

    @property
    def position(self) -> NDArray[np.float64]:
        """Position of the feet, [x, y, z]."""
        return np.array([self.state.xpos, self.state.ypos, self.state.zpos])

    @property
    def feet(self) -> Node:
        """Node of the feet."""
        x, y, z = self.position
        return math.floor(x + 0.5), math.floor(y + 1.0), math.floor(z + 0.5)

    @property
    def eye(self) -> Point:
        """Position of the eyes."""
        return self.state.xpos, self.state.ypos + EYE_HEIGHT, self.state.zpos

    @property
    def before(self) -> Telemetry:
        """State of the step before."""
        return self._last[-1] if self._last else self.state

    def is_stuck(self) -> bool:
        """Return whether the player has hardly moved for a while."""
        if len(self._last) < SLOW_STEPS:
            return False
        old = self._last[0]
        return float(np.linalg.norm(self.position - [old.xpos, old.ypos, old.zpos])) < SLOW

    def take(self, way: Sequence[Node]) -> None:
        """Take a way; an empty one ends the walk."""
        self._way, self._corners = self._straighten(way)
        self._route = Route(self._way.tolist()) if len(self._way) > 1 else None
        self._tries = 0

    def _straighten(self, way: Sequence[Node]) -> tuple[NDArray[np.float64], list[int]]:
        """Return the points of a way with as few turns as the land allows, and the numbers of those where it turns."""
        points: list[Sequence[float]] = list(way[:1])
        corners, start = [], 0
        while start < len(way) - 1:
            for end in range(min(start + AHEAD, len(way) - 1), start, -1):
                line = self._wilds.straight(way[start], way[end])
                if line is not None or end == start + 1:
                    points += line or [way[end]]
                    start = end
                    break
            corners.append(len(points) - 1)
        return np.array(points, np.float64).reshape(-1, 3), corners

    def _corner(self) -> NDArray[np.float64]:
        """Return the next corner of the way that was not passed yet, or the end."""
        assert self._route is not None
        while len(self._corners) > 1:
            away = self.position - self._way[self._corners[0]]
            if self._route.index < self._corners[0] and math.hypot(away[0], away[2]) > CORNER:
                break
            self._corners.pop(0)
        corner: NDArray[np.float64] = self._way[self._corners[0]]
        return corner

    def is_under_way(self, close: float = 1.0) -> bool:
        """Return whether the way leads on: it has not ended, and the player is not lost."""
        if self._route is None:
            return False
        self._route.advance(self.position)
        near = self._way[max(0, self._route.index - 4) : self._route.index + 12]
        away = np.linalg.norm(near - self.position - [0.0, 0.5, 0.0], axis=1).min()
        if self._route.ends_at(self.position, close) or away > LOST or self._tries > 60:
            self._route = None
        return self._route is not None

    def turn(self, yaw: float, pitch: float, start: float = 4.0) -> dict[str, Any]:
        """Return an action that only turns the view towards a direction."""
        return null_action() | {"camera": next_turn(self.state, self.before, yaw, pitch, start)}

    def turn_to(self, point: Sequence[float], start: float = 4.0) -> dict[str, Any]:
        """Return an action that only turns the view towards a point."""
        return self.turn(*direction(self.eye, point), start)

    def stride(self, lowest: float = 10.0) -> dict[str, Any]:
        """Return the action that follows the way: forward, with the view where it leads, jumping where it rises.

        Args:
            lowest: Least pitch of the view, in degrees.
        """
        assert self._route is not None
        state, position = self.state, self.position
        heading, _ = direction(position, self._corner())
        error = abs(wrap(heading - state.yaw))
        action = self.turn(heading, max(lowest, self._route.gaze_pitch(position)))
        rises = self._route.rises(position)
        if error < 50:
            action["forward"] = 1
            action["sprint"] = int(error < 15 and not rises)
            action["jump"] = int(rises or (state.in_liquid and state.step % 2 == 0))
        if self.is_stuck() and error < 50:
            # A jump, and aside to one side and then to the other.
            self._tries += 1
            action["jump"] = 1
            action["left" if self._tries // 16 % 2 else "right"] = 1
        return action
