"""A scripted player that makes demonstrations.

It is no competitor: it sees the referee's telemetry and the site's path, which no player may. But it
acts only through ``step``, as everybody does, and moves like a person: it looks where it goes,
turns gradually (never more than :data:`MAX_TURN` degrees a step), jumps where the ground rises, backs
off where it is stuck. All it makes is labelled ``scripted``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.actions import null_action
from basalt.errors import ConfigError
from basalt.recording import PlayerKind
from basalt.telemetry import Telemetry

MAX_TURN = 9.0
"""Fastest turn, in degrees per step."""

TURN_ACCELERATION = 1.8
"""How quickly a turn starts and stops, in degrees per step per step."""

START_TURN, STOP_TURN = 7.0, 1.5
"""A turn begins when the direction is off by more than the first, and ends within the second, in
degrees: between turns the mouse lies still, as a person's does."""

STUCK_STEPS = 16
"""Without progress for so many steps, it backs off and tries again."""


class Demonstrator:
    """Plays each episode of a batch with its own script.

    Args:
        seed: of the small irregularities in its play.
    """

    name = "demonstrator"
    kind: PlayerKind = "scripted"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._walks: list[CaveWalk] = []
        self._telemetry: list[Telemetry] = []

    def observe(self, infos: Sequence[Mapping[str, Any]]) -> None:
        """Take what the world told the referee; an info with a ``site`` begins an episode."""
        self._telemetry = [info["telemetry"] for info in infos]
        self._walks = self._walks[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                if "path" not in info["site"]:
                    raise ConfigError(
                        "agent: the demonstrator needs a world that tells the way to the cave, "
                        "world=luanti"
                    )
                spawn = [round(float(part)) for part in info["site"]["spawn"]]
                rng = np.random.default_rng([self._seed, *(abs(part) for part in spawn)])
                walk = CaveWalk(info["site"], rng)
                self._walks[row : row + 1] = [walk]

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One action per episode; the pictures are not looked at.

        Raises:
            ConfigError: :meth:`observe` did not see every episode from its start.
        """
        if len(self._walks) != len(pov):
            raise ConfigError(
                "demonstrator: it needs the telemetry of every episode from its reset"
            )
        return [
            walk.act(telemetry)
            for walk, telemetry in zip(self._walks, self._telemetry, strict=True)
        ]


class CaveWalk:
    """Looks around, walks the site's path into the cave, looks around in it, and ends the episode.

    Args:
        site: what the world's search found; ``path`` is a list of [x, y, z] nodes from spawn to cave.
        rng: source of the irregularities.
    """

    def __init__(self, site: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._path = np.asarray(site["path"], dtype=np.float64)
        self._rng = rng
        self._index = 0
        self._turn = np.zeros(2)  # current speed [pitch, yaw], degrees per step
        self._turning = np.zeros(2, dtype=bool)
        self._glance = list(_glances(rng, steps=int(rng.integers(14, 30)), width=45.0))
        self._heading: float | None = None
        self._arrived = False
        self._stuck = 0
        self._escape = 0
        self._escape_side = "left"
        self._sprint_after = int(rng.integers(5, 25))

    def act(self, state: Telemetry) -> dict[str, Any]:
        """The next action."""
        if self._heading is None:
            self._heading = state.yaw
        if self._glance:
            return self._look(state)
        if self._arrived:
            return null_action() | {"ESC": 1}
        return self._walk(state)

    def _look(self, state: Telemetry) -> dict[str, Any]:
        """Stand and turn the head to the glance's next point."""
        yaw, pitch = self._glance.pop(0)
        assert self._heading is not None
        return null_action() | {"camera": self._turn_to(state, self._heading + yaw, pitch)}

    def _walk(self, state: Telemetry) -> dict[str, Any]:
        position = np.array([state.xpos, state.ypos, state.zpos])
        self._follow(position)
        if self._index >= len(self._path) - 1 and self._distance(position, -1) < 0.9:
            return self._arrive(state)
        target = self._path[self._aim(position)]
        bearing = _bearing(position, target)
        error = _wrap(bearing - state.yaw)
        action = null_action()
        action["camera"] = self._turn_to(state, bearing, self._gaze_pitch(position))
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
        """The farthest node ahead to which one can walk straight without leaving the path."""
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
        """Move on along the path to the nearest node close ahead, and notice being stuck."""
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
            # Passed it by, perhaps: take up the path where it is nearest.
            nearest = np.linalg.norm(self._path - position, axis=1)
            self._index = int(nearest.argmin())

    def _back_off(self) -> dict[str, Any]:
        """Half of the time back and aside, then forward with a jump."""
        self._escape -= 1
        if self._escape > 5:
            return {"back": 1, self._escape_side: 1}
        return {"forward": 1, "jump": 1}

    def _arrive(self, state: Telemetry) -> dict[str, Any]:
        self._arrived = True
        self._heading = state.yaw
        self._glance = list(_glances(self._rng, steps=int(self._rng.integers(20, 40)), width=35.0))
        return self._look(state)

    def _rises(self, position: NDArray[np.float64]) -> bool:
        """Whether one of the next two nodes is a step up that is near enough to jump at."""
        for node in self._path[self._index : self._index + 3]:
            near = math.hypot(*(node - position)[[0, 2]]) < 1.7
            if near and node[1] - 0.5 > position[1] + 0.55:
                return True
        return False

    def _gaze_pitch(self, position: NDArray[np.float64]) -> float:
        """Degrees down to look at the ground a few nodes ahead, mostly level."""
        target = self._path[min(self._index + 7, len(self._path) - 1)]
        flat = max(3.0, math.hypot(*(target - position)[[0, 2]]))
        slope = math.degrees(math.atan2(position[1] - (target[1] - 0.5), flat))
        return float(np.clip(6.0 + 0.7 * slope, -30.0, 40.0))

    def _distance(self, position: NDArray[np.float64], index: int) -> float:
        return math.hypot(*(self._path[index] - position)[[0, 2]])

    def _turn_to(self, state: Telemetry, yaw: float, pitch: float) -> NDArray[np.float32]:
        """Camera change that approaches a direction smoothly: bounded speed and acceleration."""
        error = np.array([pitch - state.pitch, _wrap(yaw - state.yaw)])
        off = np.abs(error)
        self._turning = np.where(self._turning, off > STOP_TURN, off > START_TURN)
        wanted = np.where(self._turning, np.clip(0.3 * error, -MAX_TURN, MAX_TURN), 0.0)
        self._turn += np.clip(wanted - self._turn, -TURN_ACCELERATION, TURN_ACCELERATION)
        return np.clip(self._turn, -MAX_TURN, MAX_TURN).astype(np.float32)


def _glances(rng: np.random.Generator, steps: int, width: float) -> list[tuple[float, float]]:
    """Where to look while standing, per step: (yaw from the heading, pitch) in degrees."""
    side = float(rng.choice([-1.0, 1.0])) * width
    points = [(side * rng.uniform(0.5, 1.0), 4.0), (-side * rng.uniform(0.5, 1.0), 8.0)]
    return [points[0]] * (steps // 2) + [points[1]] * (steps - steps // 2)


def _bearing(position: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Yaw in degrees from one point to another."""
    return math.degrees(math.atan2(target[0] - position[0], target[2] - position[2]))


def _wrap(degrees: float) -> float:
    """The same angle within -180 to 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0
