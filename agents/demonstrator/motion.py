"""How scripts move: like a person who looks where it goes.

Turns are gradual, and the mouse rests between them. Scripts jump where the ground rises; where they are stuck, they back
off and try again.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry

MAX_TURN = 9.0
"""Fastest turn, in degrees per step."""

TURN_ACCELERATION = 1.8
"""Acceleration of a turn, in degrees per step per step."""

START_TURN, STOP_TURN = 7.0, 1.5
"""Error of the direction, in degrees, above which a turn begins and below which it ends.

Between turns the mouse rests, as a person's does.
"""

STUCK_STEPS = 16
"""Steps without progress after which it backs off and tries again."""

EYE_HEIGHT = 1.47
"""Height of the eyes above the feet, in nodes."""


class Gaze:
    """Turns the view smoothly towards directions."""

    def __init__(self) -> None:
        self._turn = np.zeros(2)  # current speed [pitch, yaw], degrees per step
        self._turning = np.zeros(2, dtype=bool)

    def towards(
        self, state: Telemetry, yaw: float, pitch: float, start: float = START_TURN
    ) -> NDArray[np.float32]:
        """Return the camera change [pitch, yaw] of the next step, in degrees.

        Args:
            state: State of the player.
            yaw: Yaw to look at, in degrees.
            pitch: Pitch to look at, in degrees.
            start: Error above which a turn begins, in degrees; smaller for aiming.
        """
        error = np.array([pitch - state.pitch, wrap(yaw - state.yaw)])
        off = np.abs(error)
        self._turning = np.where(self._turning, off > min(STOP_TURN, start), off > start)
        wanted = np.where(self._turning, np.clip(0.3 * error, -MAX_TURN, MAX_TURN), 0.0)
        self._turn += np.clip(wanted - self._turn, -TURN_ACCELERATION, TURN_ACCELERATION)
        return np.clip(self._turn, -MAX_TURN, MAX_TURN).astype(np.float32)

    def at(
        self, state: Telemetry, point: ArrayLike, start: float = START_TURN
    ) -> NDArray[np.float32]:
        """Return the same for a point [x, y, z] of the world, in nodes."""
        return self.towards(state, *direction(state, point), start=start)


class PathWalk:
    """Walks along a path of neighbouring nodes.

    Args:
        path: [x, y, z] of the nodes of the feet, from the player's place to the goal.
        gaze: Turns the view.
        rng: Source of small irregularities.
        close: Horizontal distance from the last node at which the walk ends, in nodes.
    """

    def __init__(
        self,
        path: Sequence[Sequence[float]],
        gaze: Gaze,
        rng: np.random.Generator,
        close: float = 0.9,
    ) -> None:
        self._path = np.asarray(path, dtype=np.float64)
        self._gaze = gaze
        self._rng = rng
        self._close = close
        self._index = 0
        self._stuck = 0
        self._escape = 0
        self._escape_side = "left"
        self._sprint_after = int(rng.integers(5, 25))

    def arrived(self, state: Telemetry) -> bool:
        """Return whether the goal is reached."""
        position = _position(state)
        self._follow(position)
        at_end = self._index >= len(self._path) - 1
        return at_end and math.hypot(*(self._path[-1] - position)[[0, 2]]) < self._close

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action on the path; call `arrived` first in every step."""
        position = _position(state)
        target = self._path[self._aim(position)]
        heading = bearing(position, target)
        error = wrap(heading - state.yaw)
        action = null_action()
        action["camera"] = self._gaze.towards(state, heading, self._gaze_pitch(position))
        if self._escape:
            return action | self._back_off()
        rises = self._rises(position)
        if abs(error) < 50:
            action["forward"] = 1
            action["jump"] = int(rises or (state.in_liquid and state.step % 2))
            straight = abs(error) < 12 and not rises and not state.under_roof
            action["sprint"] = int(straight and self._index > self._sprint_after)
        return action

    def _aim(self, position: NDArray[np.float64]) -> int:
        """Return the furthest node ahead to which the player can walk straight without leaving the path."""
        best = min(self._index + 1, len(self._path) - 1)
        for index in range(best, min(self._index + 6, len(self._path))):
            stretch = self._path[self._index : index + 1]
            if np.ptp(stretch[:, 1]) > 0:
                break
            line = np.linspace(position, self._path[index], 8)[:, None, [0, 2]]
            away = np.linalg.norm(line - stretch[None][:, :, [0, 2]], axis=2).min(axis=1)
            if away[1:].max() < 0.75:
                best = index
        return best

    def _follow(self, position: NDArray[np.float64]) -> None:
        """Advance along the path to the nearest node close ahead, and notice being stuck."""
        window = self._path[self._index : self._index + 6]
        distances = np.hypot(*(window - position)[:, [0, 2]].T)
        distances[np.abs(window[:, 1] - position[1]) > 2.5] = np.inf
        near = np.flatnonzero(distances < 0.8)
        if near.size and near[-1] > 0:
            self._index += int(near[-1])
            self._stuck = 0
            return
        self._stuck += 1
        if self._stuck >= STUCK_STEPS and not self._escape:
            self._stuck = 0
            self._escape = int(self._rng.integers(8, 14))
            self._escape_side = str(self._rng.choice(["left", "right"]))
            # It may have passed the node: rejoin the path at its nearest node.
            nearest = np.linalg.norm(self._path - position, axis=1)
            self._index = int(nearest.argmin())

    def _back_off(self) -> dict[str, Any]:
        """Walk back and aside for half of the time, then forward with a jump."""
        self._escape -= 1
        if self._escape > 5:
            return {"back": 1, self._escape_side: 1}
        return {"forward": 1, "jump": 1}

    def _rises(self, position: NDArray[np.float64]) -> bool:
        """Return whether one of the next two nodes is a step up that is near enough to jump."""
        for node in self._path[self._index : self._index + 3]:
            near = math.hypot(*(node - position)[[0, 2]]) < 1.7
            if near and node[1] - 0.5 > position[1] + 0.55:
                return True
        return False

    def _gaze_pitch(self, position: NDArray[np.float64]) -> float:
        """Return the pitch towards the ground a few nodes ahead, in degrees; nearly level."""
        target = self._path[min(self._index + 7, len(self._path) - 1)]
        flat = max(3.0, math.hypot(*(target - position)[[0, 2]]))
        slope = math.degrees(math.atan2(position[1] - (target[1] - 0.5), flat))
        return float(np.clip(6.0 + 0.7 * slope, -30.0, 40.0))


class LookAround:
    """Stands still and turns the head to one side and then to the other.

    Args:
        gaze: Turns the view.
        rng: Source of small irregularities.
        steps: Number of steps.
        width: Largest angle to a side, in degrees.
    """

    def __init__(self, gaze: Gaze, rng: np.random.Generator, steps: int, width: float) -> None:
        side = float(rng.choice([-1.0, 1.0])) * width
        first, second = side * rng.uniform(0.5, 1.0), -side * rng.uniform(0.5, 1.0)
        half = steps // 2
        self._points = [(first, 4.0)] * half + [(second, 8.0)] * (steps - half)
        self._gaze = gaze
        self._heading: float | None = None

    @property
    def done(self) -> bool:
        """Whether it has looked long enough."""
        return not self._points

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action; directions are relative to the player's first one."""
        if self._heading is None:
            self._heading = state.yaw
        yaw, pitch = self._points.pop(0)
        return null_action() | {"camera": self._gaze.towards(state, self._heading + yaw, pitch)}


def direction(state: Telemetry, point: ArrayLike) -> tuple[float, float]:
    """Return yaw and pitch in degrees from the player's eyes to a point [x, y, z]."""
    x, y, z = np.asarray(point, np.float64) - [state.xpos, state.ypos + EYE_HEIGHT, state.zpos]
    return math.degrees(math.atan2(x, z)), math.degrees(math.atan2(-y, math.hypot(x, z)))


def bearing(position: ArrayLike, target: ArrayLike) -> float:
    """Return the yaw in degrees from one point to another."""
    x, _, z = np.asarray(target, np.float64) - np.asarray(position, np.float64)
    return math.degrees(math.atan2(x, z))


def wrap(degrees: float) -> float:
    """Return the same angle within -180 to 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0


def _position(state: Telemetry) -> NDArray[np.float64]:
    return np.array([state.xpos, state.ypos, state.zpos])
