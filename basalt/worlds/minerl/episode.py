"""What both ways of reaching Minecraft share: telemetry from its reports, and how it ends an episode."""

from collections.abc import Mapping
from typing import Any, Unpack

from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.worlds.base import WorldEnv, WorldSettings
from basalt.worlds.minerl.info import Observer


class MinecraftEnv(WorldEnv):
    """An environment whose world is Minecraft."""

    clock_lead = 0
    """Ticks by which Minecraft's own clock, which may end an episode, runs ahead of the steps."""

    def __init__(self, task: Task, **settings: Unpack[WorldSettings]) -> None:
        super().__init__(task, **settings)
        self._observer = Observer()

    def _first_state(self, info: Mapping[str, Any]) -> Telemetry:
        """Return the state of a new episode after reset."""
        self._observer = Observer()
        return self._observer.telemetry(0, info, dead=False)

    def _next_state(
        self, action: Mapping[str, Any], step: int, info: Mapping[str, Any], *, done: bool
    ) -> tuple[Telemetry, dict[str, Any]]:
        """Return the state after a step, and what was applied: what was asked, since Minecraft does not report it.

        Args:
            action: Action of the step; the observer has seen it before the step.
            step: Number of the step.
            info: Minecraft's reply.
            done: Whether Minecraft reports the end of the episode. In the last second that means that time ran
                out; before, without ESC, that the player died.
        """
        self._out_of_time = done and step >= self.task.step_limit - self.clock_lead
        dead = done and not action["ESC"] and not self._out_of_time
        telemetry = self._observer.telemetry(step, info, dead=dead)
        return telemetry, {"camera": action["camera"], "asked": action["camera"]}
