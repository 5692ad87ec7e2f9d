"""The demonstrator as the expert of an agent that goes its own way."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.agent import Demonstrator
from agents.demonstrator.imitable.strider import SLOW, SLOW_STEPS
from basalt.core.actions import BUTTONS
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info

TURN = 1.0
"""Least turn to the side of a label that is left out, in degrees per step."""


class WalkingExpert:
    """Labels an agent's play with what the demonstrator would do, except that it never has the agent stop walking to turn.

    Once the agent has left the demonstrator's way, the script says: stop, and turn to where the way leads. That is often behind
    the player's back, and no frame shows it, so a clone of these labels learns to stop and turn anywhere. They are left out
    as long as the player gets on. Where it is stuck, turning is right, and frames show why.
    """

    name = "demonstrator"

    def __init__(self) -> None:
        self._expert = Demonstrator()
        self._states: list[deque[Telemetry]] = []

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive what the world reported to the referee; see `agents.demonstrator.agent.Demonstrator.observe`.

        Raises:
            ConfigError: The world reports too little about the site, or there is no script for the task.
        """
        self._expert.observe(infos)
        self._states = self._states[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._states[row : row + 1] = [deque(maxlen=SLOW_STEPS + 1)]
            self._states[row].append(info["telemetry"])

    def labels(self, pov: NDArray[np.uint8]) -> list[Label]:
        """Return the label of each episode's present state.

        Raises:
            ConfigError: `observe` did not see every episode from its start.
        """
        return [
            replace(label, expert=None) if only_turns(label) and not is_stuck(states) else label
            for label, states in zip(self._expert.labels(pov), self._states, strict=True)
        ]


def only_turns(label: Label) -> bool:
    """Return whether a label is a turn to the side and nothing else."""
    action = label.expert
    if action is None or any(action[button] for button in BUTTONS):
        return False
    return abs(float(action["camera"][1])) >= TURN


def is_stuck(states: Sequence[Telemetry]) -> bool:
    """Return whether the player has hardly moved between the first and the last of `SLOW_STEPS` + 1 states, as a script judges it."""
    if len(states) <= SLOW_STEPS:
        return False
    old, new = states[0], states[-1]
    return math.dist((old.xpos, old.ypos, old.zpos), (new.xpos, new.ypos, new.zpos)) < SLOW
