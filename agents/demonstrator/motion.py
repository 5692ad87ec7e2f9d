"""Directions, and how the view turns: gradually, with rests between turns, like a hand on a mouse."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from basalt.core.telemetry import Telemetry

Point = tuple[float, float, float]
"""x, y, z in nodes."""

MAX_TURN = 9.0
"""Fastest turn, in degrees per step."""

TURN_ACCELERATION = 1.8
"""Acceleration of a turn, in degrees per step per step."""

START_TURN, STOP_TURN = 7.0, 1.5
"""Error of the direction, in degrees, above which a turn begins and below which it ends."""

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


def next_turn(
    state: Telemetry, before: Telemetry, yaw: float, pitch: float, start: float = START_TURN
) -> NDArray[np.float32]:
    """Return what `Gaze.towards` does, from the measured speed of the turn and not from what was asked for.

    Args:
        state: State of the player.
        before: State one step earlier.
        yaw: Yaw to look at, in degrees.
        pitch: Pitch to look at, in degrees.
        start: Error above which a turn begins, in degrees; smaller for aiming.
    """
    speed = np.array([state.pitch - before.pitch, wrap(state.yaw - before.yaw)])
    error = np.array([pitch - state.pitch, wrap(yaw - state.yaw)])
    threshold = np.where(np.abs(speed) > 0.2, min(STOP_TURN, start), start)
    wanted = np.where(np.abs(error) > threshold, np.clip(0.3 * error, -MAX_TURN, MAX_TURN), 0.0)
    turn = speed + np.clip(wanted - speed, -TURN_ACCELERATION, TURN_ACCELERATION)
    return np.clip(turn, -MAX_TURN, MAX_TURN).astype(np.float32)


def direction(eye: ArrayLike, point: ArrayLike) -> tuple[float, float]:
    """Return yaw and pitch in degrees from the eyes to a point, both [x, y, z]."""
    x, y, z = np.asarray(point, np.float64) - np.asarray(eye, np.float64)
    return math.degrees(math.atan2(x, z)), math.degrees(math.atan2(-y, math.hypot(x, z)))


def wrap(degrees: float) -> float:
    """Return the same angle within -180 to 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0
