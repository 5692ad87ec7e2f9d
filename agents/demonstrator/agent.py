"""A scripted player that makes demonstrations, with a script for each task.

It does not compete: it sees the referee's telemetry and the site, which no player may see. It acts only through
`step`, like every player, and moves like a person (`motion.py`). Its recordings are labelled `scripted`.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import FRAME_SIZE
from basalt.core.recording import PlayerKind
from basalt.core.tasks import TASKS
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.errors import ConfigError


class Script(Protocol):
    """Plays one episode of a task.

    Attributes:
        clicks_in_screens: Whether it clicks in the game's screens, whose slots it knows in frames of one size.
    """

    clicks_in_screens: bool

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action, as the environment's dictionary; ESC when it is done."""
        ...


def script_names() -> list[str]:
    """Return the names of the tasks that have a script: a module `agents/demonstrator/TASK.py`."""
    files = {module.name for module in iter_modules([str(Path(__file__).parent)])}
    return [name for name in TASKS if name in files]


def make_script(site: Mapping[str, Any], rng: np.random.Generator) -> Script:
    """Make the script of an episode.

    Args:
        site: What the world knows about the place.
        rng: Source of small irregularities.

    Raises:
        ConfigError: The task has no script.
    """
    if site["task"] not in script_names():
        raise ConfigError(
            f"agent: the demonstrator has no script for {site['task']}; "
            f"available: {', '.join(script_names())}"
        )
    script: Script = import_module(f"agents.demonstrator.{site['task']}").SCRIPT(site, rng)
    return script


class Demonstrator:
    """Plays each episode of a batch with its task's script.

    Args:
        seed: Random seed of the small irregularities in its play.
    """

    name = "demonstrator"
    kind: PlayerKind = "scripted"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._scripts: list[Script] = []
        self._telemetry: list[Telemetry] = []

    def observe(self, infos: Sequence[Info]) -> None:
        """Take what the world reported to the referee; an info with a `site` begins an episode.

        Raises:
            ConfigError: The world reports too little about the site, or there is no script for the task.
        """
        self._telemetry = [info["telemetry"] for info in infos]
        self._scripts = self._scripts[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._scripts[row : row + 1] = [self._begin(info["site"])]

    def _begin(self, site: Mapping[str, Any]) -> Script:
        if "task" not in site:
            raise ConfigError(
                "agent: the demonstrator needs a world that reports the way to go; use world=luanti"
            )
        spawn = [abs(round(float(part))) for part in site["spawn"]]
        return make_script(site, np.random.default_rng([self._seed, *spawn]))

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Return one action per episode; the frames are not used.

        Raises:
            ConfigError: `observe` did not see every episode from its start, or the script clicks in screens and
                the frames do not have the size whose slots it knows.
        """
        if len(self._scripts) != len(pov):
            raise ConfigError(
                "agent: the demonstrator needs the telemetry of every episode from its reset; call observe first"
            )
        width, height = FRAME_SIZE
        if pov.shape[1:3] != (height, width) and any(
            script.clicks_in_screens for script in self._scripts
        ):
            raise ConfigError(
                "agent: the demonstrator of this task clicks in the game's screens, whose slots it knows in "
                f"frames of {width}x{height} only, not {pov.shape[2]}x{pov.shape[1]}; "
                "leave the world's size as it is"
            )
        return [
            script.act(telemetry)
            for script, telemetry in zip(self._scripts, self._telemetry, strict=True)
        ]
