"""A world that is a few lines of Python, and a player of it: for tests of what is around a world."""

import time
from typing import ClassVar

import numpy as np

from basalt.core.actions import null_action
from basalt.core.tasks import get_task
from basalt.core.telemetry import Telemetry
from basalt.io.errors import WorldError
from basalt.worlds.base import WorldEnv


class CountingWorld(WorldEnv):
    """Each step brightens the picture; the player is in a cave from step 3 on."""

    failures: ClassVar[list[int]] = []  # steps at which the next episodes fail, one each
    hanging_episode = 0  # the episode, counted from 1, whose third step does not return for an hour
    episodes = 0
    version = "toy-1"

    def __init__(self, task=None, **settings):
        super().__init__(task or get_task("find_cave"), **settings)

    def _begin(self, seed):
        CountingWorld.episodes += 1
        self._step = 0
        self._failure = self.failures.pop(0) if self.failures else None
        return self._frame(), self._state(), {}

    def _advance(self, action, step):
        if self.episodes == self.hanging_episode and step == 3:
            time.sleep(3600)
        if self._step == self._failure:
            raise WorldError("the toy fell apart")
        self._step = step
        return self._frame(), self._state(), {"camera": action["camera"]}

    def _frame(self):
        return np.full((self.size[1], self.size[0], 3), min(255, 5 * self._step), dtype=np.uint8)

    def _state(self):
        return Telemetry(
            step=self._step, xpos=self._step, ypos=0, zpos=0, yaw=0, pitch=0, health=20, breath=10,
            hotbar=0, held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False,
            light=0, daylight=0, under_roof=False, distance_walked=self._step, dead=False,
            facts={"in_cave": self._step >= 3},
        )  # fmt: skip


class Walker:
    """Walks forward and presses ESC at step 5; remembers which pictures it saw first."""

    name = "walker"
    kind = "agent"

    def __init__(self, esc_at=5):
        self.esc_at = esc_at
        self.firsts = []

    def act(self, pov, first):
        assert pov.shape == (1, 360, 640, 3) and pov.dtype == np.uint8
        self.steps = 0 if first[0] else self.steps + 1
        self.firsts.append(bool(first[0]))
        return [null_action() | {"forward": 1, "ESC": int(self.steps == self.esc_at)}]
