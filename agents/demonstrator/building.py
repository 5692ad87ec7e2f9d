"""A body that builds: walks between blocks, puts blocks into their places, digs blocks away."""

import math
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from agents.demonstrator.blocks import FARTHEST, Hit, Node, Place, Spot, Want, eye_at
from agents.demonstrator.body import PATIENCE, Body, Routine
from agents.demonstrator.motion import Point, direction, wrap
from basalt.core.actions import null_action

AIM = 0.4
"""Largest error of a direction that counts as aimed, in degrees."""

NEAR = 0.22
"""Distance from the middle of a node at which it stops, in nodes."""

TOOLS = {
    "dirt": "",
    "snow": "",
    "log": "stone_axe",
    "oak": "stone_axe",
    "planks": "stone_axe",
}
"""Tool to dig a block with, by a part of the block's name; the pickaxe for all others."""


class Builder:
    """Builds in a place.

    Args:
        body: The player.
        place: Place where it builds; updated with what it does.
        hold: Function that takes an item into the hand and returns whether the hand holds it.
    """

    def __init__(
        self, body: Body, place: Place, hold: Callable[[str], Routine[bool]] | None = None
    ) -> None:
        self._body = body
        self.place = place
        self._hold = hold or body.hold

    @property
    def feet(self) -> Node:
        """The node of the feet."""
        x, y, z = self._body.position
        return math.floor(x + 0.5), math.floor(y + 0.8), math.floor(z + 0.5)

    # ---- moving ----

    def go(self, way: Sequence[Node], look: Point | None = None) -> Routine[bool]:
        """Walk along neighbouring nodes, looking at a point on the last ones; return whether it arrived."""
        k = 0
        while k < len(way):
            # The furthest node to which the way is straight and free.
            while k + 1 < len(way) and self._is_straight(way[k + 1]):
                k += 1
            last = k == len(way) - 1
            watch = look if len(way) - k <= 3 else None
            if not (yield from self._go_to(way[k], watch, NEAR if last else 0.4)):
                return False
            k += 1
        return True

    def go_where(self, fits: Callable[[Node], bool], farthest: float = FARTHEST) -> Routine[None]:
        """Walk to the nearest place that fits, if there is one."""
        for stand, _, way in self.place.ways(self.feet, farthest):
            if fits(stand):
                yield from self.go(way)
                return

    def _is_straight(self, node: Node) -> bool:
        x, _, z = self._body.position
        return node[1] == self.feet[1] and self.place.is_clear(x, z, node)

    def _go_to(self, node: Node, look: Point | None, near: float) -> Routine[bool]:
        """Go to a node that is straight ahead, or to a neighbouring one."""
        body = self._body
        straight = self._is_straight(node)
        for k in range(PATIENCE if not straight else 3 * PATIENCE):
            state = body.state
            east, north = node[0] - state.xpos, node[2] - state.zpos
            away = math.hypot(east, north)
            high = state.ypos + 0.5 - node[1]
            if away < near and (state.on_ground or near > NEAR) and high > -0.6:
                return True
            if not straight and min(abs(east), abs(north)) > 0.15 and away > 0.6:
                # First to the middle, since the gap may be narrow.
                east, north = (0.0, north) if abs(east) > abs(north) else (east, 0.0)
            yaw = math.radians(state.yaw)
            ahead = east * math.sin(yaw) + north * math.cos(yaw)
            right = east * math.cos(yaw) - north * math.sin(yaw)
            action = null_action()
            least = max(0.08, 0.3 * math.hypot(east, north))
            if abs(ahead) > least:
                action["forward" if ahead > 0 else "back"] = 1
            if abs(right) > least:
                action["right" if right > 0 else "left"] = 1
            climbs = high < -0.3 and away < 1.3
            action["jump"] = int((climbs and state.on_ground) or k % 20 == 19)
            if look is not None:
                action |= body.camera(look)
            elif away > 0.7:
                bearing = math.degrees(math.atan2(east, north))
                action |= body.turn(bearing, 22.0)
                if abs(wrap(bearing - state.yaw)) > 80 and away < 1.6:
                    action["camera"] = np.zeros(2, np.float32)
            yield action
        return False

    # ---- blocks ----

    def build(self, wants: Sequence[Want]) -> Routine[list[Want]]:
        """Put blocks into their places, in the order that takes the fewest steps and turns.

        Args:
            wants: Blocks to put.

        Returns:
            Blocks that could not be put.
        """
        left, lost = list(wants), list[Want]()
        refused: dict[tuple[Node, Spot], int] = {}
        while left and (choice := self._nearest(left, refused)) is not None:
            want, spot, way = choice
            if not (yield from self._hold(want.thing)) and not (yield from self._hold(want.thing)):
                left.remove(want)
                lost.append(want)
                continue
            went = yield from self.go(
                way, self.place.aim_at(eye_at(spot.stand), spot.hit, low=want.low)
            )
            if went and (yield from self._click_at(spot, low=want.low)):
                # Not every task observes where a block was put.
                at = self._body.state.placed_at or want.target
                self.place.blocks[at] = want.block
                if at == want.target:
                    left.remove(want)
                    continue
                yield from self.dig(at, want.thing)
            key = want.target, spot
            refused[key] = refused.get(key, 0) + 1
        return left + lost

    def _nearest(
        self, wants: Sequence[Want], refused: dict[tuple[Node, Spot], int]
    ) -> tuple[Want, Spot, list[Node]] | None:
        """Return the block that is easiest to put: shortest path first, then smallest turn."""
        best, best_turn = None, math.inf
        for want, spot, way in self.place.spots(wants, self.feet):
            if refused.get((want.target, spot), 0) >= 2:
                continue
            if best is not None and spot.stand != best[1].stand:
                break
            yaw, pitch = direction(self._body.eye, want.target)
            turn = abs(wrap(yaw - self._body.state.yaw)) + abs(pitch - self._body.state.pitch)
            if turn < best_turn:
                best, best_turn = (want, spot, way), turn
        return best

    def _click_at(self, spot: Spot, *, low: bool = False) -> Routine[bool]:
        """Look at a side of a node and click; return whether something was placed."""
        body = self._body
        point = self.place.aim_at(body.eye, spot.hit, low=low)
        if point is None:
            yield from self._go_to(spot.stand, None, 0.12)
            point = self.place.aim_at(body.eye, spot.hit, low=low)
            if point is None:
                return False
        # A click that hits the side need not hit its middle.
        for _ in range(PATIENCE):
            off = body.off(point)
            if off < AIM or (off < 2.5 and self._is_aimed_at(spot.hit)):
                break
            yield from body.watch(point, start=AIM)
        yield from body.wait_for_creatures(point)
        if not self._is_aimed_at(spot.hit):
            return False
        before = body.state.facts["nodes_placed"]
        yield from body.do(use=1)
        for _ in range(8):
            yield from body.do()
            if body.state.facts["nodes_placed"] != before:
                return True
        return False

    def _is_aimed_at(self, hit: Hit) -> bool:
        """Return whether a click would hit the target now."""
        yaw, pitch = math.radians(self._body.state.yaw), math.radians(self._body.state.pitch)
        flat = math.cos(pitch)
        ahead = math.sin(yaw) * flat, -math.sin(pitch), math.cos(yaw) * flat
        return self.place.surely_meets(self._body.eye, ahead, hit)

    def dig(self, target: Node, thing: str | None = None) -> Routine[bool]:
        """Walk to a place from which a block can be reached, and dig it; return whether it is gone.

        Args:
            target: Node of the block.
            thing: Name of the block, by which the tool is chosen; None to keep the item in the hand.
        """
        body = self._body
        if thing is not None:
            tool = next((TOOLS[part] for part in TOOLS if part in thing), "stone_pickaxe")
            if tool:
                yield from self._hold(tool)
        for planned, way in islice(self.place.digging_places(target, self.feet), 4):
            yield from self.go(way, planned)
            point = self.place.digging_point(body.eye, target)
            if point is None:
                continue
            yield from body.look_at(point, near=1.5)
            before = body.state.facts["dug_nodes"]
            for _ in range(4 * PATIENCE):
                if body.state.facts["dug_nodes"] != before:
                    self.place.blocks.pop(target, None)
                    yield from body.do(2)
                    return True
                yield from body.do(attack=int(body.reaches(point)))
            return False
        return False
