"""MakeWaterfall: climbs to the lip of a cliff, pours, walks to a viewpoint, frames the fall, ends the episode."""

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from agents.demonstrator.motion import Gaze, LookAround, PathWalk, direction, wrap
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry

AIM = 2.0
"""Largest error of the view's direction when the player acts, in degrees."""

WATCHES, FRAMES = 45, 500
"""Steps for which it watches the water run, and waits for the last frame at most."""

GROWS = 45
"""Steps without a deeper fall after which the water has reached the ground."""


class WaterfallMaker:
    """One episode of MakeWaterfall.

    Args:
        site: Site of the episode: `path` leads from spawn to `pour_from`, from where the water is poured at
            `pour`; `view_path` leads on to a place that faces `fall`, the top of the free fall of `fall_height`
            nodes.
        rng: Source of small irregularities.
    """

    clicks_in_screens = False

    def __init__(self, site: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._site = site
        self._rng = rng
        self._gaze = Gaze()
        self._script = self._play()
        next(self._script)

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action."""
        return self._script.send(state)

    def _play(self) -> Generator[Any, Telemetry, None]:
        """Yield the actions, step by step; a state is sent for each."""
        state = yield
        site, gaze, rng = self._site, self._gaze, self._rng
        look = LookAround(gaze, rng, steps=int(rng.integers(24, 44)), width=55.0)
        while not look.done:
            state = yield look.act(state)

        walk = PathWalk(site["path"], gaze, rng, close=0.45)
        while not walk.arrived(state):
            state = yield walk.act(state)

        # The bucket is in the hand from the start; the water goes onto the ground of the edge. After a miss
        # (the ground may be lower than a whole node) aim lower, then nearer.
        edge = np.asarray(site["pour"], np.float64) - [0.0, 0.5, 0.0]
        near = (np.asarray(site["pour_from"], np.float64) - site["pour"]) / 2
        for aim in (edge, edge - [0.0, 0.4, 0.0], edge + near, edge + near - [0.0, 0.4, 0.0]):
            for _ in range(40):
                if self._looks_at(state, aim):
                    break
                state = yield null_action() | {"camera": gaze.at(state, aim, start=AIM / 2)}
            for pressed in (1, 1, 0, 0, 0, 0):
                state = yield null_action() | {"use": pressed}
            if state.held != "water_bucket":
                break
        for _ in range(WATCHES):
            state = yield null_action() | {"camera": gaze.at(state, edge)}

        walk = PathWalk(site["view_path"], gaze, rng)
        while not walk.arrived(state):
            state = yield walk.act(state)

        fall = np.asarray(site["fall"], np.float64)
        middle = fall - [0.0, 0.45 * float(site["fall_height"]), 0.0]
        height, grew = 0.0, 0
        for step in range(FRAMES):
            if float(state.facts["fall_height"]) > height:
                height, grew = float(state.facts["fall_height"]), step
            if step - grew >= GROWS and self._looks_at(state, middle):
                break
            state = yield null_action() | {"camera": gaze.at(state, middle, start=AIM)}
        for _ in range(int(rng.integers(15, 30))):
            state = yield null_action()
        while True:
            state = yield null_action() | {"ESC": 1}

    @staticmethod
    def _looks_at(state: Telemetry, point: np.ndarray) -> bool:
        yaw, pitch = direction(state, point)
        return abs(wrap(yaw - state.yaw)) < AIM and abs(pitch - state.pitch) < AIM


SCRIPT = WaterfallMaker
