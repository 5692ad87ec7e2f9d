"""A scripted player that makes demonstrations, with a script for each task.

It does not compete: it sees the referee's telemetry and the site, which no player may see. It acts only through
`step`, like every player, and moves like a person (`body.py`). Its recordings are labelled `scripted`.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.body import Body, Routine
from basalt.core.recording import PlayerKind
from basalt.core.tasks import TASKS
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.errors import ConfigError

Script = Callable[[Body, Mapping[str, Any]], Routine[None]]
"""Function that plays an episode with a body, given what the world knows about the site."""


def script_of(task: str) -> Script:
    """Return the script of a task: `play` in the module `agents/demonstrator/TASK.py`.

    Raises:
        ConfigError: The task has no script.
    """
    modules = {module.name for module in iter_modules([str(Path(__file__).parent)])}
    if task not in TASKS or task not in modules:
        raise ConfigError(
            f"agent: the demonstrator has no script for {task}; "
            f"available: {', '.join(name for name in TASKS if name in modules)}"
        )
    script: Script = import_module(f"agents.demonstrator.{task}").play
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
        self._episodes: list[tuple[Body, Routine[None]]] = []
        self._telemetry: list[Telemetry] = []

    def observe(self, infos: Sequence[Info]) -> None:
        """Take what the world reported to the referee; an info with a `site` begins an episode.

        Raises:
            ConfigError: The world reports too little about the site, or there is no script for the task.
        """
        self._telemetry = [info["telemetry"] for info in infos]
        self._episodes = self._episodes[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._episodes[row : row + 1] = [self._begin(info["site"])]

    def _begin(self, site: Mapping[str, Any]) -> tuple[Body, Routine[None]]:
        if "task" not in site:
            raise ConfigError(
                "agent: the demonstrator needs a world that reports the way to go; use world=luanti"
            )
        spawn = [abs(round(float(part))) for part in site["spawn"]]
        body = Body(np.random.default_rng([self._seed, *spawn]))
        return body, _whole_episode(script_of(site["task"]), body, site)

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Return one action per episode; of the frames only the size matters.

        Raises:
            ConfigError: `observe` did not see every episode from its start, or the script clicks in screens and
                the frames do not have the size whose slots it knows.
        """
        if len(self._episodes) != len(pov):
            raise ConfigError(
                "agent: the demonstrator needs the telemetry of every episode from its reset; call observe first"
            )
        actions = []
        for (body, script), state in zip(self._episodes, self._telemetry, strict=True):
            body.state, body.frame_size = state, (pov.shape[2], pov.shape[1])
            actions.append(next(script))
        return actions


def _whole_episode(script: Script, body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play a script and end the episode."""
    yield from script(body, site)
    while True:
        yield from body.do(ESC=1)
