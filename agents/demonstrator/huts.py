"""Plans of small houses in the styles of the villages.

A plan has its own frame: seen from the street `a` runs to the right along it, `up` from the ground (0) upwards, and `b`
from the front wall to the back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.demonstrator.blocks import Block, Hit, Node, Want, anyhow

WIDTH = DEPTH = 5
HEIGHT = 3
DOOR = (2, 0)
WINDOWS = {(1, 0), (3, 0), (2, DEPTH - 1), (0, 2), (WIDTH - 1, 2)}
"""Places (a, b) of door and windows in the walls."""


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

    def _want(self, a: int, up: int, b: int, thing: str, shape: str = "full") -> Want:
        fits = _upright if thing.endswith("_log") else anyhow
        return Want(self._frame.at(a, up, b), Block(shape), thing, fits)

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
        side = m.base if up == 1 else m.wall
        corners = {(a, b) for a in (0, WIDTH - 1) for b in (0, DEPTH - 1)}
        left_out = {1: {DOOR}, 2: {DOOR, *WINDOWS}}.get(up, set())
        return [
            self._want(a, up, b, m.post if (a, b) in corners else side)
            for a, b in self._ring()
            if (a, b) not in left_out
        ]

    def windows(self) -> list[Want]:
        """Return the panes in the second row."""
        return [
            self._want(a, 2, b, "glass_pane", "pane") for a, b in self._ring() if (a, b) in WINDOWS
        ]

    def door(self) -> Want:
        """Return the door, which is put from the street."""
        target = self._frame.at(DOOR[0], 1, DOOR[1])
        into = self._frame.into

        def fits(stand: Node, hit: Hit) -> bool:
            deep, aside = _along(stand, target, into), _across(stand, target, into)
            return hit.side[1] == 1 and deep >= 2 and aside <= 1

        return Want(target, Block("door"), self._materials.door, fits)

    def slopes(self, k: int) -> list[Want]:
        """Return a row of stairs on both sides of the roof: -1 outside the wall, 0 over it, 1 above that."""
        x, _, z = self._frame.along
        wants = []
        for a, rises in ((k, (x, 0, z)), (WIDTH - 1 - k, (-x, 0, -z))):
            for b in range(DEPTH):
                target = self._frame.at(a, HEIGHT + k + 1, b)
                stair = Block("stair", rises)
                wants.append(Want(target, stair, self._materials.stair, _facing(target, rises)))
        return wants

    def gables(self) -> list[Want]:
        """Return the walls under the roof."""
        wall = self._materials.wall
        return [
            self._want(a, HEIGHT + 1, b, wall) for b in (0, DEPTH - 1) for a in range(1, WIDTH - 1)
        ]

    def ridge(self) -> list[Want]:
        """Return the beam between the two slopes."""
        half, wall = WIDTH // 2, self._materials.wall
        return [self._want(half, HEIGHT + half, b, wall) for b in range(DEPTH)]

    def cap(self) -> list[Want]:
        """Return the slabs on the ridge."""
        half, slab = WIDTH // 2, self._materials.slab
        return [self._want(half, HEIGHT + half + 1, b, slab, "slab") for b in range(DEPTH)]

    def torches(self) -> list[Want]:
        """Return the torches on the front's corner posts."""
        into = self._frame.into

        def fits(stand: Node, hit: Hit) -> bool:
            return hit.side == (-into[0], 0, -into[2])

        places = [self._frame.at(a, 2, -1) for a in (0, WIDTH - 1)]
        return [Want(place, Block("torch"), "torch", fits) for place in places]


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
