"""What both ways to Minecraft share: telemetry from what it tells, and how it ends an episode."""

from collections.abc import Mapping
from typing import Any

from basalt.core.telemetry import Telemetry
from basalt.worlds.base import WorldEnv
from basalt.worlds.minerl.info import Observer


class MinecraftEpisode(WorldEnv):
    """An environment whose world is Minecraft."""

    clock_lead = 0
    """Ticks by which Minecraft's own clock, which may end an episode, runs ahead of the steps."""

    def _first_state(self, info: Mapping[str, Any]) -> Telemetry:
        """A new episode's state after reset."""
        self._observer = Observer()
        return self._observer.telemetry(0, info, dead=False)

    def _next_state(
        self, action: Mapping[str, Any], step: int, info: Mapping[str, Any], *, done: bool
    ) -> tuple[Telemetry, dict[str, Any]]:
        """The state after a step, and what was applied: what was asked, for Minecraft does not tell.

        Args:
            action: the step's; the observer has seen it before the step.
            step: its number.
            info: Minecraft's answer.
            done: whether it says that the episode is over. Whoever is alive in the last second has run
                out of time, whoever did not press ESC before has died.
        """
        self._out_of_time = done and step >= self.task.step_limit - self.clock_lead
        dead = done and not action["ESC"] and not self._out_of_time
        telemetry = self._observer.telemetry(step, info, dead=dead)
        return telemetry, {"camera": action["camera"], "asked": action["camera"]}
