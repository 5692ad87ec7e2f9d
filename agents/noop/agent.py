"""The agent that does nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import PlayerKind


class NoopAgent:
    """Presses no key and does not move the camera, up to the step limit: a control for what happens by itself."""

    name = "noop"
    kind: PlayerKind = "agent"
    decides_esc = False

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One empty action per episode; only the number of frames matters."""
        return [{} for _ in pov]
