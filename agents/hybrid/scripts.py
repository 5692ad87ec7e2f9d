"""Scripts: short routines that act on what the heads say and on what they did themselves, on nothing else.

A script is a generator: it yields one action a step and reads the present frame's `Senses` between them. Angles are in
degrees, to the right and down.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.hybrid.labels import POURS
from agents.search.pitch import Pitch
from basalt.core.actions import CAMERA_MAX, null_action

Action = dict[str, Any]


APART = 16
"""Frames between those that are compared: a jump while running, so that both are from the same moment of it."""

GRAIN, SAME = 32, 6.0
"""Rows and columns of pixels that are compared, and mean difference of brightness, of 255, below which they are alike."""


@dataclass
class Senses:
    """What a script may use, for one episode.

    Attributes:
        probability: Probability by each head on the present frame; a head that is missing counts as 0.
        view: How far down the player looks, added up from all actions of the episode.
        heading: How far to the right of its first view it looks, in degrees, added up likewise.
        step: Number of actions so far.
        still: Whether the frame is much like the one `APART` frames ago, although the player may be running.
    """

    probability: dict[str, float] = field(default_factory=dict)
    view: Pitch = field(default_factory=Pitch)
    heading: float = 0.0
    step: int = 0
    still: bool = False
    _seen: deque[NDArray[np.float32]] = field(default_factory=lambda: deque(maxlen=APART + 1))

    def see(self, frame: NDArray[np.uint8]) -> None:
        """Take the present frame, RGB [height, width, 3]."""
        rows, columns = (-(-side // GRAIN) for side in frame.shape[:2])
        self._seen.append(frame[::rows, ::columns].mean(-1, dtype=np.float32))
        whole = len(self._seen) > APART
        self.still = whole and float(np.abs(self._seen[0] - self._seen[-1]).mean()) < SAME

    def likely(self, head: str) -> float:
        """Probability by a head on the present frame."""
        return self.probability.get(head, 0.0)

    def advance(self, action: Mapping[str, Any]) -> None:
        """Take one action, be it of a script or of a policy."""
        turn, yaw = (float(part) for part in action["camera"])
        if not self.view.screen_open:
            self.heading += yaw
        self.view.advance(turn, bool(action["inventory"]))
        self.step += 1


class Script(NamedTuple):
    """A script.

    Attributes:
        play: Function that returns its actions.
        heads: Heads that it reads.
    """

    play: Callable[[Senses], Iterator[Action]]
    heads: tuple[str, ...] = ()


def _act(pitch: float = 0.0, yaw: float = 0.0, **keys: int) -> Action:
    return null_action() | keys | {"camera": np.array([pitch, yaw], dtype=np.float32)}


def _part(angle: float) -> float:
    """The part of a turn that fits into a step."""
    return float(np.clip(angle, -CAMERA_MAX, CAMERA_MAX))


def _turn(yaw: float) -> Iterator[Action]:
    """Turn by an angle."""
    while abs(yaw) >= 1:
        yield _act(yaw=_part(yaw))
        yaw -= _part(yaw)


def _look(senses: Senses, pitch: float) -> Iterator[Action]:
    """Look up or down to a pitch."""
    while abs(pitch - senses.view.degrees) >= 1:
        yield _act(pitch=_part(pitch - senses.view.degrees))


def _wait(steps: int, **keys: int) -> Iterator[Action]:
    """Hold keys for some steps."""
    for _ in range(steps):
        yield _act(**keys)


def turn_around(senses: Senses) -> Iterator[Action]:
    """Turn to where one came from, and look ahead."""
    yield from _turn(180.0)
    yield from _look(senses, 0.0)


CAUTION = 0.15
"""Probability of a drop ahead from which a player sneaks, so that it cannot fall over an edge. Without that head it never does."""


def _ahead(senses: Senses, pitch: float = 0.0, yaw: float = 0.0, **keys: int) -> Action:
    """Go ahead with further keys; sneak instead where there may be a drop."""
    if senses.likely("drop_ahead") >= CAUTION:
        keys = {"sneak": 1}
    return _act(pitch, yaw, forward=1, **keys)


def _turn_away(senses: Senses) -> Iterator[Action]:
    """Turn to the right until no drop is likely ahead, once round at most, and walk there."""
    for _ in range(round(360 / CAMERA_MAX)):
        if senses.likely("drop_ahead") < CAUTION:
            break
        yield _act(yaw=CAMERA_MAX)
    for _ in range(16):
        yield _ahead(senses, sprint=1)


def unstick(senses: Senses) -> Iterator[Action]:
    """Step back, turn aside, and jump ahead."""
    yield from _wait(8, back=1)
    yield from _turn(80.0)
    for _ in range(16):
        yield _ahead(senses, jump=1)


def stand(senses: Senses) -> Iterator[Action]:
    """Do nothing, for as long as the state lasts."""
    while True:
        yield _act()


def go_forward(senses: Senses) -> Iterator[Action]:
    """Run ahead with jumps, for as long as the state lasts."""
    for step in count():
        yield _ahead(senses, sprint=1, jump=step // 8 % 2)


FIRST_TURN, AWAY = 80.0, 170
"""How far to the right of its first view a patrol begins, in degrees, and steps before it turns into its circle."""

RADIUS, WIDER, STRIDE = 40.0, 20.0, 0.22
"""Radius of the circle at its start, by how much it widens in a turn, and length of a step, in nodes."""

PATROL_PITCH = 15.0
"""Pitch at which a patrol looks for caves, in degrees: many open into hollows."""


def course(step: int) -> float:
    """Heading of a patrol at a step, in degrees to the right of the episode's first view.

    On a spiral whose radius grows by `WIDER` in each turn, the radius r and the angle a of the way obey
    r = RADIUS + WIDER * a / 2 pi, so that after a way s, r * r = RADIUS * RADIUS + s * WIDER / pi.
    """
    if step < AWAY:
        return FIRST_TURN
    radius = math.sqrt(RADIUS**2 + STRIDE * (step - AWAY) * WIDER / math.pi)
    return FIRST_TURN + 90.0 + 360.0 * (radius - RADIUS) / WIDER


def patrol(senses: Senses) -> Iterator[Action]:
    """Run away from the start, and then round it to the right in a widening circle, as the demonstrator of find_cave.

    It knows its place from its own actions only, so hills and detours bend the circle. Where it does not get on, it steps
    aside, and before a drop it turns away.
    """
    while True:
        if senses.still:
            yield from unstick(senses)
        if senses.likely("drop_ahead") >= CAUTION:
            yield from _turn_away(senses)
        pitch, yaw = PATROL_PITCH - senses.view.degrees, course(senses.step) - senses.heading
        yield _ahead(
            senses,
            _part(pitch),
            _part(yaw),
            sprint=int(abs(yaw) < SIDE),
            jump=senses.step // 8 % 2,
        )


SIDE = 90.0
"""How far a search looks to either side, in degrees."""


def face_mouth(senses: Senses) -> Iterator[Action]:
    """Look to both sides, and then where the head for the mouth of a cave was surest in the middle of the view.

    While a thing is in view for as long to the left of the middle as to the right, the mean of the directions, weighted
    by the probability that it is in view, is where it is.
    """
    yield from _turn(-SIDE)
    directions = np.arange(-SIDE, SIDE + 1, CAMERA_MAX)
    sure = []
    for _ in directions:
        sure.append(senses.likely("mouth_in_view"))
        yield _act(yaw=CAMERA_MAX)
    weights = np.array(sure) - min(sure)
    towards = float(weights @ directions / weights.sum()) if weights.any() else 0.0
    yield from _turn(towards - (directions[-1] + CAMERA_MAX))


POUR_AT = (40.0, 55.0, 30.0)
"""Pitches at which water is poured, one after the other until some is seen: about the edge of a cliff 1 to 2.5 nodes
ahead."""

POURED = 0.5
"""Probability that water, or a waterfall, is in view from which it counts as poured."""


def pour_water(senses: Senses) -> Iterator[Action]:
    """Take the bucket of the first slot, look down and pour, until water is seen; then look ahead."""
    yield from _wait(1, **{"hotbar.1": 1})
    for pitch in POUR_AT:
        yield from _look(senses, pitch)
        yield from _wait(4)
        yield from _wait(1, use=1)
        yield from _wait(16)
        if senses.likely("water_in_view") >= POURED:
            break
    yield from _look(senses, 0.0)


LOOK_UP = POURS["wall_ahead"]
"""Pitch at which water is poured against a wall, in degrees: that of its head."""

TAKE_OFF, AWAY_FROM_FALL, RUNS, WATCH = 15, 20, 40, 100
"""Steps backwards, sneaking about a node, before water is poured: a pour from nearer ends below 3 nodes. Steps away from the
water, about 4 nodes; steps for which it then runs down; and steps for which a waterfall is looked at.

The engine lets water fall about one node a second, and a waterfall is at least 3 nodes high."""


def pour_on_wall(senses: Senses) -> Iterator[Action]:
    """Take the bucket of the first slot, look up, pour against the wall ahead, walk away and turn round to it.

    If that makes a waterfall it watches it, otherwise it takes the water back.
    """
    yield from _wait(1, **{"hotbar.1": 1})
    yield from _wait(TAKE_OFF, back=1, sneak=1)
    yield from _look(senses, LOOK_UP)
    yield from _wait(4)
    yield from _wait(1, use=1)
    yield from _look(senses, -LOOK_UP / 3)
    yield from _turn(180.0)
    for _ in range(AWAY_FROM_FALL):
        yield _ahead(senses)
    yield from _turn(180.0)
    yield from _look(senses, LOOK_UP / 3)
    yield from _wait(RUNS)
    if senses.likely("water_falling_in_view") >= POURED:
        yield from _wait(WATCH)
    else:
        yield from _wait(AWAY_FROM_FALL, forward=1)
        yield from _look(senses, LOOK_UP)
        yield from _wait(4)
        yield from _wait(1, use=1)
    yield from _look(senses, 0.0)


SCRIPTS = {
    "turn_around": Script(turn_around),
    "unstick": Script(unstick),
    "stand": Script(stand),
    "go_forward": Script(go_forward),
    "patrol": Script(patrol),
    "face_mouth": Script(face_mouth, ("mouth_in_view",)),
    "pour_water": Script(pour_water, ("water_in_view",)),
    "pour_on_wall": Script(pour_on_wall, ("water_falling_in_view",)),
}
"""The scripts that a machine may name."""
