"""A person as an agent: sees the frame, acts with keyboard and mouse, 20 times a second."""

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
"""Delay in seconds from which a step counts as late."""

_POLL_S = 0.05  # between two checks whether a paused player is back


@dataclass(frozen=True)
class Status:
    """Status that a screen shows beside the frame.

    Attributes:
        phase: `starting` until the world has started, then `playing`, then `over`.
        seed: Seed of the episode.
        step: Number of steps played.
        limit: Step limit of the episode; 0 if it is not known yet.
        late_steps: Number of steps that began late.
        note: A line for the player.
    """

    phase: Literal["starting", "playing", "over"] = "starting"
    seed: int | None = None
    step: int = 0
    limit: int = 0
    late_steps: int = 0
    note: str = ""


class Screen(Protocol):
    """A display with keyboard and mouse."""

    controls: Controls

    @property
    def paused(self) -> bool:
        """Whether the player has paused or is not connected."""

    @property
    def left(self) -> bool:
        """Whether the player closed the screen for good."""

    def show(self, frame: NDArray[np.uint8] | None, status: Status) -> None:
        """Show a frame (uint8 [H, W, 3], RGB; None keeps the last one) and a status."""

    def wait(self, seconds: float) -> None:
        """Wait, handling events meanwhile."""

    def close(self) -> None:
        """Close the screen."""


class Pace:
    """Limits play to one step per 50 ms of wall-clock time; late steps are not caught up.

    Attributes:
        steps: Number of steps begun.
        late_steps: Number of steps that began more than `LATE_S` late.
        worst_s: Largest delay of a step, in seconds.
    """

    def __init__(self) -> None:
        self.steps = self.late_steps = 0
        self.worst_s = 0.0
        self._due: float | None = None

    def left(self) -> float:
        """Seconds until the next step may begin; 0 or less if it may begin now."""
        return 0.0 if self._due is None else self._due - time.monotonic()

    def rest(self) -> None:
        """Do not count the time until the next step, if it is due."""
        if self.left() <= 0:
            self._due = None

    def begin_step(self) -> None:
        """Begin a step now."""
        now = time.monotonic()
        self.steps += 1
        if self._due is not None and now - self._due > LATE_S:
            self.late_steps += 1
            self.worst_s = max(self.worst_s, now - self._due)
        self._due = now + STEP_S


class HumanPlayer:
    """A person behind a screen, as an agent (`basalt.core.agent.PrivilegedAgent`).

    It observes the seed, the step and the selected slot, from which the mouse wheel counts.

    Args:
        screen: Screen that the person plays on.
        name: Name in the recordings.
        limit: Step limit to show.
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
        """Make the next `act` raise `PlayerLeft`; may be called from a signal handler or another thread."""
        self._leaving.set()

    def observe(self, infos: Sequence[Info]) -> None:
        """Take seed, step and selected slot for the next `act`."""
        (info,) = infos
        state = info["telemetry"]
        # In an open inventory the hotbar keys move items, so the wheel is ignored.
        self._step, self._hotbar = state.step, None if state.gui_open else state.hotbar
        self._seed = info.get("seed", self._seed)

    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Sequence[Mapping[str, Any]]:
        """Show the frame, wait for the next step, and return what was pressed meanwhile.

        Raises:
            PlayerLeft: The player closed the screen or ended the program.
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
                self._screen.wait(_POLL_S)
                self.pace.rest()
            elif (left := self.pace.left()) > 0:
                self._screen.wait(left)
            else:
                break
        self.pace.begin_step()
        return [self._screen.controls.action(self._hotbar)]
