"""CreateVillageAnimalPen: fences in a yard beside a house, lures two animals into it, closes the gate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.demonstrator.blocks import Block, Want
from agents.demonstrator.body import Body, Routine
from agents.demonstrator.building import Builder
from agents.demonstrator.village import Cell, Ground
from agents.demonstrator.yards import Yard, cells, find_yards
from basalt.core.telemetry import Creature
from basalt.io.errors import ConfigError

FENCE, GATE = "oak_fence", "oak_fence_gate"
FOOD = {"pig": "carrot", "chicken": "wheat_seeds", "cow": "wheat", "sheep": "wheat"}

WANTED = 2
"""Animals of one kind in the pen."""

FOLLOWS, STAYS = 4.0, 5.5
"""Distance up to which an animal begins to follow, and up to which it keeps following, in nodes."""


def play(body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play one episode.

    Args:
        body: The player.
        site: Site of the village: `houses`, `ground`, `blocks`.
    """
    yield from body.look_around(int(body.rng.integers(24, 44)), 50.0)
    ground = Ground(site)
    choice = choose(body, ground, find_yards(site, ground), body.state.animals or ())
    if choice is None:
        raise ConfigError(
            "agent: the village has no room for a pen or no two animals of one kind; use another seed"
        )
    yield from make_pen(body, ground, *choice)


def make_pen(body: Body, ground: Ground, kind: str, yard: Yard) -> Routine[None]:
    """Fence a yard in, lure two animals into it, close the gate and look at it.

    Args:
        body: The player.
        ground: Ground of the village.
        kind: Kind of the animals.
        yard: Place of the pen.
    """
    pen = Pen(body, ground, yard, kind)
    yield from pen.build()
    for _ in range(6):
        if not pen.is_stocked():
            yield from pen.set_gate(closed=False)
            yield from pen.lure()
        yield from body.hold(FENCE)
        yield from pen.walk_to(yard.from_gate(2), close=0.4)
        yield from pen.set_gate(closed=True)
        if pen.is_stocked() and body.state.facts["pen_gate_closed"]:
            break
    yield from pen.show()


def choose(
    body: Body, ground: Ground, yards: Sequence[Yard], animals: Sequence[Creature]
) -> tuple[str, Yard] | None:
    """Return the kind of animal and the yard that need the shortest walk; None without a yard or two of a kind.

    Other animals that eat the same food should not be near the way, or they would follow too.

    Args:
        body: The player.
        ground: Ground of the village.
        yards: Yards to choose from.
        animals: Animals that are known.
    """
    found: list[tuple[float, str, Yard]] = []
    for kind in sorted({animal.kind for animal in animals}):
        own = [_place(animal) for animal in animals if animal.kind == kind]
        others = [_place(a) for a in animals if a.kind != kind and FOOD[a.kind] == FOOD[kind]]
        if len(own) < WANTED:
            continue
        herd = np.mean(own, axis=0)
        for yard in yards:
            front = np.array(yard.from_gate(2), np.float64)
            line = np.linspace(herd, front, 12)
            apart = [float(np.linalg.norm(line - other, axis=1).min()) for other in others]
            cost = 2.0 * float(np.linalg.norm(herd - front)) + float(body.rng.uniform(0, 6))
            cost += 0.7 * float(np.linalg.norm(front - body.position[[0, 2]]))
            cost += sum(4 * max(0.0, 22.0 - nodes) for nodes in apart)
            cost += 1.5 * sum(cell in ground.plants for cell in yard.inside())
            found.append((cost, kind, yard))
    if not found:
        return None
    _, kind, yard = min(found, key=lambda choice: choice[0])
    return kind, yard


class Pen:
    """A pen for two animals.

    Args:
        body: The player.
        ground: Ground of the village.
        yard: Place of the pen.
        kind: Kind of the animals.
    """

    def __init__(self, body: Body, ground: Ground, yard: Yard, kind: str) -> None:
        self._body = body
        self._ground = ground
        self._yard = yard
        self._kind = kind

    def is_stocked(self) -> bool:
        """Return whether the wanted animals are in the pen, and no others."""
        facts = self._body.state.facts
        return int(facts["pen_most_of_a_kind"]) >= WANTED and facts["pen_kinds"] == 1

    # ---- building ----

    def build(self) -> Routine[None]:
        """Clear the yard of plants, fence it in, put the gate from the inside."""
        ground, yard = self._ground, self._yard
        builder = Builder(self._body, ground.level_place(yard.low, yard.high))
        yield from self.walk_to(yard.from_gate(-2))
        yield from self._body.hold(FENCE)
        for cell in sorted(ground.plants.intersection(cells(yard.low, yard.high))):
            yield from builder.dig(ground.feet(cell))
        fence = [Want(ground.feet(cell), Block("fence"), FENCE) for cell in yard.fence()]
        yield from builder.build(fence)
        inside = [ground.feet(yard.from_gate(-nodes)) for nodes in (2, 3)]
        gate = Want(ground.feet(yard.gate), Block("fence"), GATE, lambda at, hit: at in inside)
        yield from builder.build([gate])
        for cell in yard.fence():
            ground.bar(cell)

    def set_gate(self, *, closed: bool) -> Routine[None]:
        """Open or close the gate."""
        body, (x, z) = self._body, self._yard.gate
        self._ground.free(self._yard.gate)
        height = self._ground.height(self._yard.gate)
        for k in range(8):
            if body.state.facts["pen_gate_closed"] == closed or not body.state.facts["pen_gate"]:
                break
            point = [x, height + 0.1 * (k % 3), z]
            yield from body.look_at(point, near=1.0)
            yield from body.wait_for_creatures(point)
            yield from body.click()
        if closed:
            self._ground.bar(self._yard.gate)

    # ---- luring ----

    def lure(self) -> Routine[None]:
        """Fetch two animals and lead them to the far end of the pen."""
        for _ in range(5):
            yield from self._fetch()
            yield from self._lead(self._yard.from_gate(3))
            yield from self._lead(self._yard.far_end())
            for _ in range(160):
                if self.is_stocked():
                    return
                if len(self._near(FOLLOWS)) < WANTED:
                    break
                yield from self._watch()

    def _fetch(self) -> Routine[None]:
        """Go to the nearest animals until two follow."""
        body, food = self._body, FOOD[self._kind]
        for _ in range(40):
            herd, followers = body.animals(self._kind), self._near(FOLLOWS)
            if len(followers) >= WANTED or len(herd) < WANTED:
                return
            target = herd[len(followers)].position
            way = self._ground.way(body.position[[0, 2]], self._ground.nearest(*target[::2]))
            for _, action in zip(range(30), body.walk(way, close=2.2), strict=False):
                if body.away(target) < 12:
                    action["sprint"] = 0
                    slot = body.slot_of(food)
                    if body.state.held != food and slot is not None:
                        action[f"hotbar.{slot + 1}"] = 1
                yield action
                if body.away(target) < 2.5:
                    break
            yield from self._watch(8)

    def _lead(self, goal: Cell) -> Routine[None]:
        """Walk to a place, and wait for the animals that follow when they fall behind."""
        way = self._ground.way(self._body.position[[0, 2]], goal)
        for step, action in enumerate(self._body.walk(way, close=0.6)):
            yield action | {"sprint": 0}
            if step % 6 == 5:
                for _ in range(90):
                    if len(self._near(STAYS)) >= WANTED:
                        break
                    yield from self._watch()
                else:
                    return

    def _near(self, within: float) -> list[Creature]:
        herd = self._body.animals(self._kind)
        return [animal for animal in herd if self._body.away(animal.position) < within]

    def _watch(self, steps: int = 1) -> Routine[None]:
        """Look at the second nearest animal of the kind, which is the one to wait for."""
        for _ in range(steps):
            animal = self._body.animals(self._kind)[:WANTED][-1]
            yield from self._body.watch(np.add(animal.position, [0.0, 0.6, 0.0]), start=12.0)

    # ---- walking ----

    def walk_to(self, cell: Cell, close: float = 0.7) -> Routine[None]:
        """Walk to a cell, if a way leads there, and come to rest."""
        yield from self._body.walk(self._ground.way(self._body.position[[0, 2]], cell), close)
        yield from self._body.do(3)

    def show(self) -> Routine[None]:
        """Step back and look at the pen."""
        body, yard = self._body, self._yard
        if self._ground.height(yard.from_gate(4)):
            yield from self.walk_to(yard.from_gate(4))
        x, z = np.add(yard.low, yard.high) / 2
        yield from body.look_at([x, body.state.ypos + 0.3, z], near=4.0)
        yield from body.do(int(body.rng.integers(30, 50)))


def _place(animal: Creature) -> np.ndarray:
    """Return the horizontal position of an animal: [x, z]."""
    return np.array(animal.position, np.float64)[[0, 2]]
