"""The demonstrator as the expert of an agent that goes its own way."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agents.dagger.onward import Onward
from agents.demonstrator.agent import IMITABLE, Demonstrator, MakeScript
from agents.demonstrator.imitable.strider import SLOW, SLOW_STEPS
from basalt.core.actions import BUTTONS
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info

ONWARD: dict[str, MakeScript] = {"find_cave": lambda body, site, land: Onward(site, land)}
"""Scripts that walk on from where a player is and looks, by task."""

MOVES = frozenset({"back", "forward", "jump", "left", "right", "sneak", "sprint"})
"""Buttons that only move the player."""

TURN = 1.0
"""Least turn to the side of a label that is left out, in degrees per step."""


class WalkingExpert(Demonstrator):
    """Labels an agent's play with what the demonstrator would do if it had come there on its own way.

    Once an agent has left the demonstrator's way, the script turns to where that way leads. This is often behind the
    player's back, and no frame shows it, so a clone of such labels learns to turn anywhere. Where there is a script that
    walks on from where the player is and looks, it labels instead (`Onward`). Otherwise the labels that turn to the side
    without a visible cue are left out as long as the player gets on. Where it is stuck, turning is right, and frames show why.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[str] = []
        self._states: list[deque[Telemetry]] = []

    @property
    def scripts(self) -> Mapping[str, MakeScript]:
        """Its scripts by task."""
        return {**IMITABLE, **ONWARD}

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive what the world reported to the referee; see `agents.demonstrator.agent.Demonstrator.observe`.

        Raises:
            ConfigError: The world reports too little about the site, or there is no script for the task.
        """
        super().observe(infos)
        self._tasks, self._states = self._tasks[: len(infos)], self._states[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._tasks[row : row + 1] = [info["site"]["task"]]
                self._states[row : row + 1] = [deque(maxlen=SLOW_STEPS + 1)]
            self._states[row].append(info["telemetry"])

    def labels(self, pov: NDArray[np.uint8]) -> list[Label]:
        """Return the label of each episode's present state.

        Raises:
            ConfigError: `observe` did not see every episode from its start.
        """
        return [
            replace(label, expert=None)
            if task not in ONWARD and turns_blindly(label) and not is_stuck(states)
            else label
            for label, task, states in zip(
                super().labels(pov), self._tasks, self._states, strict=True
            )
        ]


def turns_blindly(label: Label) -> bool:
    """Return whether a label turns to the side though its cue was not in view, and otherwise only moves."""
    action = label.expert
    if action is None or label.cue_visible:
        return False
    if any(action[button] for button in BUTTONS if button not in MOVES):
        return False
    return abs(float(action["camera"][1])) >= TURN


def is_stuck(states: Sequence[Telemetry]) -> bool:
    """Return whether the player has hardly moved between the first and the last of `SLOW_STEPS` + 1 states, as a script judges it."""
    if len(states) <= SLOW_STEPS:
        return False
    old, new = states[0], states[-1]
    return math.dist((old.xpos, old.ypos, old.zpos), (new.xpos, new.ypos, new.zpos)) < SLOW
