"""FindCave: looks into every hollow that it sees on its round, until it sees a cave, then goes in and ends.

How it explores, in one sentence: it turns to the right, runs 40 nodes away from where it began, and then round that
place in a circle to the right that widens by 20 nodes a turn, around whatever is in the way, and turns aside to every
hollow whose rim comes into view within 30 nodes.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.demonstrator.imitable.hollows import Hollows
from agents.demonstrator.imitable.strider import Strider
from agents.demonstrator.motion import wrap
from agents.demonstrator.wilds import Node, Wilds
from basalt.core.actions import null_action
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
from basalt.worlds.luanti.land import Land

FIRST_TURN = 80.0
"""First heading, to the right of the first view, in degrees."""

RADIUS, WIDER = 40.0, 20.0
"""Radius of the circle's first turn, and by how much every further turn is wider, in nodes."""

LEG = math.radians(20.0)
"""How far along the circle one way leads."""

LOOKS_EVERY, LOOKS = 5, 2
"""Steps between two looks for dark openings, and how many in a row have to show one."""

RAYS = 2
"""Number of the view's 392 rays that have to end in the dark."""

SEEN = 6
"""Steps in a row for which a mouth has to be in view."""

INSIDE = 25
"""Steps in a cave after which it ends the episode."""

LOOKS_DOWN = 22.0
"""Least pitch of the view while it looks for a cave, in degrees: many open into hollows."""

CLOSE = 0.3
"""Distance from the end of the way into the cave at which it stops, in nodes."""

IDLE = 20
"""Steps between two searches for a way along the circle."""

AROUND = 12
"""Distance from what was seen within which it looks for a way in, in nodes."""

ASIDE, NEAR = 30.0, 4.0
"""Distance up to which it turns aside to look into a hollow, and how near it goes, in nodes."""

DIM = 5
"""Most natural light at the place in the cave to which it goes."""


class FindCave:
    """One episode.

    Args:
        site: Site of the episode.
        land: Its land; what is used of it is in view, or on the way of the next seconds.
    """

    def __init__(self, site: Mapping[str, Any], land: Land) -> None:
        self._wilds = Wilds(land)
        self._hollows = Hollows(land)
        self._hollow: Node | None = None  # into which it goes to look
        self._mouths = site["mouths"]
        self._yaw = float(site["spawn_yaw"])
        self._strider = Strider(self._wilds)
        self._start: np.ndarray | None = None
        self._mouth_steps = self._dark_looks = self._inside = 0
        self._seen: Node | None = None  # what it goes to
        self._refused: list[Node] = []  # seen, but no way leads there
        self._angle: float | None = None
        self._turned = 0.0
        self._idle_until = 0

    def label(self, state: Telemetry) -> Label:
        """Return what the script does in a state."""
        strider = self._strider
        strider.see(state)
        if self._start is None:
            self._start = strider.position
        self._inside = self._inside + 1 if state.facts["in_cave"] else 0
        if self._inside >= INSIDE:
            return Label(null_action() | {"ESC": 1}, cue_visible=True)
        if self._seen is None and (place := self._look(state)) is not None:
            self._seen = place
            strider.take([])
        if self._seen is not None and not strider.is_under_way(CLOSE) and not self._inside:
            way = self._way_in(self._seen)
            strider.take(way)
            if len(way) < 2:  # no way, or it stands there and is in no cave
                self._refused.append(self._seen)
                self._seen = None
        if self._seen is not None or self._inside:
            return Label(self._go_in(), cue_visible=True)
        return Label(self._explore(), cue_visible=False)

    def _look(self, state: Telemetry) -> Node | None:
        """Return a place in the cave that has been in view for long enough."""
        number = int(state.facts["mouth_number"])
        self._mouth_steps = self._mouth_steps + 1 if number else 0
        if self._mouth_steps >= SEEN:
            x, y, z = (round(part) for part in self._mouths[number - 1])
            if self._is_new((x, y, z)):
                return x, y, z
        if state.step % LOOKS_EVERY == 0:
            dark = self._wilds.land.dark_in_view(self._strider.eye, state.yaw, state.pitch)
            x, y, z = (int(part) for part in np.median(dark, axis=0)) if len(dark) else (0, 0, 0)
            found = len(dark) >= RAYS and self._is_new((x, y, z))
            self._dark_looks = self._dark_looks + 1 if found else 0
            if self._dark_looks >= LOOKS:
                return x, y, z
        return None

    def _is_new(self, place: Node) -> bool:
        return all(math.dist(place, other) > AROUND for other in self._refused)

    def _way_in(self, seen: Node) -> list[Node]:
        """Return the way to a dim place of the cave that was seen."""
        start = self._wilds.near(self._strider.feet)
        if start is None:
            return []
        land, span = self._wilds.land, range(-AROUND, AROUND + 1)
        x, y, z = seen
        near = ((x + a, y + b, z + c) for a, b, c in itertools.product(span, range(-8, 9), span))
        cave = {node for node in near if self._wilds.can_stand(node) and land.is_cave(*node)}
        dim = {node for node in cave if land.light(*node) <= DIM}
        farthest = 40.0 + 1.6 * math.dist(start, seen)
        for goals in (dim, cave):
            if goals:
                way = self._wilds.way(
                    start, seen, ends=goals.__contains__, around=1.5 * AROUND, farthest=farthest
                )
                if way:
                    return way
        return []

    def _go_in(self) -> dict[str, Any]:
        strider = self._strider
        if strider.is_under_way(CLOSE):
            return strider.stride()
        return strider.turn(strider.state.yaw, 10.0)

    def _explore(self) -> dict[str, Any]:
        strider = self._strider
        state = strider.state
        self._hollows.look_into(strider.position)
        if self._hollow is None and state.step % LOOKS_EVERY == 0:
            self._turn_aside()
        if self._hollow is not None:
            away = math.dist(strider.position[[0, 2]], self._hollow[::2])
            if away < NEAR or not strider.is_under_way(2.0):
                self._hollows.look_into(self._hollow)
                self._hollow = None
                strider.take([])
        if not strider.is_under_way(2.0) and state.step >= self._idle_until:
            strider.take(self._next_leg())
            self._idle_until = state.step + IDLE
        if strider.is_under_way(2.0):
            return strider.stride(lowest=LOOKS_DOWN)
        # No way leads on, e.g. out of a hole: forward with jumps, turning to the right.
        return strider.turn(state.yaw + 20.0, 10.0) | {"forward": 1, "jump": state.step // 8 % 2}

    def _turn_aside(self) -> None:
        """Take the way to a hollow that is in view."""
        state = self._strider.state
        place = self._hollows.in_view(self._strider.eye, state.yaw, state.pitch, ASIDE)
        if place is None:
            return
        start, end = self._wilds.near(self._strider.feet), self._wilds.near(place)
        way = (
            [] if start is None or end is None else self._wilds.way(start, end, farthest=2 * ASIDE)
        )
        if way:
            self._hollow = place
            self._strider.take(way)
        else:
            self._hollows.look_into(place, within=4.0)

    def _next_leg(self) -> list[Node]:
        """Return the way to the next place of the circle that can be reached."""
        assert self._start is not None
        here = self._wilds.near(self._strider.feet)
        if here is None:
            return []
        x, _, z = self._strider.position - self._start
        away = math.hypot(x, z)
        angle = math.atan2(x, z) if away > 4 else math.radians(self._yaw + FIRST_TURN)
        if self._angle is not None and away > 10:
            self._turned += math.radians(wrap(math.degrees(angle - self._angle)))
        if away > 10:
            self._angle = angle
        radius = RADIUS + WIDER * max(0.0, self._turned) / (2 * math.pi)
        places = []
        for k in range(12):
            aside = math.ceil(k / 2) * (0.3 if k % 2 else -0.3)
            for inner in (0.0, 10.0):
                if away < radius - 10:
                    to, at = min(radius, away + 14 - inner / 2), angle + aside
                else:
                    to, at = radius - inner, angle + LEG + 0.2 * k
                place = self._wilds.surface(
                    self._start[0] + to * math.sin(at), self._start[2] + to * math.cos(at)
                )
                if place is not None and math.dist(place, here) > 3:
                    places.append(place)
        if not places:
            return []
        if way := self._wilds.way(here, places[0], farthest=50.0):
            return way
        way_to = self._wilds.ways(here, farthest=70.0)
        return next((way for place in places[1:] if (way := way_to(place))), [])
