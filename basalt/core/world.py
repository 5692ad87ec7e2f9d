"""The contract of a world: a Gymnasium environment whose `info` carries what only the referee may see."""

from collections.abc import Mapping
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import Ended
from basalt.core.telemetry import Telemetry


class Observation(TypedDict):
    """What the agent sees: `pov`, uint8 [360, 640, 3], RGB, row 0 at the top."""

    pov: NDArray[np.uint8]


class Applied(TypedDict):
    """What a step really did with the mouse.

    Attributes:
        camera: [pitch, yaw] in degrees as the world applied it.
        asked: [pitch, yaw] in degrees as the agent asked for it.
    """

    camera: NDArray[np.floating]
    asked: NotRequired[NDArray[np.floating]]


class Info(TypedDict):
    """What a world reports beside the frame, at reset and after each step.

    Attributes:
        telemetry: State of the player, always.
        seed: Seed of the episode, at reset.
        site: What the world knows about the place, at reset; for scripted players.
        edit: What was changed in the seed's world, at the reset of an edited world.
        applied: What the step really did, after each step.
        ended: How the episode ended, after its last step: `esc`, `death`, `limit` or `crash`.
        error: Reason of a crash.
    """

    telemetry: Telemetry
    seed: NotRequired[int]
    site: NotRequired[Mapping[str, Any]]
    edit: NotRequired[Mapping[str, Any]]
    applied: NotRequired[Applied]
    ended: NotRequired[Ended]
    error: NotRequired[str]


class World(Protocol):
    """One task in one world, in lock-step: a step is 50 ms of the game.

    `basalt.worlds.base.WorldEnv` implements all of it but the game itself. The same seed and actions must
    give the same episode in the same `version`; scores of different versions are never compared.
    """

    @property
    def version(self) -> str:
        """Changes whenever the same seed and actions may give another episode."""
        ...

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin the episode of a seed."""
        ...

    def step(self, action: Mapping[str, Any]) -> tuple[Observation, float, bool, bool, Info]:
        """Play one step; return observation, reward (always 0), terminated, truncated and info."""
        ...

    def close(self) -> None:
        """End the game and free its resources."""
        ...
