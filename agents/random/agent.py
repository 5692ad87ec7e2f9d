"""The floor of every ranking: an agent that ignores the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import BUTTONS, CAMERA_LIMIT, COLUMN, EnvActions
from basalt.core.recording import PlayerKind


class RandomAgent:
    """Uniform over the action space without ESC, then ESC.

    As `env.action_space.sample()` of the original environments: every button is held with probability
    1/2, the camera moves uniformly within +-180 degrees a step in pitch and yaw. ESC is left out until
    `steps` actions were played, since a uniform draw would end the episode after two steps.

    Args:
        seed: Seed of the random numbers. Each row has its own stream, so a row plays the same in any batch.
        steps: Number of actions before ESC.
    """

    name = "random"
    kind: PlayerKind = "random"

    def __init__(self, seed: int = 0, steps: int = 200) -> None:
        self._seed = seed
        self._steps = steps
        self._played: list[int] = []
        self._generators: list[np.random.Generator] = []

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One environment action per episode; only the number of frames matters."""
        rows = len(pov)
        for row in range(len(self._generators), rows):
            self._generators.append(np.random.default_rng([self._seed, row]))
            self._played.append(0)
        buttons = np.zeros((rows, len(BUTTONS)), dtype=np.uint8)
        camera = np.zeros((rows, 2))
        for row in range(rows):
            if first[row]:
                self._played[row] = 0
            if self._played[row] < self._steps:
                generator = self._generators[row]
                buttons[row] = generator.integers(0, 2, len(BUTTONS))
                camera[row] = generator.uniform(-CAMERA_LIMIT, CAMERA_LIMIT, 2)
                buttons[row, COLUMN["ESC"]] = 0
            else:
                buttons[row, COLUMN["ESC"]] = 1
            self._played[row] += 1
        actions = EnvActions(buttons, camera)
        return [actions.step(row) for row in range(rows)]
