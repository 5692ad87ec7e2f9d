"""A scripted player that makes demonstrations, with scripts for each task.

It does not compete: it sees the referee's telemetry and the site, which no player may see. It acts only through
`step`, like every player, and moves like a person (`body.py`). Its recordings are labelled `scripted`.

By default its scripts can be imitated from pictures: they act only on what has been in view (`imitable`), and they
label states that others reached. `agent.knowing=true` plays the scripts that know the site from the start.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.body import Body, Routine
from agents.demonstrator.imitable import Script
from agents.demonstrator.imitable.find_cave import FindCave
from agents.demonstrator.imitable.make_waterfall import MakeWaterfall
from agents.demonstrator.imitable.village import build_house_where_seen, make_pen_where_seen
from basalt.core.actions import null_action
from basalt.core.recorder_lines import Label
from basalt.core.recording import PlayerKind
from basalt.core.tasks import TASKS, get_task
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.land import Land, read_land
from basalt.worlds.luanti.worldcache import saved_world

Play = Callable[[Body, Mapping[str, Any]], Routine[None]]
"""Function that plays an episode with a body, given what the world knows about the site."""

MakeScript = Callable[[Body, Mapping[str, Any], Land], Script]
"""Function that returns the script of an episode, given the player, the site and the land."""


def script_of(task: str) -> Play:
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
    script: Play = import_module(f"agents.demonstrator.{task}").play
    return script


NOISE_SHARE = 0.02
"""Chance that a stretch of noise begins at a step without noise."""

NOISE_STEPS = (5, 11)
"""Shortest stretch of noise, and one more than the longest, in steps."""


class Demonstrator:
    """Plays each episode of a batch with its task's script, and labels states that others reached.

    Args:
        seed: Random seed of the small irregularities in its play, and of the noise.
        knowing: Whether it knows the site from the start; otherwise it acts only on what has been in view.
        noise: Whether stretches of random actions replace its own, so that its recordings show how it recovers (DART:
            Laskey et al. 2017, arXiv 1703.09327). Its labels stay without noise.
    """

    FORMER_DEFAULTS: ClassVar[dict[str, Any]] = {"knowing": True}
    """Settings of the rollouts that were made before these settings existed."""

    name = "demonstrator"
    kind: PlayerKind = "scripted"

    @property
    def scripts(self) -> Mapping[str, MakeScript]:
        """Its scripts by task, where it does not know the site from the start."""
        return IMITABLE

    def __init__(self, seed: int = 0, knowing: bool = False, noise: bool = False) -> None:
        if knowing and noise:
            raise ConfigError(
                "agent.noise: expected false with agent.knowing=true, whose script does not label states"
            )
        self._seed = seed
        self._knowing = knowing
        self._noise = noise
        self._episodes: list[_Episode] = []
        self._labels: list[Label] | None = None

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive what the world reported to the referee; an info with a `site` begins an episode.

        Raises:
            ConfigError: The world reports too little about the site, or there is no script for the task.
        """
        self._labels = None
        self._episodes = self._episodes[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._episodes[row : row + 1] = [self._begin(info)]
        for episode, info in zip(self._episodes, infos, strict=False):
            episode.body.state = info["telemetry"]

    def _begin(self, info: Info) -> "_Episode":
        site = info["site"]
        if "task" not in site:
            raise ConfigError(
                "agent: the demonstrator needs a world that reports the way to go; use world=luanti"
            )
        spawn = [abs(round(float(part))) for part in site["spawn"]]
        body = Body(np.random.default_rng([self._seed, *spawn]))
        script: Script
        if self._noise and site["task"] not in LABEL_ANY_PLAY:
            raise ConfigError(
                f"agent.noise: expected false at {site['task']}, whose script takes its own actions as done; it works "
                f"at {' and '.join(LABEL_ANY_PLAY)}"
            )
        if self._knowing:
            script = Recipe(body, _whole_episode(script_of(site["task"]), body, site))
        else:
            script = imitable_script(site["task"], body, site, info["seed"], self.scripts)
        noise = Noise(np.random.default_rng([self._seed, 1, *spawn])) if self._noise else None
        return _Episode(body, script, noise)

    def labels(self, pov: NDArray[np.uint8]) -> list[Label]:
        """Return what its scripts do in the present states; of the frames only the size matters.

        Raises:
            ConfigError: `observe` did not see every episode from its start, or the script clicks in screens and
                the frames do not have the size whose slots it knows.
        """
        if len(self._episodes) != len(pov):
            raise ConfigError(
                "agent: the demonstrator needs the telemetry of every episode from its reset; call observe first"
            )
        if self._labels is None:
            self._labels = []
            for episode in self._episodes:
                episode.body.frame_size = (pov.shape[2], pov.shape[1])
                self._labels.append(episode.script.label(episode.body.state))
        return self._labels

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Return one action per episode; see `labels`."""
        return [
            episode.executed(label)
            for episode, label in zip(self._episodes, self.labels(pov), strict=True)
        ]


@dataclass
class _Episode:
    """One episode.

    Attributes:
        body: Its player.
        script: What the player does.
        noise: Noise on the player's actions; None for none.
    """

    body: Body
    script: Script
    noise: "Noise | None"

    def executed(self, label: Label) -> dict[str, Any]:
        """Return the action to execute."""
        action = null_action() if label.expert is None else dict(label.expert)
        return action if self.noise is None else self.noise.on(action)


class Noise:
    """Stretches of random actions.

    Args:
        rng: Source of the stretches.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left = 0
        self._action: dict[str, Any] = {}

    def on(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Return an action, or the random one that replaces it; ESC is never replaced."""
        if action["ESC"]:
            return dict(action)
        if not self._left and self._rng.random() < NOISE_SHARE:
            self._left = int(self._rng.integers(*NOISE_STEPS))
            keys = {key: int(self._rng.random() < 0.3) for key in ("left", "right", "jump")}
            ahead = str(self._rng.choice(["forward", "back", "jump"], p=[0.6, 0.2, 0.2]))
            camera = self._rng.normal(0.0, [2.0, 5.0]).astype(np.float32)
            self._action = null_action() | keys | {ahead: 1, "camera": camera}
        if not self._left:
            return dict(action)
        self._left -= 1
        return dict(self._action)


class Recipe:
    """A script of a body's routines. It labels only its own play.

    Args:
        body: The player.
        routine: Its actions, one a step.
        cue: Whether what it acts on has been in view; always, for a script that knows the site.
    """

    def __init__(
        self, body: Body, routine: Routine[None], cue: Callable[[], bool] = lambda: True
    ) -> None:
        self._body = body
        self._routine = routine
        self._cue = cue

    def label(self, state: Telemetry) -> Label:
        """Return the routine's next action."""
        self._body.state = state
        action = next(self._routine)
        return Label(action, cue_visible=self._cue())


def imitable_script(
    task: str, body: Body, site: Mapping[str, Any], seed: int, scripts: Mapping[str, MakeScript]
) -> Script:
    """Return the script of a task that acts only on what has been in view.

    Args:
        task: Name of the task.
        body: The player.
        site: Site of the episode.
        seed: Seed of the episode.
        scripts: Scripts by task.

    Raises:
        ConfigError: The task has no such script.
    """
    if task not in scripts:
        raise ConfigError(
            f"agent: the demonstrator has no script for {task} that acts only on what is in view; "
            f"available: {', '.join(scripts)}; agent.knowing=true plays the other one"
        )
    x, _, z = (round(part) for part in site["spawn"])
    land = read_land(saved_world(get_task(task), seed).folder, x, z)
    return scripts[task](body, site, land)


def _recipe(where_seen: Callable[..., Any]) -> MakeScript:
    def script(body: Body, site: Mapping[str, Any], land: Land) -> Script:
        routine, cue = where_seen(body, site, land)
        return Recipe(body, _and_end(body, routine), cue)

    return script


IMITABLE: dict[str, MakeScript] = {
    "find_cave": lambda body, site, land: FindCave(site, land),
    "make_waterfall": lambda body, site, land: MakeWaterfall(site, land),
    "create_village_animal_pen": _recipe(make_pen_where_seen),
    "build_village_house": _recipe(build_house_where_seen),
}
"""Function that returns the script of a task, given the player, the site and the land."""

LABEL_ANY_PLAY = ("find_cave", "make_waterfall")
"""Tasks whose script also labels the play of others. A `Recipe` does not: it takes its actions as done."""


def _whole_episode(script: Play, body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play a script and end the episode."""
    yield from _and_end(body, script(body, site))


def _and_end(body: Body, routine: Routine[None]) -> Routine[None]:
    """Play a routine and end the episode."""
    yield from routine
    while True:
        yield from body.do(ESC=1)
