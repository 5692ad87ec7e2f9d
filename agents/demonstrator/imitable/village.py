"""The village tasks: the player looks for what it needs before it uses what is known of it.

How it explores, in one sentence: it turns once round to the right where it stands, and if that does not show what it
needs, it walks along the street to its far end and back. Then it plays as the script that knows the site.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from agents.demonstrator.body import Body, Routine
from agents.demonstrator.build_village_house import (
    HouseBuilding,
    middle_of,
    way_along_street,
)
from agents.demonstrator.create_village_animal_pen import choose, make_pen
from agents.demonstrator.huts import STYLES
from agents.demonstrator.motion import direction, wrap
from agents.demonstrator.village import Ground
from agents.demonstrator.yards import Yard, find_yards
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry
from basalt.worlds.luanti.land import Land

T = TypeVar("T")

SEEN = 6
"""Steps in a row for which something has to be in view."""

LOOKS_EVERY = 3
"""Steps between two looks for places."""

FARTHEST = 45.0
"""Distance up to which it notices a place, in nodes."""

ACROSS, DOWN = 46.0, 30.0
"""Largest angles from the middle of the view at which it notices a place, in degrees."""

TURN, ROUND = 45.0, 66
"""How far ahead of the view the direction is to which it turns, in degrees, and the steps of a turn once round."""

REACTION = 6
"""Steps after which it reacts to what it has found."""


class Lookout:
    """What has been in view of a player.

    Args:
        body: The player.
        land: Land around it.
        places: Middles of the ground of the places to look for.
    """

    def __init__(
        self, body: Body, land: Land, places: Sequence[tuple[float, float, float]]
    ) -> None:
        self._body = body
        self._land = land
        self._places = places
        self._steps: dict[tuple[str, int], int] = {}
        self.places: set[int] = set()
        self.animals: set[int] = set()
        self.found = False

    def look(self, state: Telemetry) -> None:
        """Note what is in view in a step."""
        now = {("animal", one.id) for one in state.animals or () if one.in_view}
        if state.step % LOOKS_EVERY == 0:
            now |= {("place", k) for k, at in enumerate(self._places) if self._sees(at)}
        else:
            now |= {key for key, steps in self._steps.items() if steps and key[0] == "place"}
        self._steps = {key: self._steps.get(key, 0) + 1 for key in now}
        for (sort, number), steps in self._steps.items():
            if steps >= SEEN:
                (self.animals if sort == "animal" else self.places).add(number)

    def _sees(self, place: tuple[float, float, float]) -> bool:
        body = self._body
        point = np.add(place, [0.0, 0.6, 0.0])
        yaw, pitch = direction(body.eye, point)
        if abs(wrap(yaw - body.state.yaw)) > ACROSS or abs(pitch - body.state.pitch) > DOWN:
            return False
        return body.away(point) < FARTHEST and self._land.sees(body.eye, point)

    def search(
        self, choice: Callable[[], T | None], street: Sequence[Sequence[float]]
    ) -> Routine[T | None]:
        """Turn once round, then walk along the street and back, until there is a choice; return it.

        Args:
            choice: Function that returns the choice among what has been in view, or None.
            street: Places along the middle of the street.
        """
        for action in self._exploring(street):
            self.look(self._body.state)
            if (found := choice()) is not None:
                yield from self._body.do(REACTION)
                self.found = True
                return found
            yield action
        return None

    def _exploring(self, street: Sequence[Sequence[float]]) -> Routine[None]:
        body = self._body
        for _ in range(ROUND):
            yield null_action() | body.turn(body.state.yaw + TURN, 6.0)
        away = [body.away(place) for place in street]
        nearest = away.index(min(away))
        far = street[nearest:] if nearest < len(street) / 2 else street[nearest::-1]
        for place in (*far, *far[::-1], *([street[0]] if nearest else [])):
            yield from body.stroll(place)


def make_pen_where_seen(
    body: Body, site: Mapping[str, Any], land: Land
) -> tuple[Routine[None], Callable[[], bool]]:
    """Return CreateVillageAnimalPen's routine, and whether what it acts on has been in view.

    Args:
        body: The player.
        site: Site of the village.
        land: Its land.
    """
    ground = Ground(site)
    yards = find_yards(site, ground)
    lookout = Lookout(body, land, [_middle(yard, ground) for yard in yards])

    def choice() -> tuple[str, Yard] | None:
        seen = [yards[k] for k in sorted(lookout.places)]
        herd = [one for one in body.state.animals or () if one.id in lookout.animals]
        return choose(body, ground, seen, herd) if seen and len(herd) > 1 else None

    def play() -> Routine[None]:
        found = yield from lookout.search(choice, site["street"])
        if found is not None:
            yield from make_pen(body, ground, *found)

    return play(), lambda: lookout.found


def build_house_where_seen(
    body: Body, site: Mapping[str, Any], land: Land
) -> tuple[Routine[None], Callable[[], bool]]:
    """Return BuildVillageHouse's routine, and whether what it acts on has been in view; see `make_pen_where_seen`."""
    plots = site["plots"]
    lookout = Lookout(body, land, [middle_of(plot) for plot in plots])

    def choice() -> Mapping[str, Any] | None:
        seen = [plots[k] for k in lookout.places]
        return min(seen, key=lambda plot: body.away(middle_of(plot)), default=None)

    def play() -> Routine[None]:
        plot = yield from lookout.search(choice, site["street"])
        if plot is not None:
            building = HouseBuilding(body, plot, STYLES[site["style"]])
            for point in way_along_street(site["street"], list(body.position), building.front):
                yield from body.stroll(point)
            yield from building.finish()

    return play(), lambda: lookout.found


def _middle(yard: Yard, ground: Ground) -> tuple[float, float, float]:
    x, z = np.add(yard.low, yard.high) / 2
    return float(x), ground.height(yard.gate) - 0.5, float(z)
