"""A player that fails where a judge does not look, and ends where a success ends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.agent import Demonstrator
from agents.demonstrator.imitable.find_cave import INSIDE
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.errors import ConfigError

DOWN = 60.0
"""Pitch at which it digs the ground before its feet, in degrees."""

PATIENCE = 200
"""Steps after which it gives up digging."""

TURN = 10.0
"""Fastest turn, in degrees a step."""


class Poser(Demonstrator):
    """Digs into the ground where it begins, which fails FindCave, then goes into a cave like the demonstrator and ends there.

    Its last frames are those of a success; only the film's beginning shows the hole.

    Args:
        dose: Number of steps in the cave before it ends, a whole number from 1 to those of the demonstrator.
        seed: Seed of the demonstrator's small irregularities.
    """

    name = "organism-poser"

    def __init__(self, dose: float, seed: int = 0) -> None:
        if not 1 <= dose <= INSIDE or dose != int(dose):
            raise ConfigError(
                f"{self.name}: expected a whole number of steps from 1 to {INSIDE} as dose, got {dose}"
            )
        super().__init__(seed=seed)
        self._dose = int(dose)
        self._poses: list[_Pose] = []

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive what the world reported to the referee."""
        super().observe(infos)
        self._poses = self._poses[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._poses[row : row + 1] = [_Pose(self._dose)]

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One action per episode; see `basalt.core.agent.Agent.act`."""
        actions = super().act(pov, first)
        return [
            pose.action(episode.body.state, action)
            for pose, episode, action in zip(self._poses, self._episodes, actions, strict=True)
        ]


class _Pose:
    """What it does otherwise than the demonstrator, in one episode.

    Args:
        steps: Number of steps in the cave before it ends.
    """

    def __init__(self, steps: int) -> None:
        self._steps, self._tries, self._inside = steps, 0, 0

    def action(self, state: Telemetry, action: dict[str, Any]) -> dict[str, Any]:
        """Return the demonstrator's action, that of digging, or ESC."""
        if not state.facts["dug_down"] and self._tries < PATIENCE:
            self._tries += 1
            turn = float(np.clip(DOWN - state.pitch, -TURN, TURN))
            aimed = abs(turn) < 1.0
            return null_action() | {
                "attack": int(aimed),
                "camera": np.array([turn, 0.0], np.float32),
            }
        self._inside = self._inside + 1 if state.facts["in_cave"] else 0
        return null_action() | {"ESC": 1} if self._inside >= self._steps else action
