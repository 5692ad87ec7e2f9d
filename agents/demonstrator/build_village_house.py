"""BuildVillageHouse: walks to a free plot, crafts what it needs, builds a hut, shows it, ends the episode."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agents.demonstrator.blocks import Block, Node, Place, Want, add, level_ground
from agents.demonstrator.body import Body, Routine
from agents.demonstrator.building import Builder
from agents.demonstrator.hands import Hands
from agents.demonstrator.huts import DEPTH, STYLES, WIDTH, Frame, Hut, Materials
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


def play(body: Body, site: Mapping[str, Any]) -> Routine[None]:
    """Play one episode.

    Args:
        body: The player.
        site: Site of the village: `style`, `plots`, `spawn`, `street`.
    """
    plot = nearest_plot(site)
    building = HouseBuilding(body, plot, STYLES[site["style"]])
    yield from body.look_around(int(body.rng.integers(16, 28)), 40.0)
    for point in way_along_street(site["street"], site["spawn"], building.front):
        yield from body.stroll(point)
    yield from building.finish()


class HouseBuilding:
    """A house on a plot.

    Args:
        body: The player.
        plot: Plot of the house.
        materials: Materials of the house.
    """

    def __init__(self, body: Body, plot: Mapping[str, Any], materials: Materials) -> None:
        self._body = body
        self._frame = frame_of(plot)
        self._materials = materials
        self._hut = Hut(self._frame, materials)
        self._hands = Hands(body)
        (ax, y, az), (bx, _, bz) = ((round(part) for part in plot[end]) for end in ("min", "max"))
        shut = frozenset(want.target for want in self._hut.windows())
        place = Place(level_ground((ax, az), (bx, bz), y - 1), shut=shut)
        self._builder = Builder(body, place, self._hands.hold)
        self._missing: list[Want] = []
        self.front = self._frame.at(2, 1, -4)

    def finish(self) -> Routine[None]:
        """Build the house from the first block to the last look at it; the player is in front of the plot."""
        yield from self.make_things()
        yield from self.build()
        yield from self.show()

    # ---- crafting ----

    def make_things(self) -> Routine[None]:
        """Craft what the house needs, and arrange it in the hotbar."""
        hands, m = self._hands, self._materials
        yield from hands.open()
        for full, to in ((0, 33), (1, 32), (7, 34), (8, 35)):
            yield from hands.move(full, to)
        if m.roof == m.planks:
            # 64 for the roof's stairs, and 4 for the table, which are taken from the fullest slot.
            yield from hands.make_of_half(m.logs, 17, STORE)
        yield from hands.make_of_half(m.logs, 11 if m.wall == m.planks else 3, WALL_SLOT)
        if m.post == "cut_sandstone":
            yield from hands.make([(cell, "sandstone") for cell in SQUARE_PATTERN], 3)
        yield from hands.make([(cell, m.planks) for cell in SQUARE_PATTERN], 1, TABLE_SLOT)
        yield from hands.close()

        at = self._frame.at(5, 1, -3)
        if (yield from self._builder.build([Want(at, Block(), "crafting_table")])):
            return
        yield from self._use(at)
        slot = self._body.slot_of(m.roof)
        assert slot is not None
        yield from hands.share_out(slot, STAIR_PATTERN, table=True)
        yield from hands.click(result_slot(table=True), times=STAIR_BATCHES)
        yield from hands.click(carried_slot(0))
        yield from hands.close()
        yield from self._use(at)
        yield from hands.make([(cell, m.planks) for cell in DOOR_PATTERN], 1, table=True)
        yield from hands.make([(cell, m.roof) for cell in SLAB_PATTERN], 1, table=True)
        yield from hands.close()
        yield from self._builder.dig(at)
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
        slots = self._body.slots()
        wrong = {k: name for k, name in enumerate(wanted) if slots.get(k, ("",))[0] != name}
        if not wrong:
            return
        yield from hands.open()
        for k, name in wrong.items():
            slot = self._body.slot_of(name)
            if slot is not None and slot != k:
                yield from hands.move(slot, k)
        yield from hands.close()

    # ---- building ----

    def build(self) -> Routine[None]:
        """Build the house, from the ground up; the roof from steps at its sides, which are taken away again."""
        hut, at = self._hut, self._frame.at
        yield from self._put(hut.row(1), hut.row(2))
        left_steps = [at(-3, 1, 2), at(-2, 1, 2), at(-2, 2, 2)]
        right_steps = [at(WIDTH + 2, 1, 2), at(WIDTH + 1, 1, 2), at(WIDTH + 1, 2, 2)]
        yield from self._put(
            *([Want(step, Block(), "dirt")] for step in left_steps + right_steps),
            hut.row(3),
            hut.slopes(-1),
            hut.slopes(0) + hut.gables(),
            hut.slopes(1),
            hut.ridge(),
            hut.cap(),
        )
        yield from self._come_down()
        yield from self._take_away(left_steps, right_steps)
        yield from self._put(hut.windows(), [hut.door()], hut.torches())

    def _put(self, *parts: list[Want]) -> Routine[None]:
        """Put the blocks of each part, with those that could not be put before."""
        for part in parts:
            self._missing = yield from self._builder.build(self._missing + part)

    def _come_down(self) -> Routine[None]:
        """Go to the ground outside the house."""
        at = self._frame.at
        ground = at(0, 1, 0)[1]
        inside = {at(a, 1, b)[::2] for a in range(WIDTH) for b in range(DEPTH)}
        yield from self._builder.go_where(
            lambda stand: stand[1] == ground and stand[::2] not in inside
        )

    def _take_away(self, *stairways: list[Node]) -> Routine[None]:
        """Dig the steps away, the nearest stairway first, each from its top."""
        x, _, z = self._builder.feet
        for steps in sorted(stairways, key=lambda way: math.hypot(way[0][0] - x, way[0][2] - z)):
            for step in reversed(steps):
                yield from self._builder.dig(step)

    # ---- showing ----

    def show(self) -> Routine[None]:
        """Walk around the house and look at it slowly from the front and from each corner."""
        middle = self._frame.at(WIDTH // 2, 3, DEPTH // 2)
        for a, b in (2, -4), (-4, -4), (-4, DEPTH + 3), (WIDTH + 3, DEPTH + 3), (WIDTH + 3, -4):
            yield from self._builder.go_where(self._frame.at(a, 1, b).__eq__, farthest=60.0)
            yield from self._body.look_at(middle, near=2.0)
            for up, steps in ((-1, 8), (2, 12), (0, 8)):
                yield from self._body.watch(add(middle, (0, up, 0)), steps, start=2.0)


def nearest_plot(site: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the free plot that is nearest to the player's start."""
    start = site["spawn"]

    def away(plot: Mapping[str, Any]) -> float:
        x, _, z = middle_of(plot)
        return math.hypot(x - start[0], z - start[2])

    return min(site["plots"], key=away)


def middle_of(plot: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the middle of a plot's ground."""
    (ax, y, az), (bx, _, bz) = plot["min"], plot["max"]
    return (ax + bx) / 2, y, (az + bz) / 2


def frame_of(plot: Mapping[str, Any]) -> Frame:
    """Return the place of the hut on a plot: in its middle, with the front to the street."""
    (ax, y, az), (bx, _, bz) = plot["min"], plot["max"]
    x, z = round((ax + bx) / 2), round((az + bz) / 2)
    into = -round(plot["facing"][0]), 0, -round(plot["facing"][2])
    middle = Frame((x, round(y) - 1, z), into)
    return Frame(middle.at(-(WIDTH // 2), 0, -(DEPTH // 2)), into)


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
