"""The mouse pointer over an open screen, which the engine's frame does not contain."""

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
_OUTLINE = np.array([[pixel == "#" for pixel in row] for row in _ROWS])
_FILL = np.array([[pixel == "." for pixel in row] for row in _ROWS])


def draw_cursor(frame: Frame, x: int, y: int) -> None:
    """Draw an arrow with its tip at pixel (x, y) into a frame; parts outside the frame are cut off."""
    part = frame[y : y + _OUTLINE.shape[0], x : x + _OUTLINE.shape[1]]
    height, width = part.shape[:2]
    part[_OUTLINE[:height, :width]] = 0
    part[_FILL[:height, :width]] = 255
