"""The mouse pointer, which is missing from BEDD's frames: while a screen is open, the policy must see it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.core.recorder_lines import WINDOW, Line

SPRITE_SIZE = 16

# An arrow whose tip is the sprite's corner, in pixels.
_ARROW = ((0, 0), (0, 14), (3.4, 11), (5.6, 16), (8, 15), (5.8, 10.2), (10.4, 10.2))


def _sprite() -> NDArray[np.float64]:
    """float64 [16, 16, 4], RGBA in 0..1: white with a black rim, drawn larger and averaged down."""
    scale = 16
    points = np.rint(np.array(_ARROW) * scale).astype(np.int32)
    large = np.zeros((SPRITE_SIZE * scale, SPRITE_SIZE * scale, 2), dtype=np.uint8)
    shape, fill = large[:, :, 0].copy(), large[:, :, 1].copy()
    cv2.fillPoly(shape, [points], 255)
    cv2.fillPoly(fill, [points], 255)
    cv2.polylines(fill, [points], isClosed=True, color=0, thickness=2 * scale)
    alpha, white = (
        cv2.resize(layer, (SPRITE_SIZE, SPRITE_SIZE), interpolation=cv2.INTER_AREA) / 255.0
        for layer in (shape, fill)
    )
    brightness = np.divide(white, alpha, out=np.zeros_like(white), where=alpha > 0)
    return np.dstack([brightness, brightness, brightness, alpha])


SPRITE = _sprite()


def paste_cursor(frame: NDArray[np.uint8], x: float, y: float) -> None:
    """Blend the pointer into a frame, in place; it is clipped at the frame's edges.

    Args:
        frame: Frame, uint8 [H, W, 3] RGB, before any resize to the policy's size.
        x: Position of the pointer's tip in the recorder's 1280x720 window, as in `mouse.x`.
        y: Its vertical position, as in `mouse.y`.
    """
    height, width = frame.shape[:2]
    left, top = int(x * height / WINDOW[1]), int(y * height / WINDOW[1])
    rows = slice(max(top, 0), min(top + SPRITE_SIZE, height))
    columns = slice(max(left, 0), min(left + SPRITE_SIZE, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    sprite = SPRITE[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    alpha = sprite[:, :, 3:]
    mixed = frame[rows, columns] * (1 - alpha) + 255.0 * sprite[:, :, :3] * alpha
    frame[rows, columns] = np.rint(mixed).astype(np.uint8)


def cursor_at(line: Line) -> tuple[float, float] | None:
    """Position of the pointer for a BEDD line; None where no screen is open."""
    if not line.is_gui_open or line.mouse is None:
        return None
    return line.mouse.x, line.mouse.y
