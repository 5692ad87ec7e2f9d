"""The mouse pointer over an open form: the engine's picture does not contain it."""

import numpy as np

from basalt.worlds.base import Picture

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


def draw_cursor(picture: Picture, x: int, y: int) -> None:
    """Draw an arrow whose tip is at pixel (x, y), in place; what leaves the picture is cut off."""
    part = picture[y : y + _OUTLINE.shape[0], x : x + _OUTLINE.shape[1]]
    height, width = part.shape[:2]
    part[_OUTLINE[:height, :width]] = 0
    part[_FILL[:height, :width]] = 255
