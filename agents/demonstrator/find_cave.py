"""FindCave: looks around, walks the site's path into the cave, looks around in it, ends the episode."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.demonstrator.motion import Gaze, LookAround, PathWalk
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry


class CaveWalk:
    """One episode of FindCave.

    Args:
        site: Site of the episode; `path` is a list of [x, y, z] nodes from spawn to cave.
        rng: Source of small irregularities.
    """

    clicks_in_screens = False

    def __init__(self, site: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._rng = rng
        self._gaze = Gaze()
        self._look = LookAround(self._gaze, rng, steps=int(rng.integers(14, 30)), width=45.0)
        self._walk = PathWalk(site["path"], self._gaze, rng)
        self._inside = False

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action."""
        if not self._look.done:
            return self._look.act(state)
        if self._inside:
            return null_action() | {"ESC": 1}
        if self._walk.arrived(state):
            self._inside = True
            steps = int(self._rng.integers(20, 40))
            self._look = LookAround(self._gaze, self._rng, steps, width=35.0)
            return self._look.act(state)
        return self._walk.act(state)


SCRIPT = CaveWalk
