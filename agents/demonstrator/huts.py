"""Plans of small houses in the styles of the villages.

A plan has its own frame: seen from the street `a` runs to the right along it, `up` from the ground (0) upwards, and `b`
from the front wall to the back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.demonstrator.blocks import Block, Hit, Node, Want

WIDTH = DEPTH = 5
HEIGHT = 3
DOOR = 2
FRONT_WINDOWS, BACK_WINDOWS, SIDE_WINDOWS = (1, 3), (2,), (2,)
TORCHES = (0, 4)


@dataclass(frozen=True)
class Materials:
    """Materials of a house of a style, by Minecraft's names.

    Attributes:
        logs: Logs for the planks of door and crafting table.
        planks: Planks from these logs.
        base: Block of the lowest row.
        wall: Block of the rows above it, and of the gables.
        post: Block of the corners.
        roof: Block from which the roof's stairs and slabs are crafted.
        stair: Stairs of the roof.
        slab: Slabs of the roof.
        door: The door.
    """

    logs: str
    planks: str
    base: str
    wall: str
    post: str
    roof: str
    stair: str
    slab: str
    door: str = "oak_door"


STYLES = {
    "plains": Materials(
        logs="oak_log",
        planks="oak_planks",
        base="cobblestone",
        wall="oak_planks",
        post="oak_log",
        roof="oak_planks",
        stair="oak_stairs",
        slab="oak_slab",
    ),
    "desert": Materials(
        logs="oak_log",
        planks="oak_planks",
        base="smooth_sandstone",
        wall="sandstone",
        post="cut_sandstone",
        roof="terracotta",
        stair="stairs:stair_terracotta",
        slab="stairs:slab_terracotta",
    ),
    "snowy": Materials(
        logs="spruce_log",
        planks="spruce_planks",
        base="cobblestone",
        wall="spruce_planks",
        post="spruce_log",
        roof="snow_block",
        stair="stairs:stair_snowblock",
        slab="stairs:slab_snowblock",
    ),
}


class Frame:
    """Maps places of a plan to nodes of the world.

    Args:
        origin: Ground at a = 0, b = 0.
        into: Unit vector away from the street.
    """

    def __init__(self, origin: Node, into: Node) -> None:
        self._origin = origin
        self.into = into
        self.along: Node = (into[2], 0, -into[0])

    def at(self, a: int, up: int, b: int) -> Node:
        """Return the node of a place."""
        x, y, z = self._origin
        return (
            x + a * self.along[0] + b * self.into[0],
            y + up,
            z + a * self.along[2] + b * self.into[2],
        )


class Hut:
    """The blocks of a house, part by part.

    Args:
        frame: Frame of the house.
        materials: Materials of the house.
    """

    def __init__(self, frame: Frame, materials: Materials) -> None:
        self._frame = frame
        self._materials = materials

    def _want(self, a: int, up: int, b: int, thing: str) -> Want:
        return Want(self._frame.at(a, up, b), Block(), thing)

    def _ring(self) -> Iterator[tuple[int, int]]:
        for a in range(WIDTH):
            yield a, 0
        for b in range(1, DEPTH):
            yield WIDTH - 1, b
        for a in range(WIDTH - 2, -1, -1):
            yield a, DEPTH - 1
        for b in range(DEPTH - 2, 0, -1):
            yield 0, b

    def row(self, up: int) -> list[Want]:
        """Return one row of the walls, without windows and door."""
        m = self._materials
        wants = []
        for a, b in self._ring():
            corner = a in (0, WIDTH - 1) and b in (0, DEPTH - 1)
            if (a, b) == (DOOR, 0) and up <= 2:
                continue
            if up == 2 and self._is_window(a, b):
                continue
            if corner and m.post.endswith("_log"):
                wants.append(Want(self._frame.at(a, up, b), Block(), m.post, _upright))
            else:
                thing = m.post if corner else m.base if up == 1 else m.wall
                wants.append(self._want(a, up, b, thing))
        return wants

    @staticmethod
    def _is_window(a: int, b: int) -> bool:
        return (
            (b == 0 and a in FRONT_WINDOWS)
            or (b == DEPTH - 1 and a in BACK_WINDOWS)
            or (a in (0, WIDTH - 1) and b in SIDE_WINDOWS)
        )

    def windows(self) -> list[Want]:
        """Return the panes in the second row."""
        return [
            Want(self._frame.at(a, 2, b), Block("pane"), "glass_pane")
            for a, b in self._ring()
            if self._is_window(a, b)
        ]

    def door(self) -> Want:
        """Return the door, which is put from the street."""
        target = self._frame.at(DOOR, 1, 0)
        into = self._frame.into

        def fits(stand: Node, hit: Hit) -> bool:
            deep, aside = _along(stand, target, into), _across(stand, target, into)
            return hit.side[1] == 1 and deep >= 2 and aside <= 1

        return Want(target, Block("door"), self._materials.door, fits)

    def slopes(self, k: int) -> list[Want]:
        """Return a row of stairs on both sides of the roof: -1 outside the wall, 0 over it, 1 above that."""
        return self._stairs(k, left=True) + self._stairs(k, left=False)

    def _stairs(self, k: int, *, left: bool) -> list[Want]:
        frame = self._frame
        a = k if left else WIDTH - 1 - k
        x, _, z = frame.along
        rises: Node = (x, 0, z) if left else (-x, 0, -z)
        return [
            Want(
                target := frame.at(a, HEIGHT + k + 1, b),
                Block("stair", rises),
                self._materials.stair,
                _facing(target, rises),
            )
            for b in range(DEPTH)
        ]

    def gables(self) -> list[Want]:
        """Return the walls under the roof."""
        return [
            self._want(a, HEIGHT + 1, b, self._materials.wall)
            for b in (0, DEPTH - 1)
            for a in range(1, WIDTH - 1)
        ]

    def ridge(self) -> list[Want]:
        """Return the beam between the two slopes."""
        half = WIDTH // 2
        return [self._want(half, HEIGHT + half, b, self._materials.wall) for b in range(DEPTH)]

    def cap(self) -> list[Want]:
        """Return the slabs on the ridge."""
        half = WIDTH // 2
        return [
            Want(self._frame.at(half, HEIGHT + half + 1, b), Block("slab"), self._materials.slab)
            for b in range(DEPTH)
        ]

    def torches(self) -> list[Want]:
        """Return the torches on the front's corner posts."""
        into = self._frame.into
        out: Node = (-into[0], 0, -into[2])
        return [
            Want(
                self._frame.at(a, 2, -1),
                Block("torch"),
                "torch",
                lambda stand, hit: hit.side == out,
            )
            for a in TORCHES
        ]


def _along(stand: Node, target: Node, way: Node) -> int:
    return (target[0] - stand[0]) * way[0] + (target[2] - stand[2]) * way[2]


def _across(stand: Node, target: Node, way: Node) -> int:
    return abs((target[0] - stand[0]) * way[2]) + abs((target[2] - stand[2]) * way[0])


def _upright(stand: Node, hit: Hit) -> bool:
    """Return whether a log stays upright: one that is put against a side is horizontal."""
    return hit.side[1] == 1


def _facing(target: Node, rises: Node) -> Callable[[Node, Hit], bool]:
    """Return whether the player is on the low side of the stair, which rises away from the player."""

    def fits(stand: Node, hit: Hit) -> bool:
        return hit.side[1] >= 0 and _along(stand, target, rises) > _across(stand, target, rises)

    return fits
