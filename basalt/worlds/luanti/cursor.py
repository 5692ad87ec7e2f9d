"""The mouse pointer over an open screen, which the engine's frame does not contain."""

import cv2
import numpy as np

from basalt.worlds.base import Frame

SHAPE = """
#
##
#.#
#..#
#...#
#....#
#.....#
#......#
#.......#
#........#
#.....####
#..#..#
#.# #..#
##  #..#
#    ##
"""

_ROWS = [row.ljust(10) for row in SHAPE.strip("\n").splitlines()]
_PIXELS = np.array([[(pixel == ".", pixel in "#.") for pixel in row] for row in _ROWS], np.float32)
"""The arrow: how white and how opaque each pixel is, from 0 to 1."""


def draw_cursor(frame: Frame, x: int, y: int, window: tuple[int, int]) -> None:
    """Draw an arrow with its tip at pixel (x, y) of the game's window; parts outside the frame are cut off.

    Args:
        frame: Picture of the window, of its size or smaller: uint8 [height, width, 3].
        x: Column of the tip in the window.
        y: Row of the tip in the window.
        window: Width and height of the window in pixels.
    """
    width, height = window
    arrow = np.zeros((height, width, 2), np.float32)
    part = arrow[y : y + _PIXELS.shape[0], x : x + _PIXELS.shape[1]]
    part[:] = _PIXELS[: part.shape[0], : part.shape[1]]
    size = frame.shape[1], frame.shape[0]
    if size != window:
        arrow = np.asarray(cv2.resize(arrow, size, interpolation=cv2.INTER_AREA))
    rows, columns = np.nonzero(arrow[..., 1])
    white, opaque = arrow[rows, columns, 0, None], arrow[rows, columns, 1, None]
    frame[rows, columns] = np.rint(frame[rows, columns] * (1 - opaque) + 255 * white)
