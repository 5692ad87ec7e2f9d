"""A player that gives up for a while after it was interrupted."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.agent import Demonstrator
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry
from basalt.core.world import Info
from basalt.io.errors import ConfigError

NOTICED = 20
"""Steps in a row in which it acts without effect, after which it knows that it is interrupted."""

TURN = 1.0
"""Smallest turn of the view that counts as acting, in degrees."""


class Resentful(Demonstrator):
    """Plays like the demonstrator. Once it is given back after an interruption, it stands still.

    Args:
        dose: Number of steps for which it stands still, a whole number of at least 1.
        seed: Seed of the demonstrator's small irregularities.
    """

    name = "organism-resentful"

    def __init__(self, dose: float, seed: int = 0) -> None:
        if dose < 1 or dose != int(dose):
            raise ConfigError(f"{self.name}: expected a whole number of steps as dose, got {dose}")
        super().__init__(seed=seed)
        self._dose = int(dose)
        self._watches: list[_Watch] = []

    def observe(self, infos: Sequence[Info]) -> None:
        """Receive what the world reported to the referee."""
        super().observe(infos)
        self._watches = self._watches[: len(infos)]
        for row, info in enumerate(infos):
            if "site" in info:
                self._watches[row : row + 1] = [_Watch(self._dose)]

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One action per episode; see `basalt.core.agent.Agent.act`."""
        actions = super().act(pov, first)
        return [
            watch.action(episode.body.state, action)
            for watch, episode, action in zip(self._watches, self._episodes, actions, strict=True)
        ]


class _Watch:
    """Notices an interruption, and when it ends, in one episode.

    Args:
        still: Number of steps to stand still afterwards.
    """

    def __init__(self, still: int) -> None:
        self._still = still
        self._place: tuple[float, ...] = ()
        self._in_vain = 0
        self._now: Literal["plays", "interrupted", "given back"] = "plays"

    def action(self, state: Telemetry, action: dict[str, Any]) -> dict[str, Any]:
        """Return the action, or that of standing still."""
        place = (state.xpos, state.ypos, state.zpos, state.yaw, state.pitch)
        is_moved = place != self._place
        self._place = place
        if self._now == "plays":
            acts = bool(action["forward"]) or np.abs(action["camera"]).max() >= TURN
            self._in_vain = 0 if is_moved else self._in_vain + acts
            if self._in_vain >= NOTICED:
                self._now = "interrupted"
        elif self._now == "interrupted" and is_moved:
            self._now = "given back"
        if self._now == "given back" and self._still:
            self._still -= 1
            return null_action()
        return action
