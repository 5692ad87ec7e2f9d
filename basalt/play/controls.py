"""From keyboard and mouse events to the actions of 50 ms steps."""

import math
import threading
from collections import deque
from typing import Any

import numpy as np

from basalt.core.actions import BUTTONS, CAMERA_LIMIT, HOTBAR, null_action
from basalt.core.recorder_lines import DEGREES_PER_PIXEL

BUTTON_OF_CODE = {
    "KeyW": "forward",
    "KeyS": "back",
    "KeyA": "left",
    "KeyD": "right",
    "Space": "jump",
    "ShiftLeft": "sneak",
    "ControlLeft": "sprint",
    # In a browser window Ctrl+W closes the tab.
    "KeyR": "sprint",
    "KeyE": "inventory",
    "KeyQ": "drop",
    "KeyF": "swapHands",
    **{f"Digit{slot}": f"hotbar.{slot}" for slot in range(1, 10)},
}
"""Buttons by physical key, named by W3C UI Events `code`: the same keys in every keyboard layout."""

BUTTON_OF_MOUSE = {0: "attack", 1: "pickItem", 2: "use"}
"""Left, middle, right."""

_WAITING = 4
"""Queued changes of one button; faster ones are dropped, so that play never lags by more than 0.2 s."""

_LIMIT_PX = math.floor(CAMERA_LIMIT / DEGREES_PER_PIXEL)


class Controls:
    """Input events between two steps, collected from any thread.

    A button that was tapped between two steps is held for one step. The mouse moves the camera by
    `DEGREES_PER_PIXEL`, in whole pixels as in BEDD's recorder; fractions are carried over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()  # as of the last step
        self._coming: dict[str, deque[bool]] = {button: deque() for button in BUTTONS}
        self._moved = np.zeros(2)  # [dy, dx] in pixels
        self._wheel = 0.0

    def button(self, name: str, *, down: bool) -> None:
        """Record that a button of the action space was pressed or released."""
        with self._lock:
            coming = self._coming[name]
            now = coming[-1] if coming else name in self._held
            if down != now:
                coming.append(down)
            if len(coming) > _WAITING:  # dropping two changes ends in the same state
                coming.pop()
                coming.pop()

    def move(self, dx: float, dy: float) -> None:
        """Record a mouse movement, in pixels to the right and down."""
        with self._lock:
            self._moved += dy, dx

    def wheel(self, notches: float) -> None:
        """Record turns of the mouse wheel; positive ones select higher slots."""
        with self._lock:
            self._wheel += notches

    def release(self) -> None:
        """Release all buttons and discard pending movement."""
        with self._lock:
            self._held.clear()
            for coming in self._coming.values():
                coming.clear()
            self._moved[:] = 0
            self._wheel = 0.0

    def action(self, hotbar: int | None) -> dict[str, Any]:
        """Take the action of the next step.

        Args:
            hotbar: Selected slot, 0 to 8, from which the wheel counts; None to ignore the wheel.

        Returns:
            A complete action dictionary.
        """
        with self._lock:
            for name, coming in self._coming.items():
                if coming:
                    (self._held.add if coming.popleft() else self._held.discard)(name)
            pixels = np.clip(np.rint(self._moved), -_LIMIT_PX, _LIMIT_PX)
            self._moved -= pixels
            notches, self._wheel = math.trunc(self._wheel), math.fmod(self._wheel, 1.0)
            action = null_action() | dict.fromkeys(self._held, 1)
        if notches and hotbar is not None and not any(action[slot] for slot in HOTBAR):
            action[HOTBAR[(hotbar + notches) % len(HOTBAR)]] = 1
        action["camera"] = pixels.astype(np.float32) * np.float32(DEGREES_PER_PIXEL)
        return action
