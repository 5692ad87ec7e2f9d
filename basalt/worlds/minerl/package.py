"""Minecraft through the `minerl` package, for a Python that can import it."""

import importlib
from typing import Any, Unpack

import numpy as np

from basalt.core.actions import BUTTONS, FRAME_SIZE
from basalt.core.tasks import Task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.worlds.base import Frame, WorldSettings
from basalt.worlds.minerl.env import WORLD_VERSION
from basalt.worlds.minerl.episode import MinecraftEnv
from basalt.worlds.minerl.protocol import MinecraftDied, MinecraftGarbled


class PackageEnv(MinecraftEnv):
    """A task of the `minerl` package, with this project's seeds, limits, ESC and info.

    The package needs an old gym and an old numpy. Where it cannot be imported, `world=minerl` plays in the same
    Minecraft without it. The package's time-outs cannot be set.

    Raises:
        MissingDependencyError: `minerl` or `gym` cannot be imported.
        ConfigError: The package does not support the given frame size.
    """

    def __init__(self, task: Task, **settings: Unpack[WorldSettings]) -> None:
        super().__init__(task, **settings)
        if self.size != FRAME_SIZE:
            raise ConfigError(
                f"size: expected {FRAME_SIZE} with the minerl package, got {self.size}; use world=minerl"
            )
        try:
            gym = importlib.import_module("gym")
            importlib.import_module("minerl")  # registers its environments
        except Exception as err:  # an old package under a new numpy may raise anything
            raise MissingDependencyError(
                f"world=minerl-package: the minerl package cannot be imported ({err}); use world=minerl, "
                "which does not need it (docs/minerl.md)"
            ) from err
        self._inner: Any = gym.make(f"MineRLBasalt{task.env_id}-v0")

    @property
    def version(self) -> str:
        """Version of the world, which is the same Minecraft."""
        return WORLD_VERSION

    def close(self) -> None:
        """End the Minecraft of the package."""
        self._inner.close()

    def _begin(self, seed: int) -> tuple[Frame, Telemetry, dict[str, Any]]:
        self._inner.seed(seed)  # it forgets the seed at every reset
        try:
            observation = self._inner.reset()
        except Exception as err:
            raise MinecraftDied(f"the minerl package could not reset: {err}") from err
        return self._checked(observation), self._first_state({}), {"seed": seed}

    def _advance(
        self, action: dict[str, Any], step: int
    ) -> tuple[Frame, Telemetry, dict[str, Any]]:
        self._observer.acted(action)
        asked = {button: np.array(action[button]) for button in BUTTONS}
        try:
            observation, _, done, info = self._inner.step({**asked, "camera": action["camera"]})
        except Exception as err:
            raise MinecraftDied(f"the minerl package failed in a step: {err}") from err
        if "error" in info:
            # The package would return a random frame and call the episode done.
            raise MinecraftDied(f"the minerl package lost its Minecraft: {info['error']}")
        frame = self._checked(observation)
        return frame, *self._next_state(action, step, info, done=bool(done))

    def _checked(self, observation: Any) -> Frame:
        frame = np.asarray(observation["pov"])
        shape = (self.size[1], self.size[0], 3)
        if frame.shape != shape or frame.dtype != np.uint8:
            raise MinecraftGarbled(
                f"the minerl package: expected a frame uint8 {shape}, got {frame.dtype} {frame.shape}"
            )
        return frame
