"""The place where a builder builds: its nodes, where the player can stand, and what to click to place a block.

Nodes are whole numbers (x, y, z), y up; a node's cube extends half a node to each side. Feet on a node are at y + 0.5.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from agents.demonstrator.motion import EYE_HEIGHT, Point
from agents.demonstrator.paths import nearest_first

Node = tuple[int, int, int]
Box = tuple[float, float, float, float, float, float]

REACH, SURE_REACH = 3.9, 3.5
"""Longest reach of a click in nodes (the game's limit is 4), and the longest reach that is planned."""

SIDES: tuple[Node, ...] = ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1))
_FACES: tuple[Node, ...] = (*SIDES, (0, 1, 0), (0, -1, 0))
_CUBE: Box = (-0.5, -0.5, -0.5, 0.5, 0.5, 0.5)
_LOWER_HALF: Box = (-0.5, -0.5, -0.5, 0.5, 0.0, 0.5)
_BOXES: dict[str, tuple[Box, ...]] = {
    "slab": (_LOWER_HALF,),
    "fence": ((-0.5, -0.5, -0.13, 0.5, 0.5, 0.13), (-0.13, -0.5, -0.5, 0.13, 0.5, 0.5)),
    "torch": ((-0.2, -0.5, -0.2, 0.2, 0.3, 0.2),),
    "plant": ((-0.3, -0.5, -0.3, 0.3, -0.2, 0.3),),
}
"""Boxes of blocks that are smaller than their node, by shape; a fence may connect to all four sides."""

FARTHEST = 30.0
"""Longest path for one block, in nodes."""


def add(a: Node, b: Node) -> Node:
    """Return the sum of two nodes."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@dataclass(frozen=True)
class Block:
    """A block at a node.

    Attributes:
        shape: `full`, `stair`, `slab`, `pane`, `door`, `fence`, `torch` or `plant`.
        rises: Direction to the high side of a stair.
    """

    shape: str = "full"
    rises: Node | None = None

    @property
    def holds(self) -> bool:
        """Whether the player can stand on it and put other blocks against it."""
        return self.shape in ("full", "stair", "slab")

    @property
    def free(self) -> bool:
        """Whether the player can walk through it."""
        return self.shape in ("torch", "plant")

    def boxes(self) -> tuple[Box, ...]:
        """Return the boxes that a click hits, relative to the node."""
        if self.shape == "stair" and self.rises is not None:
            x, _, z = self.rises
            west, south = (0.0 if part > 0 else -0.5 for part in (x, z))
            east, north = (0.0 if part < 0 else 0.5 for part in (x, z))
            return _LOWER_HALF, (west, 0.0, south, east, 0.5, north)
        return _BOXES.get(self.shape, (_CUBE,))


@dataclass(frozen=True)
class Hit:
    """The node that a click would hit, and the side of it (a unit vector)."""

    node: Node
    side: Node

    @property
    def target(self) -> Node:
        """The node where a block would be put."""
        return add(self.node, self.side)


@dataclass(frozen=True)
class Spot:
    """A place to stand (the node of the feet), and the side of a node to click at."""

    stand: Node
    hit: Hit


def eye_at(stand: Node) -> Point:
    """Return the position of the eyes of a player in the middle of a node."""
    return stand[0], stand[1] - 0.5 + EYE_HEIGHT, stand[2]


def level_ground(
    low: tuple[int, int], high: tuple[int, int], height: int
) -> Callable[[int, int], int | None]:
    """Return the ground of a level rectangle from corner to corner, x and z, and one node around it."""

    def ground(x: int, z: int) -> int | None:
        inside = low[0] - 1 <= x <= high[0] + 1 and low[1] - 1 <= z <= high[1] + 1
        return height if inside else None

    return ground


@dataclass
class Place:
    """The ground, and everything above it.

    Args:
        ground: Height of the highest ground node of a column (x, z); None where the player must not walk.
        blocks: Blocks above the ground.
        shut: Nodes where feet must not be although there is room.
        snow: Thickness of the snow on the ground, in nodes; it is as if everything were higher.
    """

    ground: Callable[[int, int], int | None]
    blocks: dict[Node, Block] = field(default_factory=dict)
    shut: frozenset[Node] = frozenset()
    snow: float = 0.0

    def block(self, node: Node) -> Block | None:
        """Return the block at a node, None for air."""
        height = self.ground(node[0], node[2])
        if height is not None and node[1] <= height:
            return _GROUND
        return self.blocks.get(node)

    def _is_open(self, node: Node) -> bool:
        block = self.block(node)
        return block is None or block.free

    def can_stand(self, feet: Node) -> bool:
        """Return whether there is room for a player and something to stand on."""
        if self.ground(feet[0], feet[2]) is None or feet in self.shut:
            return False
        below = self.block(add(feet, (0, -1, 0)))
        holds = below is not None and below.holds
        return holds and self._is_open(feet) and self._is_open(add(feet, (0, 1, 0)))

    def steps(self, feet: Node) -> Iterator[tuple[Node, float]]:
        """Yield the places that can be reached from a place in one move, and their distance (climbing counts more)."""
        for side in SIDES:
            for up in (0, 1, -1, -2):
                there = add(feet, (side[0], up, side[2]))
                if not self.can_stand(there):
                    continue
                # Room for the head on the way up or down.
                ups = range(2, 2 - up)
                clear = [add(feet, (0, 2, 0))] if up == 1 else [add(there, (0, k, 0)) for k in ups]
                if all(self._is_open(node) for node in clear):
                    yield there, 1.0 + 3.0 * abs(up)
                break

    def ways(
        self, start: Node, farthest: float = FARTHEST
    ) -> Iterator[tuple[Node, float, list[Node]]]:
        """Yield places in order of their distance: (place, distance, path without the start)."""
        return nearest_first(start, self.steps, farthest)

    def is_clear(self, x: float, z: float, to: Node) -> bool:
        """Return whether a player can walk straight from a position to the middle of a node on the same level."""
        count = max(2, math.ceil(math.hypot(to[0] - x, to[2] - z) / 0.25))
        for k in range(count + 1):
            at_x, at_z = x + (to[0] - x) * k / count, z + (to[2] - z) * k / count
            corners = itertools.product((-_WIDE, _WIDE), repeat=2)
            nodes = {
                (math.floor(at_x + a + 0.5), to[1], math.floor(at_z + b + 0.5)) for a, b in corners
            }
            if not all(self.can_stand(node) for node in nodes):
                return False
        return True

    def look(self, eye: Point, point: Point, reach: float = REACH) -> Hit | None:
        """Return what a click from one point at another hits."""
        eye, point = (_sum(end, (0.0, -self.snow, 0.0)) for end in (eye, point))
        length = math.dist(eye, point)
        unit = (
            (point[0] - eye[0]) / length,
            (point[1] - eye[1]) / length,
            (point[2] - eye[2]) / length,
        )
        node = math.floor(eye[0] + 0.5), math.floor(eye[1] + 0.5), math.floor(eye[2] + 0.5)
        for _ in range(16):
            block = self.block(node)
            boxes = () if block is None else block.boxes()
            entered = [found for box in boxes if (found := _enter(box, node, eye, unit))]
            distance, side = min(entered, key=itemgetter(0), default=(math.inf, None))
            if side is not None and distance < reach:
                return Hit(node, side)
            node, at = _next(node, eye, unit)
            if at > reach:
                return None
        return None

    def surely_meets(self, eye: Point, way: Point, hit: Hit, reach: float = REACH) -> bool:
        """Return whether a click in a direction hits the target, also with the eyes slightly to the side."""
        starts = [_sum(eye, sway) for sway in _SWAY]
        return all(self.look(start, _sum(start, way), reach) == hit for start in starts)

    def aim_at(
        self, eye: Point, hit: Hit, *, low: bool = False, reach: float = REACH
    ) -> Point | None:
        """Return a point to look at so that a click hits a side of a node, preferably its middle.

        Args:
            eye: Position of the eyes.
            hit: The node and side to hit.
            low: Whether to use only the lower half of an upright side, so that a stair is not put upside down.
            reach: Longest reach of the click, in nodes.
        """
        for across, up in _OFFSETS_LOW if low and hit.side[1] == 0 else _OFFSETS:
            point = _sum(_on_side(hit, across, up), (0.0, self.snow, 0.0))
            way = point[0] - eye[0], point[1] - eye[1], point[2] - eye[2]
            if self.surely_meets(eye, way, hit, reach):
                return point
        return None

    def spots(
        self, wants: Sequence["Want"], start: Node
    ) -> Iterator[tuple["Want", Spot, list[Node]]]:
        """Yield places to stand from which blocks can be put, nearest places first.

        Args:
            wants: Blocks to put.
            start: Place of the player.
        """
        sides = [(want, hit) for want in wants for hit in self.sides_for(want.target)]
        for stand, _, way in self.ways(start):
            eye = eye_at(stand)
            for want, hit in sides:
                if want.target in (stand, add(stand, (0, 1, 0))) or not want.fits(stand, hit):
                    continue
                if math.dist(eye, hit.node) > SURE_REACH + 0.9:
                    continue
                if self.aim_at(eye, hit, low=want.low, reach=SURE_REACH) is not None:
                    yield want, Spot(stand, hit), way

    def digging_point(self, eye: Point, target: Node) -> Point | None:
        """Return a point to look at so that a hit digs a block, on any of its sides."""
        points = (self.aim_at(eye, Hit(target, side)) for side in _FACES)
        return next((point for point in points if point is not None), None)

    def digging_places(self, target: Node, start: Node) -> Iterator[tuple[Point, list[Node]]]:
        """Yield the points to look at and the paths to places from which a block can be dug, nearest first."""
        for stand, _, way in self.ways(start):
            if stand in (target, add(target, (0, 1, 0))) or math.dist(eye_at(stand), target) > 3.8:
                continue
            point = self.digging_point(eye_at(stand), target)
            if point is not None:
                yield point, way

    def sides_for(self, target: Node) -> list[Hit]:
        """Return what to click at to put a block into a place."""
        if self.block(target) is not None:
            return []
        hits = [Hit(add(target, (-x, -y, -z)), (x, y, z)) for x, y, z in _FACES]
        return [hit for hit in hits if (block := self.block(hit.node)) and block.holds]


def anyhow(stand: Node, hit: Hit) -> bool:
    """Return True: it does not matter where to stand and what to click at."""
    return True


@dataclass(frozen=True)
class Want:
    """A block to put somewhere.

    Attributes:
        target: Node of the block.
        block: The block.
        thing: Item that has to be in the hand.
        fits: Conditions on where to stand and what to click at.
    """

    target: Node
    block: Block
    thing: str
    fits: Callable[[Node, Hit], bool] = anyhow

    @property
    def low(self) -> bool:
        """Whether a click at the upper half of a side would put it upside down."""
        return self.block.shape in ("stair", "slab")


_GROUND = Block()
_SWAY: tuple[Point, ...] = (
    (0.0, 0.0, 0.0),
    (0.0, -0.09, 0.0),
    (0.0, 0.09, 0.0),
    *((x, 0.0, z) for x in (-0.09, 0.09) for z in (-0.09, 0.09)),
)
"""Largest error of the assumed position of the eyes, in nodes."""

_WIDE = 0.33
"""Half of the width that a player needs, in nodes."""

_OFFSETS = [(0.0, 0.0), (0.0, -0.25), (0.25, 0.0), (-0.25, 0.0), (0.0, 0.25)]
_OFFSETS += [(x, y) for y in (-0.38, 0.38, -0.2, 0.2) for x in (-0.38, 0.38, 0.0)]
_OFFSETS_LOW = [(x, y) for y in (-0.25, -0.15, -0.4) for x in (0.0, 0.25, -0.25, 0.4, -0.4)]


def _sum(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _on_side(hit: Hit, across: float, up: float) -> Point:
    """Return a point on a node's side, at an offset from its middle."""
    x, y, z = (part + 0.5 * out for part, out in zip(hit.node, hit.side, strict=True))
    if hit.side[0]:
        return x, y + up, z + across
    if hit.side[1]:
        return x + across, y, z + up
    return x + across, y + up, z


def _next(node: Node, eye: Point, unit: Point) -> tuple[Node, float]:
    """Return the next node on a ray, and its distance."""
    best, axis = math.inf, 0
    for k in range(3):
        if unit[k]:
            at = (node[k] + math.copysign(0.5, unit[k]) - eye[k]) / unit[k]
            if at < best:
                best, axis = at, k
    after = list(node)
    after[axis] += 1 if unit[axis] > 0 else -1
    return (after[0], after[1], after[2]), best


def _enter(box: Box, node: Node, eye: Point, unit: Point) -> tuple[float, Node] | None:
    """Return the distance at which a ray enters a box, and the side."""
    near, far, axis = -math.inf, math.inf, 0
    for k in range(3):
        low, high = node[k] + box[k] - eye[k], node[k] + box[k + 3] - eye[k]
        if abs(unit[k]) < 1e-12:
            if low > 0 or high < 0:
                return None
            continue
        a, b = sorted((low / unit[k], high / unit[k]))
        if a > near:
            near, axis = a, k
        far = min(far, b)
    if near > far or near < 0:
        return None
    side = [0, 0, 0]
    side[axis] = -1 if unit[axis] > 0 else 1
    return near, (side[0], side[1], side[2])
