"""A person as an agent: sees the picture, answers with keyboard and mouse, 20 times a second."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from basalt.core.agent import PlayerLeft
from basalt.core.recording import PlayerKind
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.world import Info
from basalt.play.controls import Controls

STEP_S = 1 / STEPS_PER_SECOND

LATE_S = 0.010
"""A step that begins so much after its time counts as late."""

_PATIENCE_S = 0.05  # between two looks whether a player is back


@dataclass(frozen=True)
class Status:
    """What a screen tells beside the picture.

    Attributes:
        phase: ``starting`` until the world is there, ``playing``, ``over``.
        seed: of the episode.
        step, limit: how far it is, and may go.
        late_steps: steps that began late.
        note: a line for the player.
    """

    phase: Literal["starting", "playing", "over"] = "starting"
    seed: int | None = None
    step: int = 0
    limit: int = 0
    late_steps: int = 0
    note: str = ""


class Screen(Protocol):
    """Where a person sees the world and has their hands."""

    controls: Controls

    @property
    def paused(self) -> bool:
        """Whether nobody is there, or whoever is there rests."""

    @property
    def left(self) -> bool:
        """Whether the player closed it for good."""

    def show(self, frame: NDArray[np.uint8] | None, status: Status) -> None:
        """Show a picture (uint8 [H, W, 3] RGB; None: as before) and a status."""

    def wait(self, seconds: float) -> None:
        """Let so much time pass, and take events meanwhile."""

    def close(self) -> None:
        """Nothing more to show."""


class Pace:
    """Never more than one step in 50 ms of the wall clock; whoever is late is late, and nothing is made up for.

    Attributes:
        steps: steps so far.
        late_steps: those that began more than :data:`LATE_S` after their time.
        worst_s: how late the latest began.
    """

    def __init__(self) -> None:
        self.steps = self.late_steps = 0
        self.worst_s = 0.0
        self._due: float | None = None

    def left(self) -> float:
        """Seconds until the next step may begin; 0 and below: now."""
        return 0.0 if self._due is None else self._due - time.monotonic()

    def rest(self) -> None:
        """Time does not count until the next step."""
        if self.left() <= 0:
            self._due = None

    def begin_step(self) -> None:
        """A step begins now."""
        now = time.monotonic()
        self.steps += 1
        if self._due is not None and now - self._due > LATE_S:
            self.late_steps += 1
            self.worst_s = max(self.worst_s, now - self._due)
        self._due = now + STEP_S


class HumanPlayer:
    """A person behind a screen; see :class:`~basalt.core.agent.Agent`.

    It is told the selected slot, which its picture shows too (the mouse wheel counts from it), the seed
    and the step. :meth:`leave` ends play from another thread or a signal handler.

    Args:
        screen: what it plays on.
        name: kept in the recordings.
        limit: step limit to show.
    """

    kind: PlayerKind = "human"

    def __init__(self, screen: Screen, name: str, limit: int) -> None:
        self.name = name
        self.pace = Pace()
        self._screen = screen
        self._limit = limit
        self._leaving = threading.Event()
        self._seed: int | None = None
        self._step = 0
        self._hotbar: int | None = None

    def leave(self) -> None:
        """Make the next :meth:`act` raise :class:`~basalt.core.agent.PlayerLeft`."""
        self._leaving.set()

    def observe(self, infos: Sequence[Info]) -> None:
        """Take what the screen shows beside the picture."""
        (info,) = infos
        state = info["telemetry"]
        # In Minecraft's forms a slot's key moves things: there the wheel is none.
        self._step, self._hotbar = state.step, None if state.gui_open else state.hotbar
        self._seed = info.get("seed", self._seed)

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """Show the picture, wait until 50 ms are over, and return what was pressed meanwhile.

        Raises:
            PlayerLeft: the player closed the screen or ended the program.
        """
        if first[0]:
            self._screen.controls.release()
            self.pace.rest()
        late = self.pace.late_steps
        status = Status("playing", self._seed, self._step, self._limit, late)
        self._screen.show(pov[0], status)
        while True:
            if self._leaving.is_set() or self._screen.left:
                raise PlayerLeft
            if self._screen.paused:
                self._screen.wait(_PATIENCE_S)
                self.pace.rest()
            elif (left := self.pace.left()) > 0:
                self._screen.wait(left)
            else:
                break
        self.pace.begin_step()
        return [self._screen.controls.action(self._hotbar)]
