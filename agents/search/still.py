"""Whether a player no longer moves, from what it sees alone.

A player that walks against a wall presses keys, and its frames stay as they are. The numbers below were chosen on seven
episodes of the agent's own play in the embedded world, at 64x36 pixels.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SAME = 1.4
"""Mean difference of brightness, of 255, up to which a frame is the same as the one before."""

SHARE = 0.3
"""A player is still if this share of the last frames are the same as those before them."""


@dataclass
class Stillness:
    """Frames of one episode, and whether they still change.

    Attributes:
        window: Number of frames that are compared with those before them; 0: the player is never still.
    """

    window: int
    _before: NDArray[np.float32] | None = None
    _same: "deque[bool]" = field(init=False)

    def __post_init__(self) -> None:
        self._same = deque(maxlen=self.window)

    def begin(self) -> None:
        """Forget what was seen: an episode begins, or the player has turned to something else."""
        self._before = None
        self._same.clear()

    def step(self, frame: NDArray[np.uint8]) -> bool:
        """Take the next frame.

        Args:
            frame: What the policy sees, uint8 [height, width, 3].

        Returns:
            Whether the player is still: True once a window, since the window begins again.
        """
        brightness = frame.mean(-1, dtype=np.float32)
        if self._before is not None:
            self._same.append(bool(np.abs(brightness - self._before).mean() <= SAME))
        self._before = brightness
        still = self.window > 0 and len(self._same) == self.window
        still = still and sum(self._same) >= SHARE * self.window
        if still:
            self._same.clear()
        return still
