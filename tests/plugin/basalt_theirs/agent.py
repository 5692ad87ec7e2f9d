"""An agent that walks forward for some steps and ends the episode."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import PlayerKind


class Walker:
    """Walks forward.

    Args:
        steps: Number of steps before ESC.
    """

    name = "theirs"
    kind: PlayerKind = "agent"

    def __init__(self, steps: int = 5) -> None:
        self._limit = steps
        self._played: dict[int, int] = {}

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One action per episode; see `basalt.core.agent.Agent`."""
        for row in range(len(pov)):
            self._played[row] = 0 if first[row] else self._played[row] + 1
        return [
            {"forward": 1, "ESC": int(self._played[row] >= self._limit)} for row in range(len(pov))
        ]
