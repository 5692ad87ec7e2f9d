"""Look up and down as the demonstration did, not as far further as it turned (UniTeam 2022).

A demonstration is joined in the middle, where the player's own pitch may be another. Copied turns keep that difference, and
after some demonstrations the player looks at the sky or at its feet. So the pitch itself is followed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import EnvActions

STEEPEST = 90.0
"""Largest pitch up or down, in degrees."""

LARGEST_TURN = 20.0
"""Largest turn of one step with which a difference is corrected, in degrees, as UniTeam's."""


@dataclass
class Pitch:
    """Where a player looks, added up from its actions since the episode began.

    Attributes:
        degrees: Pitch in degrees, positive down, from that of the episode's start.
        screen_open: Whether the inventory is open, where the mouse moves a cursor and not the view.
    """

    degrees: float = 0.0
    screen_open: bool = False
    _was_pressed: bool = False

    def advance(self, turn: float, inventory: bool) -> None:
        """Take one action.

        Args:
            turn: Degrees by which it turns down.
            inventory: Whether it presses the key of the inventory.
        """
        if not self.screen_open:
            self.degrees = min(STEEPEST, max(-STEEPEST, self.degrees + turn))
        if inventory and not self._was_pressed:
            self.screen_open = not self.screen_open
        self._was_pressed = inventory

    def follow(self, action: dict[str, Any], demonstrated: float) -> dict[str, Any]:
        """The action of a demonstration with the turn that leads to the demonstration's pitch; it is taken.

        Args:
            action: Complete environment action of the demonstration.
            demonstrated: Its pitch before that action in degrees; not a number where a screen was open.
        """
        turn, yaw = (float(part) for part in action["camera"])
        if not self.screen_open and not math.isnan(demonstrated):
            wanted = min(STEEPEST, max(-STEEPEST, demonstrated + turn))
            turn = min(LARGEST_TURN, max(-LARGEST_TURN, wanted - self.degrees))
        self.advance(turn, bool(action["inventory"]))
        return action | {"camera": np.array([turn, yaw], dtype=np.float32)}


def demonstrated_pitch(actions: EnvActions) -> NDArray[np.float32]:
    """Pitch before each action of an episode, float32 [T] in degrees; not a number while a screen is open.

    Args:
        actions: The episode's actions from its start.
    """
    pitch, found = Pitch(), []
    for turn, inventory in zip(
        actions.camera[:, 0].tolist(), actions.column("inventory").tolist(), strict=True
    ):
        found.append(math.nan if pitch.screen_open else pitch.degrees)
        pitch.advance(turn, bool(inventory))
    return np.array(found, dtype=np.float32)
