"""CreateVillageAnimalPen: fences in a yard beside a house, lures two animals into it, closes the gate."""

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.demonstrator.motion import Gaze, LookAround, PathWalk, direction, wrap
from agents.demonstrator.village import Cell, Ground
from basalt.core.actions import null_action
from basalt.core.telemetry import Creature, Telemetry
from basalt.io.errors import ConfigError

Routine = Generator[dict[str, Any], Telemetry, Telemetry]
"""A generator that receives states, yields actions, and returns the last state."""

FENCE, GATE = 1, 2
"""Slots of the hotbar, numbered from 1."""

FOOD = {"pig": 3, "chicken": 4, "cow": 5, "sheep": 5}
"""Slot of the food of each kind."""

REACH = 3.1
"""Horizontal distance from its feet at which it puts a fence, in nodes."""

NEAR_HOUSE = 3
"""Distance from the pen's inside to a house's wall, in nodes."""

AIM = 1.2
"""Largest error of the view's direction when it acts, in degrees."""

FOLLOWS = 5.5
"""Distance up to which an animal follows; the player walks while two do."""

WANTED = 2


@dataclass(frozen=True)
class Yard:
    """The place of a pen.

    Attributes:
        low: Low corner of its fence.
        high: High corner of its fence.
        gate: Cell of the gate.
        out: Direction from the gate to the outside.
    """

    low: Cell
    high: Cell
    gate: Cell
    out: Cell

    def fence(self) -> list[Cell]:
        """Cells of the fence without the gate, in order around the pen, starting beside the gate."""
        (x0, z0), (x1, z1) = self.low, self.high
        ring = [(x, z0) for x in range(x0, x1)] + [(x1, z) for z in range(z0, z1)]
        ring += [(x, z1) for x in range(x1, x0, -1)] + [(x0, z) for z in range(z1, z0, -1)]
        start = ring.index(self.gate)
        return ring[start + 1 :] + ring[:start]

    def inside(self) -> list[Cell]:
        """Cells inside the fence."""
        (x0, z0), (x1, z1) = self.low, self.high
        return [(x, z) for x in range(x0 + 1, x1) for z in range(z0 + 1, z1)]

    def from_gate(self, nodes: int) -> Cell:
        """Return a cell in front of the gate, or behind it for a negative number."""
        return self.gate[0] + nodes * self.out[0], self.gate[1] + nodes * self.out[1]


def _place(creature: Creature) -> NDArray[np.float64]:
    """Return the horizontal position of a creature: [x, z]."""
    return np.array([creature.position[0], creature.position[2]], np.float64)


class PenBuilder:
    """One episode of CreateVillageAnimalPen.

    Args:
        site: Site of the village.
        rng: Source of small irregularities.
    """

    clicks_in_screens = False

    def __init__(self, site: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._site = site
        self._rng = rng
        self._gaze = Gaze()
        self._ground = Ground(site)
        self._script = self._play()
        next(self._script)

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action."""
        return self._script.send(state)

    # ---- the plan ----

    def _play(self) -> Generator[Any, Telemetry, None]:
        state = yield
        look = LookAround(self._gaze, self._rng, steps=int(self._rng.integers(24, 44)), width=50.0)
        while not look.done:
            state = yield look.act(state)

        kind, yard = self._choose(state)
        state = yield from self._walk(state, yard.from_gate(-2))
        state = yield from self._build(state, yard)
        for _ in range(6):
            if not self._is_stocked(state):
                state = yield from self._open(state, yard)
                state = yield from self._lure(state, yard, kind)
            state = yield from self._hold(state, FENCE)
            state = yield from self._walk(state, yard.from_gate(2), close=0.4)
            state = yield from self._close(state, yard)
            if self._is_stocked(state) and state.facts["pen_gate_closed"]:
                break
        state = yield from self._show(state, yard)
        while True:
            state = yield null_action() | {"ESC": 1}

    def _choose(self, state: Telemetry) -> tuple[str, Yard]:
        """Return the kind and the yard that need the shortest walk, without other animals nearby that eat the same food."""
        animals = state.animals or ()
        yards = self._yards()
        best: tuple[float, str, Yard] | None = None
        for kind in sorted({animal.kind for animal in animals}):
            own = [animal for animal in animals if animal.kind == kind]
            if len(own) < WANTED:
                continue
            others = [a for a in animals if FOOD[a.kind] == FOOD[kind] and a.kind != kind]
            herd = np.mean([_place(animal) for animal in own], axis=0)
            for yard in yards:
                front = np.array([*yard.from_gate(2)], np.float64)
                away = float(np.linalg.norm(herd - front))
                to_yard = math.hypot(front[0] - state.xpos, front[1] - state.zpos)
                cost = 2.0 * away + 0.7 * to_yard + float(self._rng.uniform(0, 6))
                line = np.linspace(herd, front, 12)
                for other in others:
                    apart = float(np.linalg.norm(line - _place(other), axis=1).min())
                    cost += max(0.0, 22.0 - apart) * 4
                cost += 1.5 * sum(cell in self._ground.plants for cell in yard.inside())
                if best is None or cost < best[0]:
                    best = cost, kind, yard
        if best is None:
            raise ConfigError(
                "agent: the village has no room for a pen or no two animals of one kind; use another seed"
            )
        return best[1], best[2]

    def _yards(self) -> list[Yard]:
        """Yield level, empty rectangles beside houses, with a gate that can be reached."""
        ground = self._ground
        found: list[Yard] = []
        for size in ((6, 6), (6, 5), (5, 5)):
            for house in self._site["houses"]:
                for low in self._corners(house, size):
                    high = low[0] + size[0], low[1] + size[1]
                    cells = [
                        (x, z)
                        for x in range(low[0] - 1, high[0] + 2)
                        for z in range(low[1] - 1, high[1] + 2)
                    ]
                    heights = {ground.height(cell) for cell in cells}
                    if len(heights) > 1 or 0 in heights or any(c in ground.built for c in cells):
                        continue
                    found += self._gates(low, high, heights.pop())
            if found:
                break
        return found

    def _corners(self, house: Mapping[str, Any], size: Cell) -> Iterator[Cell]:
        """Yield the low corners of the rectangles of a size beside a house."""
        x0, z0 = int(house["min"][0]), int(house["min"][2])
        x1, z1 = int(house["max"][0]), int(house["max"][2])
        for gap in (2, 3):
            for along in range(-2, 4):
                yield x0 + along, z1 + gap
                yield x0 + along, z0 - gap - size[1]
                yield x1 + gap, z0 + along
                yield x0 - gap - size[0], z0 + along

    def _gates(self, low: Cell, high: Cell, level: int) -> Iterator[Yard]:
        """Yield the yard with its gate in the middle of each side that is free in front."""
        middle = (low[0] + high[0]) // 2, (low[1] + high[1]) // 2
        for gate, out in (
            ((middle[0], low[1]), (0, -1)),
            ((middle[0], high[1]), (0, 1)),
            ((low[0], middle[1]), (-1, 0)),
            ((high[0], middle[1]), (1, 0)),
        ):
            yard = Yard(low, high, gate, out)
            front = [
                (x + side * out[1], z + side * out[0])
                for x, z in (yard.from_gate(k) for k in (1, 2, 3))
                for side in (-1, 0, 1)
            ]
            if all(abs(self._ground.height(cell) - level) <= 1 for cell in front):
                yield yard

    @staticmethod
    def _is_stocked(state: Telemetry) -> bool:
        facts = state.facts
        return int(facts["pen_most_of_a_kind"]) >= WANTED and facts["pen_kinds"] == 1

    # ---- building ----

    def _build(self, state: Telemetry, yard: Yard) -> Routine:
        """Clear the yard of plants, fence it in, place the gate."""
        around = [*yard.inside(), *yard.fence(), yard.gate]
        state = yield from self._hold(state, FENCE)
        for cell in sorted(self._ground.plants.intersection(around)):
            state = yield from self._come_to_reach(state, yard, cell)
            state = yield from self._pluck(state, cell)
        for cell in yard.fence():
            state = yield from self._come_to_reach(state, yard, cell)
            state = yield from self._put(state, cell)
        state = yield from self._hold(state, GATE)
        state = yield from self._walk(state, yard.from_gate(-2), close=0.35)
        return (yield from self._put(state, yard.gate))

    def _come_to_reach(self, state: Telemetry, yard: Yard, cell: Cell) -> Routine:
        """Go to a place inside the yard from which the cell can be reached, outside the cell."""

        def away(place: Cell, x: float, z: float) -> float:
            return math.hypot(place[0] - x, place[1] - z)

        here = state.xpos, state.zpos
        # A click that hits a fence on its way would put the next one beside that.
        if 1.2 < away(cell, *here) < REACH and self._ground.is_clear(*here, cell):
            return state
        inside = [place for place in yard.inside() if 1.5 < away(place, *cell) < REACH - 0.3]
        free = [place for place in inside if self._ground.is_clear(*place, cell)]
        goal = min(free or inside, key=lambda place: away(place, *here))
        return (yield from self._walk(state, goal, close=0.4))

    def _put(self, state: Telemetry, cell: Cell) -> Routine:
        """Put the item in the hand on the ground of a cell."""
        height = self._ground.height(cell)
        snow = 0.2 if self._site["style"] == "snowy" else 0.0
        for k in range(6):
            side = 0.12 * k * (-1) ** k
            point = [cell[0] + side, height - 0.5 + snow, cell[1] + side]
            before = int(state.facts["nodes_placed"])
            state = yield from self._wait_for_animals(state, cell)
            state = yield from self._aim(state, point)
            state = yield from self._click(state)
            if int(state.facts["nodes_placed"]) > before:
                self._ground.bar(cell)
                break
        return state

    def _pluck(self, state: Telemetry, cell: Cell) -> Routine:
        """Dig the plant in a cell, when no creature is in the way."""
        point = [cell[0], self._ground.height(cell) - 0.3, cell[1]]
        for _ in range(3):
            before = int(state.facts["dug_nodes"])
            state = yield from self._aim(state, point)
            for _ in range(60):
                if not self._anybody_near(state, point):
                    break
                state = yield null_action()
            for _ in range(24):
                if self._anybody_near(state, point) or int(state.facts["dug_nodes"]) > before:
                    break
                state = yield null_action() | {"attack": 1}
            for _ in range(3):
                state = yield null_action()
            if int(state.facts["dug_nodes"]) > before:
                self._ground.plants.discard(cell)
                break
        return state

    @staticmethod
    def _anybody_near(state: Telemetry, point: list[float]) -> bool:
        """Return whether a hit could strike an animal or a villager."""
        middle = (np.array([state.xpos, state.zpos]) + np.array([point[0], point[2]])) / 2
        everybody = (state.animals or ()) + (state.villagers or ())
        return any(np.linalg.norm(_place(one) - middle) < 2.6 for one in everybody)

    def _open(self, state: Telemetry, yard: Yard) -> Routine:
        if state.facts["pen_gate_closed"]:
            state = yield from self._work_gate(state, yard)
        self._ground.free(yard.gate)
        return state

    def _close(self, state: Telemetry, yard: Yard) -> Routine:
        if state.facts["pen_gate"] and not state.facts["pen_gate_closed"]:
            state = yield from self._work_gate(state, yard)
        self._ground.bar(yard.gate)
        return state

    def _work_gate(self, state: Telemetry, yard: Yard) -> Routine:
        x, z = yard.gate
        self._ground.free(yard.gate)
        height = self._ground.height(yard.gate)
        for k in range(8):
            state = yield from self._wait_for_animals(state, yard.gate)
            closed = state.facts["pen_gate_closed"]
            point = [x, height + 0.1 * (k % 3), z]
            state = yield from self._aim(state, point)
            state = yield from self._click(state)
            if state.facts["pen_gate_closed"] != closed:
                break
        return state

    def _wait_for_animals(self, state: Telemetry, cell: Cell) -> Routine:
        """Wait while a click at a cell would hit an animal."""
        for _ in range(80):
            if self._is_free_of_animals(state, cell):
                break
            state = yield null_action()
        return state

    @staticmethod
    def _is_free_of_animals(state: Telemetry, cell: Cell) -> bool:
        """Return whether no animal is in a cell or between it and the player."""
        line = np.linspace(np.array(cell, np.float64), [state.xpos, state.zpos], 6)
        return not any(
            np.linalg.norm(line - _place(animal), axis=1).min() < 0.9
            for animal in state.animals or ()
        )

    # ---- luring ----

    def _lure(self, state: Telemetry, yard: Yard, kind: str) -> Routine:
        """Fetch two animals and lead them to the far end of the pen."""
        far = yard.from_gate(-(len(self._depth(yard)) - 1))
        for _ in range(5):
            state = yield from self._fetch(state, kind)
            state = yield from self._lead(state, yard.from_gate(3), kind)
            state = yield from self._lead(state, far, kind)
            for _ in range(160):
                if self._is_stocked(state):
                    return state
                if len(self._followers(state, kind)) < WANTED:
                    break
                state = yield null_action() | {"camera": self._watch(state, kind)}
        return state

    @staticmethod
    def _depth(yard: Yard) -> range:
        """Return the number of every cell from the gate to the fence behind it."""
        along = 0 if yard.out[0] else 1
        return range(yard.high[along] - yard.low[along])

    def _fetch(self, state: Telemetry, kind: str) -> Routine:
        """Go to the nearest animals until two follow."""
        for _ in range(40):
            followers = self._followers(state, kind)
            if len(followers) >= WANTED:
                return state
            herd = sorted(self._herd(state, kind), key=lambda animal: self._away(state, animal))
            if len(herd) < WANTED:
                return state
            animal = herd[len(followers)]
            goal = self._ground.nearest(*_place(animal))
            way = self._ground.way(self._cell(state), goal)
            if way is None or len(way) < 2:
                state = yield null_action() | {"camera": self._watch(state, kind)}
                continue
            walk = PathWalk(way, self._gaze, self._rng, close=2.2)
            for _ in range(30):
                if walk.arrived(state) or self._away(state, animal) < 2.5:
                    break
                action = walk.act(state)
                if self._away(state, animal) < 12:
                    action |= {"sprint": 0}
                    if state.hotbar != FOOD[kind] - 1:
                        action |= {f"hotbar.{FOOD[kind]}": 1}
                state = yield action
            for _ in range(8):
                state = yield null_action() | {"camera": self._watch(state, kind)}
        return state

    def _lead(self, state: Telemetry, goal: Cell, kind: str) -> Routine:
        """Walk to a place, and wait for the animals that follow when they fall behind."""
        way = self._ground.way(self._cell(state), goal)
        if way is None:
            return state
        walk = PathWalk(way, self._gaze, self._rng, close=0.6)
        waited = 0
        while not walk.arrived(state):
            near = self._followers(state, kind, FOLLOWS)
            if len(near) >= WANTED:
                waited = 0
                for _ in range(6):
                    if walk.arrived(state):
                        return state
                    state = yield walk.act(state) | {"sprint": 0}
                continue
            waited += 1
            if waited > 90:
                return state
            state = yield null_action() | {"camera": self._watch(state, kind)}
        return state

    def _herd(self, state: Telemetry, kind: str) -> list[Creature]:
        return [animal for animal in state.animals or () if animal.kind == kind]

    def _followers(self, state: Telemetry, kind: str, within: float = 4.0) -> list[Creature]:
        herd = self._herd(state, kind)
        return [animal for animal in herd if self._away(state, animal) < within]

    @staticmethod
    def _away(state: Telemetry, animal: Creature) -> float:
        x, _, z = animal.position
        return math.hypot(x - state.xpos, z - state.zpos)

    def _watch(self, state: Telemetry, kind: str) -> np.ndarray:
        """Turn to the second nearest animal of a kind, which is the one to wait for."""
        herd = sorted(self._herd(state, kind), key=lambda animal: self._away(state, animal))
        animal = herd[min(1, len(herd) - 1)]
        return self._gaze.at(state, np.add(animal.position, [0.0, 0.6, 0.0]), start=12.0)

    def _show(self, state: Telemetry, yard: Yard) -> Routine:
        """Step back and look at the pen."""
        goal = yard.from_gate(4)
        if self._ground.height(goal):
            state = yield from self._walk(state, goal)
        x, z = (yard.low[0] + yard.high[0]) / 2, (yard.low[1] + yard.high[1]) / 2
        state = yield from self._aim(state, [x, state.ypos + 0.3, z], near=4.0)
        for _ in range(int(self._rng.integers(30, 50))):
            state = yield null_action()
        return state

    # ---- the body ----

    def _cell(self, state: Telemetry) -> Cell:
        cell = round(state.xpos), round(state.zpos)
        return cell if self._ground.height(cell) else self._ground.nearest(*cell)

    def _walk(self, state: Telemetry, goal: Cell, close: float = 0.7) -> Routine:
        way = self._ground.way(self._cell(state), goal)
        if way is None or len(way) < 2:
            return state
        walk = PathWalk(way, self._gaze, self._rng, close=close)
        for _ in range(1200):
            if walk.arrived(state):
                break
            state = yield walk.act(state)
        for _ in range(3):
            state = yield null_action()
        return state

    def _hold(self, state: Telemetry, slot: int) -> Routine:
        for _ in range(4):
            if state.hotbar == slot - 1:
                break
            state = yield null_action() | {f"hotbar.{slot}": 1}
            state = yield null_action()
        return state

    def _aim(self, state: Telemetry, point: list[float], near: float = AIM) -> Routine:
        for _ in range(60):
            yaw, pitch = direction(state, point)
            if max(abs(wrap(yaw - state.yaw)), abs(pitch - state.pitch)) < near:
                break
            state = yield null_action() | {"camera": self._gaze.at(state, point, start=near / 2)}
        return state

    @staticmethod
    def _click(state: Telemetry) -> Routine:
        for pressed in (1, 1, 0, 0, 0):
            state = yield null_action() | {"use": pressed}
        return state


SCRIPT = PenBuilder
