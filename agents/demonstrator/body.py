"""The scripted player's body: its senses, and its actions as generators.

A generator yields the action of a step; when it resumes, `Body.state` is the state after that step. So a script reads
like a recipe: `yield from body.walk(path)`, `yield from body.look_at(point)`. A body knows what has been observed and
nothing of the site: where to go and what to do is up to its script.
"""

import math
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.demonstrator.motion import EYE_HEIGHT, START_TURN, Gaze, Point, direction, wrap
from agents.demonstrator.paths import Route
from basalt.core.actions import null_action
from basalt.core.telemetry import Creature, Telemetry
from basalt.worlds.luanti.screens import HOTBAR_SLOTS

T = TypeVar("T")
Routine = Generator[dict[str, Any], None, T]

CARRIED_SLOTS = 36
PATIENCE = 60
"""Steps after which an aim is given up."""

LONGEST_WALK = 1200
"""Steps after which a walk is given up."""

STUCK_STEPS = 16
"""Steps without progress on a path after which the player backs off and tries again."""

WAITS = 80
"""Longest wait for a creature to move out of the way, in steps."""


class Body:
    """One player.

    Args:
        rng: Source of small irregularities.

    Attributes:
        state: State before the next action.
        frame_size: Width and height of the frames, in pixels.
    """

    state: Telemetry
    frame_size: tuple[int, int]

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._gaze = Gaze()

    # ---- senses ----

    @property
    def position(self) -> NDArray[np.float64]:
        """Position of the feet, [x, y, z]."""
        return np.array([self.state.xpos, self.state.ypos, self.state.zpos])

    @property
    def eye(self) -> Point:
        """Position of the eyes."""
        return self.state.xpos, self.state.ypos + EYE_HEIGHT, self.state.zpos

    def away(self, point: ArrayLike) -> float:
        """Return the horizontal distance to a point [x, y, z]."""
        x, _, z = np.asarray(point, np.float64) - self.position
        return math.hypot(x, z)

    def off(self, point: ArrayLike) -> float:
        """Return by how many degrees the view misses a point, the larger of yaw and pitch."""
        yaw, pitch = direction(self.eye, point)
        return max(abs(wrap(yaw - self.state.yaw)), abs(pitch - self.state.pitch))

    def reaches(self, point: ArrayLike) -> bool:
        """Return whether no creature is so near the way to a point that a click would hit it."""
        line = np.linspace(self.position, np.asarray(point, np.float64), 6)[:, [0, 2]]
        creatures = (self.state.animals or ()) + (self.state.villagers or ())
        places = [np.array(creature.position)[[0, 2]] for creature in creatures]
        return all(np.linalg.norm(line - place, axis=1).min() >= 0.9 for place in places)

    def animals(self, kind: str) -> list[Creature]:
        """Return the animals of a kind, the nearest first."""
        herd = [animal for animal in self.state.animals or () if animal.kind == kind]
        return sorted(herd, key=lambda animal: self.away(animal.position))

    def slots(self) -> dict[int, tuple[str, int]]:
        """Return item and count of the carried slots that are not empty; 0-8 is the hotbar."""
        return {
            item.slot: (item.type, item.quantity)
            for item in self.state.inventory
            if item.slot is not None and item.slot < CARRIED_SLOTS
        }

    def slot_of(self, thing: str) -> int | None:
        """Return the first slot with the largest number of an item, None if it is not carried."""
        counts = {slot: count for slot, (name, count) in self.slots().items() if name == thing}
        return max(counts, key=lambda slot: (counts[slot], -slot), default=None)

    # ---- looking ----

    def camera(self, point: ArrayLike, start: float = START_TURN) -> dict[str, Any]:
        """Return the part of the next action that turns the view towards a point.

        Args:
            point: [x, y, z] in nodes.
            start: Error above which a turn begins, in degrees.
        """
        return {"camera": self._gaze.towards(self.state, *direction(self.eye, point), start=start)}

    def turn(self, yaw: float, pitch: float, start: float = START_TURN) -> dict[str, Any]:
        """Return the same for a direction in degrees."""
        return {"camera": self._gaze.towards(self.state, yaw, pitch, start)}

    def look_at(self, point: ArrayLike, near: float, start: float | None = None) -> Routine[None]:
        """Turn until the view is at a point.

        Args:
            point: [x, y, z] in nodes.
            near: Largest error that counts as looking at the point, in degrees.
            start: Error above which a turn begins, in degrees; `near` by default.
        """
        for _ in range(PATIENCE):
            if self.off(point) <= near:
                return
            yield null_action() | self.camera(point, near if start is None else start)

    def watch(self, point: ArrayLike, steps: int = 1, start: float = START_TURN) -> Routine[None]:
        """Keep the view on a point for some steps."""
        for _ in range(steps):
            yield null_action() | self.camera(point, start)

    def look_around(self, steps: int, width: float) -> Routine[None]:
        """Stand still and turn the head to one side and then to the other.

        Args:
            steps: Number of steps.
            width: Largest angle to a side, in degrees.
        """
        side = float(self.rng.choice([-1.0, 1.0])) * width
        first, second = side * self.rng.uniform(0.5, 1.0), -side * self.rng.uniform(0.5, 1.0)
        heading = self.state.yaw
        for step in range(steps):
            yaw, pitch = (first, 4.0) if step < steps // 2 else (second, 8.0)
            yield null_action() | self.turn(heading + yaw, pitch)

    # ---- walking ----

    def walk(self, path: Sequence[Sequence[float]], close: float = 0.9) -> Routine[None]:
        """Walk along a path, looking where it leads, jumping where it rises; back off and try again where stuck.

        Nothing happens if the path is empty. A script may change the actions on their way, or pause the walk
        between two of them.

        Args:
            path: [x, y, z] of neighbouring nodes of the feet, from the player's place to the goal.
            close: Horizontal distance from the last node at which the walk ends, in nodes.
        """
        if not path:
            return
        route = Route(path)
        sprint_after = int(self.rng.integers(5, 25))
        stuck, escape, side = 0, 0, "left"
        for _ in range(LONGEST_WALK):
            position = self.position
            stuck = 0 if route.advance(position) else stuck + 1
            if stuck >= STUCK_STEPS and not escape:
                stuck, escape = 0, int(self.rng.integers(8, 14))
                side = str(self.rng.choice(["left", "right"]))
                route.rejoin(position)  # it may have passed the next node
            if route.ends_at(position, close):
                return
            heading, _ = direction(position, route.straight_ahead(position))
            error = abs(wrap(heading - self.state.yaw))
            action = null_action() | self.turn(heading, route.gaze_pitch(position))
            if escape:
                # Back and aside at first, then forward with a jump.
                escape -= 1
                action |= {"back": 1, side: 1} if escape > 5 else {"forward": 1, "jump": 1}
            elif error < 50:
                rises = route.rises(position)
                straight = error < 12 and not rises and not self.state.under_roof
                action["forward"] = 1
                action["jump"] = int(rises or (self.state.in_liquid and self.state.step % 2))
                action["sprint"] = int(straight and route.index > sprint_after)
            yield action

    def stroll(self, goal: ArrayLike) -> Routine[None]:
        """Walk straight to a point over unknown ground, jumping where there is no progress."""
        best, since = math.inf, 0
        for _ in range(400):
            away = self.away(goal)
            if away < 1.0:
                return
            best, since = (away, 0) if away < best - 0.05 else (best, since + 1)
            heading, _ = direction(self.position, goal)
            error = abs(wrap(heading - self.state.yaw))
            action = null_action() | self.turn(heading, 8.0)
            if error < 60:
                action["forward"] = 1
                action["sprint"] = int(error < 15 and away > 4)
                action["jump"] = int(since > 3 and since % 6 < 3)
                if since > 40:
                    action["left" if since // 20 % 2 else "right"] = 1
            yield action

    # ---- acting ----

    def do(self, steps: int = 1, **keys: int) -> Routine[None]:
        """Hold keys for some steps; none at all to wait."""
        for _ in range(steps):
            yield null_action() | keys

    def click(self) -> Routine[None]:
        """Right-click, and wait for the effect."""
        yield from self.do(2, use=1)
        yield from self.do(4)

    def hold(self, thing: str) -> Routine[bool]:
        """Take an item from the hotbar into the hand; return whether the hand holds it."""
        slot = self.slot_of(thing)
        for _ in range(20):
            if self.state.held == thing:
                return True
            if slot is None or slot >= HOTBAR_SLOTS:
                return False
            yield from self.do(**{f"hotbar.{slot + 1}": 1})
            yield from self.do()
        return False

    def wait_for_creatures(self, point: ArrayLike) -> Routine[None]:
        """Wait a while for creatures to move out of the way to a point."""
        for _ in range(WAITS):
            if self.reaches(point):
                return
            yield from self.do()
