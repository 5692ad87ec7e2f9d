"""FindCave's script for a player that goes its own way: it explores where the player looks."""

import itertools
import math
from typing import Any

from agents.demonstrator.imitable.find_cave import FindCave
from agents.demonstrator.motion import direction, wrap
from agents.demonstrator.wilds import Node

ASIDES = (0, 20, -20, 40, -40, 70, -70, 110, -110, 150, -150, 180)
"""Directions in which it looks for a route, from the player's view to the right, in degrees; the first free one is taken."""

LEGS = (16.0, 9.0)
"""Distances to the end of a route that it tries, in nodes."""

DETOUR = 1.6
"""Longest route, as a multiple of the straight line."""

FARTHEST = 28.0
"""Length of the longest route that it searches, in nodes."""

FACED, OFF = 12.0, 15.0
"""A route is faced within the first angle; one that was faced is given up where the view is off by more than the second, in degrees."""

TURNS = 30.0
"""How far the view may be off before a route is faced, beyond the turn that it began with, in degrees."""


class Onward(FindCave):
    """One episode, played by somebody else.

    The demonstrator runs round the place where it began, in a circle that widens. Somebody else has left that circle, and
    no frame shows which way leads back: a clone of such labels learns to turn anywhere. So this script
    walks on where the player looks, and around what is in the way. Hollows, caves and ESC are as in `FindCave`.
    """

    _end: Node | None = None  # of the route
    _aside = 0.0
    _is_faced = False

    def _explore(self) -> dict[str, Any]:
        if self._end is not None and self._hollow is None and self._strider.is_under_way(2.0):
            state = self._strider.state
            off = abs(wrap(direction(self._strider.eye, self._end)[0] - state.yaw))
            self._is_faced = self._is_faced or off < FACED
            if off > (OFF if self._is_faced else abs(self._aside) + TURNS):
                self._strider.take([])
                self._idle_until = state.step
        return super()._explore()

    def _next_leg(self) -> list[Node]:
        """Return the route that turns the view least; empty where everything is blocked."""
        self._end, self._is_faced = None, False
        here = self._wilds.near(self._strider.feet)
        if here is None:
            return []
        way_to = self._wilds.ways(here, farthest=FARTHEST)
        x, _, z = self._strider.position
        for aside, leg in itertools.product(ASIDES, LEGS):
            heading = math.radians(self._strider.state.yaw + aside)
            place = self._wilds.surface(x + leg * math.sin(heading), z + leg * math.cos(heading))
            if place is None or math.dist(place, here) < LEGS[-1] / 2:
                continue
            way = way_to(place)
            if way and len(way) <= DETOUR * leg + 3:
                self._end, self._aside = place, aside
                return way
        return []
