"""The actions of a building script's body, each as a generator.

A generator yields the action of a step; when it resumes, `Body.state` is the state after that step. So a script reads
like a recipe: `yield from body.go(...)`, `yield from body.put(...)`.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from agents.demonstrator.blocks import Hit, Node, Place, Point, Spot, Want
from agents.demonstrator.motion import EYE_HEIGHT, Gaze, direction, wrap
from basalt.core.actions import null_action
from basalt.core.telemetry import Telemetry

T = TypeVar("T")
Routine = Generator[dict[str, Any], None, T]

AIM = 0.4
"""Largest error of a direction that counts as aimed, in degrees."""

NEAR = 0.22
"""Distance from the middle of a node at which it stops, in nodes."""

TOOLS = (
    ("dirt", ""),
    ("snow", ""),
    ("log", "stone_axe"),
    ("oak", "stone_axe"),
    ("planks", "stone_axe"),
)
"""Tool to dig a block with, by a part of the block's name; the pickaxe for all others."""

PATIENCE = 60
"""Steps after which a movement or an aim is given up."""


class Body:
    """One player.

    Args:
        place: Place where it builds; updated with what it does.
        rng: Source of small irregularities.
    """

    def __init__(self, place: Place, rng: np.random.Generator) -> None:
        self.place = place
        self.rng = rng
        self.gaze = Gaze()
        self.state: Telemetry

    # ---- position ----

    @property
    def feet(self) -> Node:
        """The node of the feet."""
        return self.node_of(self.state.xpos, self.state.ypos, self.state.zpos)

    @staticmethod
    def node_of(x: float, y: float, z: float) -> Node:
        """Return the node of feet at a position."""
        return math.floor(x + 0.5), math.floor(y + 0.5 + 0.3), math.floor(z + 0.5)

    @property
    def eye(self) -> Point:
        """Position of the eyes."""
        return self.state.xpos, self.state.ypos + EYE_HEIGHT, self.state.zpos

    def is_aimed_at(self, hit: Hit) -> bool:
        """Return whether a click would hit the target now."""
        yaw, pitch = math.radians(self.state.yaw), math.radians(self.state.pitch)
        flat = math.cos(pitch)
        ahead = math.sin(yaw) * flat, -math.sin(pitch), math.cos(yaw) * flat
        return self.place.surely_meets(self.eye, ahead, hit)

    # ---- moving ----

    def do(self, steps: int = 1, **keys: int) -> Routine[None]:
        """Hold keys for some steps."""
        for _ in range(steps):
            yield null_action() | keys

    def look_at(self, point: Point, near: float = AIM) -> Routine[None]:
        """Turn until the view is at a point."""
        for _ in range(PATIENCE):
            yaw, pitch = direction(self.state, point)
            if max(abs(wrap(yaw - self.state.yaw)), abs(pitch - self.state.pitch)) <= near:
                return
            yield null_action() | {"camera": self.gaze.at(self.state, point, start=near)}

    def go(
        self, way: Sequence[Node], look: Point | None = None, near: float = NEAR
    ) -> Routine[bool]:
        """Walk along neighbouring nodes, looking at a point on the last ones; return whether it arrived."""
        k = 0
        while k < len(way):
            # The furthest node to which the way is straight and free.
            while k + 1 < len(way) and way[k + 1][1] == self.feet[1] and self._is_clear(way[k + 1]):
                k += 1
            last = k == len(way) - 1
            watch = look if len(way) - k <= 3 else None
            if not (yield from self._go_to(way[k], watch, near if last else 0.4)):
                return False
            k += 1
        return True

    def _is_clear(self, node: Node) -> bool:
        return self.place.is_clear(self.state.xpos, self.state.zpos, node)

    def _go_to(self, node: Node, look: Point | None, near: float) -> Routine[bool]:
        """Go to a node that is straight ahead, or to a neighbouring one."""
        straight = node[1] == self.feet[1] and self._is_clear(node)
        for k in range(PATIENCE if not straight else 3 * PATIENCE):
            east, north = node[0] - self.state.xpos, node[2] - self.state.zpos
            away = math.hypot(east, north)
            high = self.state.ypos + 0.5 - node[1]
            if away < near and (self.state.on_ground or near > NEAR) and high > -0.6:
                return True
            if not straight and min(abs(east), abs(north)) > 0.15 and away > 0.6:
                # First to the middle, since the gap may be narrow.
                east, north = (0.0, north) if abs(east) > abs(north) else (east, 0.0)
            yaw = math.radians(self.state.yaw)
            ahead = east * math.sin(yaw) + north * math.cos(yaw)
            right = east * math.cos(yaw) - north * math.sin(yaw)
            action = null_action()
            least = max(0.08, 0.3 * math.hypot(east, north))
            if abs(ahead) > least:
                action["forward" if ahead > 0 else "back"] = 1
            if abs(right) > least:
                action["right" if right > 0 else "left"] = 1
            climbs = high < -0.3 and away < 1.3
            action["jump"] = int((climbs and self.state.on_ground) or k % 20 == 19)
            if look is not None:
                action["camera"] = self.gaze.at(self.state, look)
            elif away > 0.7:
                bearing = math.degrees(math.atan2(east, north))
                action["camera"] = self.gaze.towards(self.state, bearing, 22.0)
                if abs(wrap(bearing - self.state.yaw)) > 80 and away < 1.6:
                    action["camera"] = np.zeros(2, np.float32)
            yield action
        return False

    def centre(self, node: Node, look: Point | None = None) -> Routine[bool]:
        """Step to the middle of the node of the feet."""
        return (yield from self._go_to(node, look, 0.12))

    # ---- blocks ----

    def build(
        self, wants: Sequence[Want], hold: Callable[[str], Routine[bool]]
    ) -> Routine[list[Want]]:
        """Put blocks into their places, in the order that takes the fewest steps and turns.

        Args:
            wants: Blocks to put.
            hold: Function that takes an item into the hand and returns whether it is there.

        Returns:
            Blocks that could not be put.
        """
        left, lost = list(wants), list[Want]()
        refused: dict[tuple[Node, Spot], int] = {}
        while left:
            choice = self._nearest(left, refused)
            if choice is None:
                break
            want, spot, way = choice
            if not (yield from hold(want.thing)) and not (yield from hold(want.thing)):
                left.remove(want)
                lost.append(want)
                continue
            eye = spot.stand[0], spot.stand[1] - 0.5 + EYE_HEIGHT, spot.stand[2]
            point = self.place.aim_at(eye, spot.hit, low=want.low)
            went = yield from self.go(way, point)
            if went and (yield from self._click_at(spot, low=want.low)):
                at = self.placed_at()
                self.place.blocks[at] = want.block
                if at == want.target:
                    left.remove(want)
                    continue
                yield from self.take_back(at, want.thing, hold)
            key = want.target, spot
            refused[key] = refused.get(key, 0) + 1
        return left + lost

    def take_back(
        self, node: Node, thing: str, hold: Callable[[str], Routine[bool]]
    ) -> Routine[None]:
        """Dig away a block that was put in the wrong place."""
        tool = next((tool for kind, tool in TOOLS if kind in thing), "stone_pickaxe")
        if tool:
            yield from hold(tool)
        yield from self.dig(node)

    def placed_at(self) -> Node:
        """The node where the last block was put."""
        assert self.state.placed_at is not None
        return self.state.placed_at

    def _nearest(
        self, wants: Sequence[Want], refused: Mapping[tuple[Node, Spot], int]
    ) -> tuple[Want, Spot, list[Node]] | None:
        """Return the block that is easiest to put: shortest path first, then smallest turn."""
        best, best_turn = None, math.inf
        stand: Node | None = None
        for want, spot, way in self.place.spots(wants, self.feet):
            if refused.get((want.target, spot), 0) >= 2:
                continue
            if best is not None and spot.stand != stand:
                break
            stand = spot.stand
            yaw, pitch = direction(self.state, want.target)
            turn = abs(wrap(yaw - self.state.yaw)) + abs(pitch - self.state.pitch)
            if turn < best_turn:
                best, best_turn = (want, spot, way), turn
        return best

    def _click_at(self, spot: Spot, *, low: bool = False) -> Routine[bool]:
        """Look at a side of a node and click; return whether something was placed."""
        point = self.place.aim_at(self.eye, spot.hit, low=low)
        if point is None:
            yield from self.centre(spot.stand)
            point = self.place.aim_at(self.eye, spot.hit, low=low)
            if point is None:
                return False
        # A click that hits the side need not hit its middle.
        for _ in range(PATIENCE):
            yaw, pitch = direction(self.state, point)
            off = max(abs(wrap(yaw - self.state.yaw)), abs(pitch - self.state.pitch))
            if off < AIM or (off < 2.5 and self.is_aimed_at(spot.hit)):
                break
            yield null_action() | {"camera": self.gaze.at(self.state, point, start=AIM)}
        if not self.is_aimed_at(spot.hit):
            return False
        before = self.state.facts["nodes_placed"]
        yield from self.do(use=1)
        for _ in range(8):
            yield from self.do()
            if self.state.facts["nodes_placed"] != before:
                return True
        return False

    def dig(self, target: Node) -> Routine[bool]:
        """Go to a place from which a block can be hit, and dig it away; return whether it is gone."""
        for _, spot, way in self._digging_spots(target):
            eye = spot.stand[0], spot.stand[1] - 0.5 + EYE_HEIGHT, spot.stand[2]
            yield from self.go(way, self.place.aim_at(eye, spot.hit))
            point = self.place.aim_at(self.eye, spot.hit)
            if point is None:
                continue
            yield from self.look_at(point, near=1.5)
            before = self.state.facts["dug_nodes"]
            for _ in range(4 * PATIENCE):
                if self.state.facts["dug_nodes"] != before:
                    self.place.blocks.pop(target, None)
                    yield from self.do(2)
                    return True
                yield from self.do(attack=1)
            return False
        return False

    def _digging_spots(self, target: Node) -> list[tuple[float, Spot, list[Node]]]:
        found = []
        for stand, cost, way in self.place.ways(self.feet):
            eye = stand[0], stand[1] - 0.5 + EYE_HEIGHT, stand[2]
            if math.dist(eye, target) > 3.8 or stand == (target[0], target[1] + 1, target[2]):
                continue
            for side in ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0)):
                hit = Hit(target, side)
                if self.place.aim_at(eye, hit) is not None:
                    found.append((cost, Spot(stand, hit), way))
                    break
            if len(found) >= 2:
                break
        return found
