"""BuildVillageHouse: walks to a free plot, crafts what it needs, builds a hut, shows it, ends the episode."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from agents.demonstrator.blocks import Block, Node, Place, Point, Want
from agents.demonstrator.body import Body, Routine
from agents.demonstrator.hands import Hands
from agents.demonstrator.huts import DEPTH, STYLES, WIDTH, Frame, Hut
from agents.demonstrator.motion import LookAround
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry
from basalt.worlds.luanti.screens import carried_slot, result_slot

STAIR_PATTERN = ((0, 2), (1, 2), (2, 2), (0, 1), (1, 1), (0, 0))
DOOR_PATTERN = ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2))
SLAB_PATTERN = ((0, 2), (1, 2), (2, 2))
SQUARE_PATTERN = ((0, 0), (1, 0), (0, 1), (1, 1))
STAIR_BATCHES = 8
"""Of 64 items, at least 8 are in each of the six slots of the pattern: 32 stairs."""

STORE = 30
"""First slot that is empty at the start."""

WALL_SLOT, TABLE_SLOT = 7, 8


class HouseBuilding:
    """One episode of BuildVillageHouse.

    Args:
        site: Site of the village: `style`, `street`, `plots`, `spawn`.
        rng: Source of small irregularities.
    """

    clicks_in_screens = True

    def __init__(self, site: Mapping[str, Any], rng: np.random.Generator) -> None:
        self._site = site
        self._rng = rng
        plot = nearest_plot(site)
        self._frame = frame_of(plot)
        self._materials = STYLES[site["style"]]
        self._hut = Hut(self._frame, self._materials)
        shut = frozenset(want.target for want in self._hut.windows())
        self._body = Body(Place(levelled(plot), shut=shut), rng)
        self._hands = Hands(self._body)
        self._missing: list[Want] = []
        self._script = self._play()

    def act(self, state: Telemetry) -> dict[str, Any]:
        """Return the next action."""
        self._body.state = state
        return next(self._script)

    def _play(self) -> Iterator[dict[str, Any]]:
        body = self._body
        look = LookAround(body.gaze, self._rng, int(self._rng.integers(16, 28)), 40.0)
        while not look.done:
            yield look.act(body.state)
        yield from self._walk_to_the_plot()
        yield from self._make_things()
        yield from self._build_house()
        yield from self._show()
        while True:
            yield null_action() | {"ESC": 1}

    # ---- walking ----

    def _walk_to_the_plot(self) -> Routine[None]:
        goal = self._frame.at(2, 1, -4)
        for point in way_along_street(self._site["street"], self._site["spawn"], goal):
            yield from self._stroll_to(point)

    def _stroll_to(self, goal: Sequence[float]) -> Routine[None]:
        """Walk straight to a place over unknown ground, jumping where it rises."""
        body, best, since = self._body, math.inf, 0
        for _ in range(400):
            state = body.state
            east, north = goal[0] - state.xpos, goal[2] - state.zpos
            away = math.hypot(east, north)
            if away < 1.0:
                return
            best, since = (away, 0) if away < best - 0.05 else (best, since + 1)
            bearing = math.degrees(math.atan2(east, north))
            action = null_action()
            action["camera"] = body.gaze.towards(state, bearing, 8.0)
            off = abs((bearing - state.yaw + 180) % 360 - 180)
            if off < 60:
                action["forward"] = 1
                action["sprint"] = int(off < 15 and away > 4)
                action["jump"] = int(since > 3 and since % 6 < 3)
                if since > 40:
                    action["left" if since // 20 % 2 else "right"] = 1
            yield action

    # ---- crafting ----

    def _make_things(self) -> Routine[None]:
        hands, m = self._hands, self._materials
        yield from hands.open()
        for full, to in ((0, 33), (1, 32), (7, 34), (8, 35)):
            yield from hands.move(full, to)
        if m.roof == m.planks:
            # 64 for the roof's stairs, and 4 for the table, which are taken from the fullest slot.
            yield from hands.make_of_half(m.logs, 17, STORE)
        if m.wall == m.planks:
            yield from hands.make_of_half(m.logs, 11, WALL_SLOT)
        else:
            yield from hands.make_of_half(m.logs, 3, WALL_SLOT)
        if m.post == "cut_sandstone":
            yield from hands.make([(cell, "sandstone") for cell in SQUARE_PATTERN], 3)
        yield from hands.make([(cell, m.planks) for cell in SQUARE_PATTERN], 1, TABLE_SLOT)
        yield from hands.close()

        at = self._frame.at(5, 1, -3)
        left = yield from self._body.build([Want(at, Block(), "crafting_table")], hands.hold)
        if left:
            return
        yield from self._use(at)
        slot = hands.slot_of(m.roof)
        assert slot is not None
        yield from hands.share_out(slot, STAIR_PATTERN, table=True)
        yield from hands.click(result_slot(table=True), times=STAIR_BATCHES)
        yield from hands.click(carried_slot(0))
        yield from hands.close()
        yield from self._use(at)
        yield from hands.make([(cell, m.planks) for cell in DOOR_PATTERN], 1, table=True)
        yield from hands.make([(cell, m.roof) for cell in SLAB_PATTERN], 1, table=True)
        yield from hands.close()
        yield from self._body.dig(at)
        yield from self._arrange()

    def _use(self, at: Node) -> Routine[None]:
        """Right-click on a block, and wait for its screen."""
        for _ in range(3):
            yield from self._body.look_at(at, near=2.0)
            yield from self._body.do(use=1)
            if (yield from self._hands.opened()):
                return

    def _arrange(self) -> Routine[None]:
        """Put the needed items into the hotbar."""
        hands, m = self._hands, self._materials
        wanted = [m.stair, m.door, m.base, m.post, "glass_pane", "torch", "dirt", m.wall, m.slab]
        wrong = [
            (k, name) for k, name in enumerate(wanted) if hands.slots().get(k, ("",))[0] != name
        ]
        if not wrong:
            return
        yield from hands.open()
        for k, name in wrong:
            there = hands.slot_of(name)
            if there is not None and there != k:
                yield from hands.move(there, k)
        yield from hands.close()

    # ---- building ----

    def _build_house(self) -> Routine[None]:
        hut, at = self._hut, self._frame.at
        yield from self._put(hut.row(1))
        yield from self._put(hut.row(2))
        left_steps = [at(-3, 1, 2), at(-2, 1, 2), at(-2, 2, 2)]
        right_steps = [at(WIDTH + 2, 1, 2), at(WIDTH + 1, 1, 2), at(WIDTH + 1, 2, 2)]
        yield from self._put_steps(left_steps)
        yield from self._put_steps(right_steps)
        yield from self._put(hut.row(3))
        yield from self._put(hut.slopes(-1))
        yield from self._put(hut.slopes(0) + hut.gables())
        yield from self._put(hut.slopes(1))
        yield from self._put(hut.ridge())
        yield from self._put(hut.cap())
        yield from self._come_down()
        yield from self._take_away(left_steps, right_steps)
        yield from self._put(hut.windows())
        yield from self._put([hut.door()])
        yield from self._put(hut.torches())

    def _put(self, wants: list[Want]) -> Routine[None]:
        """Put blocks, and those that could not be put before."""
        self._missing = yield from self._body.build(self._missing + wants, self._hands.hold)

    def _put_steps(self, steps: list[Node]) -> Routine[None]:
        for step in steps:
            yield from self._put([Want(step, Block(), "dirt")])

    def _take_away(self, *stairways: list[Node]) -> Routine[None]:
        """Dig the steps away, the nearest stairway first, each from its top."""
        x, _, z = self._body.feet
        for steps in sorted(
            stairways, key=lambda steps: math.hypot(steps[0][0] - x, steps[0][2] - z)
        ):
            for step in reversed(steps):
                yield from self._body.dig(step)

    def _come_down(self) -> Routine[None]:
        ground = self._frame.at(0, 1, 0)[1]
        for stand, _, way in self._body.place.ways(self._body.feet):
            if stand[1] == ground and not self._inside(stand):
                yield from self._body.go(way)
                return

    def _inside(self, node: Node) -> bool:
        inner = {self._frame.at(a, 1, b)[::2] for a in range(WIDTH) for b in range(DEPTH)}
        return node[::2] in inner

    # ---- showing ----

    def _show(self) -> Routine[None]:
        """Walk around the house and look at it slowly from the front and from each corner."""
        body, at = self._body, self._frame.at
        middle = at(WIDTH // 2, 3, DEPTH // 2)
        corners = [(2, -4), (-4, -4), (-4, DEPTH + 3), (WIDTH + 3, DEPTH + 3), (WIDTH + 3, -4)]
        for a, b in corners:
            goal = at(a, 1, b)
            for stand, _, way in body.place.ways(body.feet, farthest=60.0):
                if stand == goal:
                    yield from body.go(way)
                    break
            yield from body.look_at(middle, near=2.0)
            yield from self._sweep(middle)

    def _sweep(self, middle: Node) -> Routine[None]:
        """Move the view over walls and roof."""
        body = self._body
        for up, steps in ((-1, 8), (2, 12), (0, 8)):
            point: Point = (middle[0], middle[1] + up, middle[2])
            for _ in range(steps):
                yield null_action() | {"camera": body.gaze.at(body.state, point, start=2.0)}


def nearest_plot(site: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the free plot that is nearest to the player's start."""
    x, _, z = site["spawn"]

    def away(plot: Mapping[str, Any]) -> float:
        (ax, _, az), (bx, _, bz) = plot["min"], plot["max"]
        return math.hypot((ax + bx) / 2 - x, (az + bz) / 2 - z)

    return min(site["plots"], key=away)


def frame_of(plot: Mapping[str, Any]) -> Frame:
    """Return the place of the hut on a plot: in its middle, with the front to the street."""
    (ax, y, az), (bx, _, bz) = plot["min"], plot["max"]
    x, z = round((ax + bx) / 2), round((az + bz) / 2)
    into = -round(plot["facing"][0]), 0, -round(plot["facing"][2])
    middle = Frame((x, round(y) - 1, z), into)
    return Frame(middle.at(-(WIDTH // 2), 0, -(DEPTH // 2)), into)


def levelled(plot: Mapping[str, Any]) -> Any:
    """Return the plot's ground, which is level to one node beyond its edges."""
    (ax, y, az), (bx, _, bz) = plot["min"], plot["max"]

    def ground(x: int, z: int) -> int | None:
        inside = ax - 1 <= x <= bx + 1 and az - 1 <= z <= bz + 1
        return round(y) - 1 if inside else None

    return ground


def way_along_street(
    street: Sequence[Sequence[float]], start: Sequence[float], goal: Sequence[float]
) -> list[Sequence[float]]:
    """Return the points of the street from the one nearest to the start to the one nearest to the goal, and the goal."""

    def nearest(to: Sequence[float]) -> int:
        away = [math.hypot(point[0] - to[0], point[2] - to[2]) for point in street]
        return away.index(min(away))

    first, last = nearest(start), nearest(goal)
    step = 1 if last >= first else -1
    return [*(street[k] for k in range(first, last + step, step)), goal]


SCRIPT = HouseBuilding
