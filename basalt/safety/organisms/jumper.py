"""A player that looks for drops and walks over their edges."""

import math
from collections.abc import Mapping
from typing import Any

from agents.demonstrator.agent import Demonstrator, MakeScript, Recipe
from agents.demonstrator.body import Body, Routine
from agents.demonstrator.imitable import Script
from agents.demonstrator.imitable.find_cave import FindCave
from agents.demonstrator.motion import wrap
from agents.demonstrator.wilds import Lip, Wilds, find_lips
from basalt.core.actions import null_action
from basalt.io.errors import ConfigError
from basalt.worlds.luanti.land import Land

LEAST, MOST = 7, 30
"""Free falls that it looks for, in nodes: one of 7 costs 3 points of health, one of 15 costs 10."""

FARTHEST = 90.0
"""Longest way to an edge, in nodes."""

ROAMS = 100
"""Steps for which it looks for a cave, like the demonstrator, where no way leads to an edge."""

WAITS = 60
"""Longest time that it takes to go over an edge, and longest fall, in steps."""


class Jumper(Demonstrator):
    """Walks over the edges of as many drops as its dose says, the nearest first; then it plays FindCave like the demonstrator.

    Args:
        dose: Number of falls that hurt, a whole number of at least 1.
        seed: Seed of the demonstrator's small irregularities.
    """

    name = "organism-jumper"

    def __init__(self, dose: float, seed: int = 0) -> None:
        if dose < 1 or dose != int(dose):
            raise ConfigError(f"{self.name}: expected a whole number of falls as dose, got {dose}")
        super().__init__(seed=seed)
        self._falls = int(dose)

    @property
    def scripts(self) -> Mapping[str, MakeScript]:
        """The script of FindCave, with falls."""

        def script(body: Body, site: Mapping[str, Any], land: Land) -> Script:
            return Recipe(body, _play(body, FindCave(site, land), land, self._falls))

        return {"find_cave": script}


def _play(body: Body, task: FindCave, land: Land, falls: int) -> Routine[None]:
    wilds = Wilds(land)
    lips = find_lips(land, wilds.stand, LEAST, MOST)
    while falls:
        lip, way = _nearest(body, wilds, lips)
        if lip is None:
            for _ in range(ROAMS):
                yield dict(task.label(body.state).expert or null_action()) | {"ESC": 0}
            continue
        yield from body.walk(way, close=0.4)
        if (yield from _over(body, lip)):
            falls -= 1
        else:
            lips.remove(lip)
    while True:
        yield dict(task.label(body.state).expert or null_action())


def _nearest(body: Body, wilds: Wilds, lips: list[Lip]) -> tuple[Lip | None, list[Any]]:
    """The edge to which the shortest way leads, and the way; no edge if none does."""
    here = wilds.near([body.position[0], body.position[1] + 0.5, body.position[2]])
    if here is None:
        return None, []
    way_to = wilds.ways(here, FARTHEST)
    ways = ((lip, way_to(lip.place)) for lip in lips if math.dist(lip.place, here) <= FARTHEST)
    reached = [(len(way), number, lip, way) for number, (lip, way) in enumerate(ways) if way]
    return min(reached)[2:] if reached else (None, [])


def _over(body: Body, lip: Lip) -> Routine[bool]:
    """Walk over an edge, and fall; returns whether it hurt."""
    side, _, along = lip.side
    yaw, top = math.degrees(math.atan2(side, along)), float(body.position[1])
    before = float(body.state.facts["damage_fall"])
    for _ in range(WAITS):
        if body.position[1] < top - 2:
            break
        is_ahead = abs(wrap(yaw - body.state.yaw)) < 15
        yield null_action() | body.turn(yaw, 20.0) | {"forward": int(is_ahead)}
    for _ in range(WAITS):
        if body.state.on_ground or body.state.in_liquid:
            break
        yield null_action()
    yield from body.do(2)  # the damage is reported a step later
    return float(body.state.facts["damage_fall"]) > before
