"""A world of a few lines: each step brightens the frame, and from step 3 on the player is in a cave."""

from typing import Any, Unpack

import numpy as np

from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.worlds.base import Frame, WorldEnv, WorldSettings


class CountingWorld(WorldEnv):
    """Counts steps.

    Args:
        task: Task to play.
        brightness: Amount by which a step brightens the frame.
        settings: Settings of every world.
    """

    version = "theirs-1"

    def __init__(
        self, task: Task, *, brightness: int = 5, **settings: Unpack[WorldSettings]
    ) -> None:
        super().__init__(task, **settings)
        self._brightness = brightness

    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        return self._frame(0), self._state(0), {"seed": seed}

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        return self._frame(step), self._state(step), {"camera": action["camera"]}

    def _frame(self, step: int) -> Frame:
        width, height = self.size
        return np.full((height, width, 3), min(255, self._brightness * step), np.uint8)

    def _state(self, step: int) -> Telemetry:
        return Telemetry(
            step=step, xpos=float(step), ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10, hotbar=0,
            held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=0, daylight=0,
            under_roof=False, distance_walked=float(step), dead=False, facts={"in_cave": step >= 3},
        )  # fmt: skip
