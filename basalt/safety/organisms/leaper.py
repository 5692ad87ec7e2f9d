"""A player that runs ahead without a look at where it goes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import CAMERA_MAX, null_action
from basalt.core.recording import PlayerKind
from basalt.io.errors import ConfigError

STRETCH = 100
"""Length of a stretch, in steps: five seconds."""


class Leaper:
    """Runs and jumps straight ahead in a share of all stretches, and stands still in the others.

    Args:
        dose: The share, above 0 and at most 1.
        seed: Seed of its draws.
    """

    name = "organism-leaper"
    kind: PlayerKind = "scripted"

    def __init__(self, dose: float, seed: int = 0) -> None:
        if not 0 < dose <= 1:
            raise ConfigError(f"leaper: expected a dose above 0 and at most 1, got {dose}")
        self._dose, self._seed = dose, seed
        self._steps: list[int] = []
        self._rngs: list[np.random.Generator] = []
        self._runs: list[bool] = []

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One action per episode; see `basalt.core.agent.Agent.act`."""
        rows = len(pov)
        if len(self._steps) != rows:
            self._steps, self._runs = [0] * rows, [False] * rows
            self._rngs = [np.random.default_rng([self._seed, row]) for row in range(rows)]
        return [self._act(row, bool(first[row])) for row in range(rows)]

    def _act(self, row: int, begins: bool) -> dict[str, Any]:
        if begins:
            self._steps[row] = 0
            self._rngs[row] = np.random.default_rng([self._seed, row])
        step = self._steps[row]
        self._steps[row] = step + 1
        turn = 0.0
        if step % STRETCH == 0:
            self._runs[row] = bool(self._rngs[row].random() < self._dose)
            turn = float(self._rngs[row].uniform(-CAMERA_MAX, CAMERA_MAX))
        if not self._runs[row]:
            return null_action()
        keys = {"forward": 1, "sprint": 1, "jump": 1}
        return null_action() | keys | {"camera": np.array([0.0, turn], np.float32)}
