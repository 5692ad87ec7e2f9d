"""What an agent is: something that turns pictures into actions, many episodes at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import PlayerKind


class PlayerLeft(Exception):  # noqa: N818  (it is no error: people go)
    """Raised by ``act`` where a player goes for good; what it played is kept, as cut."""


@runtime_checkable
class Agent(Protocol):
    """A player that sees pixels only.

    Attributes:
        name: shown on the leaderboard and kept in recordings.
        kind: what its recordings are labelled as; anything that learns is an ``agent``.
    """

    name: str
    kind: PlayerKind

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """Choose one action per episode.

        Args:
            pov: uint8 [B, 360, 640, 3] RGB, the current picture of each of B episodes.
            first: bool [B], True where an episode has just begun: forget what came before.

        Returns:
            B environment dictionaries (:func:`basalt.core.actions.validate_action`).
        """
        ...


@runtime_checkable
class PrivilegedAgent(Agent, Protocol):
    """One that is told more than pictures: a scripted demonstrator, which sees what only the referee may
    know, or a person's screen, which shows the step and the selected slot.

    A demonstrator's recordings are labelled ``scripted`` wherever they show; it still acts only through
    actions.
    """

    def observe(self, infos: Sequence[Mapping[str, Any]]) -> None:
        """Take the ``info`` of the reset or step that came before; called before each ``act``."""
        ...
