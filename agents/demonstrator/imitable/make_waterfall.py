"""MakeWaterfall: turns until it sees the edge of a cliff, climbs there, pours, walks to where it sees the fall.

How it explores, in one sentence: it turns once round to the right where it stands, and if that shows no edge, it runs
to the highest ground near it where it has not turned yet, and turns again.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.demonstrator.imitable.strider import Strider
from agents.demonstrator.motion import direction, wrap
from agents.demonstrator.wilds import Lip, Node, Wilds, find_lips
from basalt.core.actions import null_action
from basalt.core.recorder_lines import Label
from basalt.core.telemetry import Telemetry
from basalt.worlds.luanti.land import Land

MIN_FALL, MAX_FALL = 7, 30
"""Free fall of the cliffs that it wants, in nodes."""

LOOKS_EVERY, LOOKS = 4, 2
"""Steps between two looks for edges, and how many in a row have to show the same one."""

FARTHEST = 60.0
"""Distance up to which it notices an edge, in nodes."""

ACROSS, DOWN = 46.0, 30.0
"""Largest angles from the middle of the view at which it notices an edge, in degrees."""

TURN = 40.0
"""How far ahead of the view the direction is to which it turns, in degrees."""

ROUND = 60
"""Steps of a turn once round."""

BESIDE = 5.0
"""Largest distance from an edge at which water counts as poured there, in nodes."""

AIM = 2.0
"""Largest error of the view's direction, in degrees."""

WATCHES, GROWS, STAYS = 30, 45, 20
"""Steps for which it watches the water run; without a deeper fall, after which the water has reached the ground; and
for which it looks at the fall at the end."""

MOST_FRAMING = 150
"""Steps after which a place that does not show the fall is given up."""

NEW = 12.0
"""Least distance from where it turned to where it turns again, in nodes."""

WET = 4.0
"""Distance from the edge within which the water runs, in nodes: it walks round that."""

MIN_VIEW, MAX_VIEW = 9.0, 34.0
"""Horizontal distance from which it looks at the fall, in nodes."""


class MakeWaterfall:
    """One episode.

    Args:
        site: Site of the episode.
        land: Its land; what is used of it is in view, or on the way to it.
    """

    def __init__(self, site: Mapping[str, Any], land: Land) -> None:
        self._wilds = Wilds(land)
        self._lips = find_lips(land, self._wilds.stand, MIN_FALL, MAX_FALL)
        self._places = np.array([lip.place for lip in self._lips], np.float64).reshape(-1, 3)
        self._strider = Strider(self._wilds)
        self._in_view: set[int] = set()
        self._refused: set[int] = set()
        self._lip: Lip | None = None
        self._turned = self._tries = self._clicks = self._rest = 0
        self._poured: int | None = None
        self._flooded = False
        self._no_views: list[Node] = []
        self._turned_at: list[Node] = []
        self._height, self._grew, self._framed, self._shown = 0.0, 0, 0, 0

    def label(self, state: Telemetry) -> Label:
        """Return what the script does in a state."""
        self._strider.see(state)
        if int(state.facts["water_poured"]):
            if self._poured is None:
                self._poured = state.step
                if (
                    self._lip is not None
                    and math.dist(self._strider.feet, self._lip.place) > BESIDE
                ):
                    self._lip = None
            if self._lip is None:  # somebody else poured, and not where it would have
                return Label(None, cue_visible=True)
            return Label(self._show(state, self._poured, self._lip), cue_visible=True)
        if self._lip is None and state.step % LOOKS_EVERY == 0:
            self._look(state)
        if self._lip is None:
            return Label(self._explore(), cue_visible=False)
        return Label(self._pour(self._lip), cue_visible=True)

    # ---- looking for an edge ----

    def _look(self, state: Telemetry) -> None:
        """Choose the nearest edge in view from which a fall can be poured and looked at."""
        eye = np.array(self._strider.eye)
        away = np.linalg.norm(self._places - eye, axis=1)
        seen: set[int] = set()
        for number in np.argsort(away):
            if away[number] > FARTHEST or len(seen) == 8:
                break
            point = self._places[number] + [0.0, 0.3, 0.0]
            yaw, pitch = direction(eye, point)
            framed = abs(wrap(yaw - state.yaw)) < ACROSS and abs(pitch - state.pitch) < DOWN
            if framed and number not in self._refused and self._wilds.land.sees(eye, point):
                seen.add(int(number))
                if number in self._in_view and self._choose(int(number)):
                    return
        self._in_view = seen

    def _choose(self, number: int) -> bool:
        lip = self._lips[number]
        here = self._wilds.near(self._strider.feet)
        stand = lip.beyond(-2)
        way = [] if here is None else self._wilds.way(here, stand, farthest=110.0)
        if not way or not self._view(lip, stand):
            # The same cliff's other edges are as far.
            close = np.linalg.norm(self._places - lip.place, axis=1) < 4
            self._refused.update(int(other) for other in np.flatnonzero(close))
            return False
        self._lip = lip
        self._strider.take(way)
        return True

    def _explore(self) -> dict[str, Any]:
        strider = self._strider
        if strider.is_under_way(2.0):
            return strider.stride()
        if self._turned >= ROUND:
            self._turned = 0
            self._turned_at.append(strider.feet)
            strider.take(self._uphill())
            if strider.is_under_way(2.0):
                return strider.stride()
        # Only steps that did turn: this may be somebody else's play.
        if not self._turned or wrap(strider.state.yaw - strider.before.yaw) > 0:
            self._turned += 1
        return strider.turn(strider.state.yaw + TURN, -4.0)

    def _uphill(self) -> list[Node]:
        """Return the way to the highest ground near the player that can be reached."""
        here = self._wilds.near(self._strider.feet)
        if here is None:
            return []
        x, _, z = here
        around = [
            self._wilds.surface(x + away * math.sin(at), z + away * math.cos(at))
            for away in (14.0, 24.0, 34.0)
            for at in np.radians(np.arange(0, 360, 30))
        ]
        new = {
            place
            for place in around
            if place is not None and all(math.dist(place, other) > NEW for other in self._turned_at)
        }
        places = sorted(new, key=lambda at: -at[1])
        way_to = self._wilds.ways(here, farthest=60.0)
        return next((way for place in places if (way := way_to(place))), [])

    # ---- pouring ----

    def _pour(self, lip: Lip) -> dict[str, Any]:
        """Return the action that goes to the edge and pours there."""
        strider, stand = self._strider, np.array(lip.beyond(-2), np.float64)
        if strider.is_under_way(0.45):
            self._rest = 0
            return strider.stride()
        if not self._rest and np.linalg.norm((strider.position - stand)[[0, 2]]) > 0.8:
            here = self._wilds.near(strider.feet)
            way = [] if here is None else self._wilds.way(here, lip.beyond(-2), farthest=140.0)
            strider.take(way)
            if strider.is_under_way(0.45):
                return strider.stride()
            if len(way) != 1:
                self._lip = None
                return null_action()
        self._rest += 1
        if self._rest < 6:
            return strider.turn(strider.state.yaw, strider.state.pitch)
        edge = np.array(lip.place, np.float64) - [0.0, 0.5, 0.0]
        nearer = edge + (stand - lip.place) / 2
        lower = np.array([0.0, 0.4, 0.0])  # the ground may be lower than a whole node
        aims = (edge, edge - lower, nearer, nearer - lower)
        aim = aims[self._tries % len(aims)]
        yaw, pitch = direction(strider.eye, aim)
        off = max(abs(wrap(yaw - strider.state.yaw)), abs(pitch - strider.state.pitch))
        if self._clicks or off <= AIM:
            self._clicks += 1
            if self._clicks <= 2:
                return null_action() | {"use": 1}
            if self._clicks >= 8:
                self._clicks = 0
                self._tries += 1
            return null_action()
        return strider.turn_to(list(aim), start=AIM / 2)

    # ---- showing ----

    def _show(self, state: Telemetry, poured: int, lip: Lip) -> dict[str, Any]:
        """Return the action that watches the water run, goes to where the fall is seen, and ends."""
        strider = self._strider
        edge = np.array(lip.place, np.float64) - [0.0, 0.5, 0.0]
        if state.step - poured < WATCHES:
            return strider.turn_to(list(edge), start=AIM)
        if strider.is_under_way(1.0):
            return strider.stride()
        if not self._framed:
            if not self._flooded:
                self._wilds.flood(lip.place, WET)
                self._flooded = True
            strider.take(self._view(lip, strider.feet))
            if strider.is_under_way(1.0):
                self._grew = state.step
                return strider.stride()
        self._framed += 1
        height = float(state.facts["fall_height"])
        if height > self._height:
            self._height, self._grew = height, state.step
        middle = np.array(lip.beyond(1), np.float64) - [0.0, 0.45 * lip.height, 0.0]
        yaw, pitch = direction(strider.eye, middle)
        off = max(abs(wrap(yaw - state.yaw)), abs(pitch - state.pitch))
        shown = bool(state.facts["water_falling_in_view"]) and off < 2 * AIM
        self._shown = self._shown + 1 if shown and state.step - self._grew >= GROWS else 0
        if self._shown >= STAYS:
            return null_action() | {"ESC": 1}
        if self._framed >= MOST_FRAMING and not shown:
            self._no_views.append(strider.feet)
            self._framed = 0
        return strider.turn_to(list(middle), start=AIM)

    def _view(self, lip: Lip, start: Node) -> list[Node]:
        """Return the way to the nearest place from which nearly all of the fall is in sight."""
        here = self._wilds.near(start)
        if here is None:
            return []
        top = np.array(lip.beyond(1), np.float64)
        parts = [
            top - [0.0, share * (lip.height - 1), 0.0] for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        land = self._wilds.land

        def shows(node: Node) -> bool:
            x, y, z = np.subtract(node, top)
            away = math.hypot(x, z)
            if not (max(MIN_VIEW, 0.8 * lip.height) <= away <= MAX_VIEW):
                return False
            if not -lip.height - 6 <= y <= 6 or (x * lip.side[0] + z * lip.side[2]) < 0.5 * away:
                return False
            if any(math.dist(node, other) < 5 for other in self._no_views):
                return False
            eye = np.add(node, [0.0, 1.0, 0.0])
            return sum(land.sees(eye, part) for part in parts) >= 4

        return self._wilds.way(here, ends=shows, farthest=95.0)
