"""What twins change: a block, an animal or the item in hand, placed by where the player looks at a moment."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from basalt.core.telemetry import Telemetry

Edit = dict[str, Any]
"""An edit of the world, as `basalt.worlds.edits` describes it."""

EYE = 1.6
"""Height of the player's eyes above its feet, in nodes."""

CLEAR = 1.5
"""Horizontal distance in nodes that a block keeps from the player's way, so that it is seen and not met."""

NEAR, FAR, ASIDE = 3.0, 5.0, 25.0
"""Distances in nodes of a block straight ahead and of one to a side, and the angle of the latter in degrees."""

BLACK, BRIGHT = "default:coalblock", "default:goldblock"

OTHER_ANIMAL = {"cow": "sheep", "sheep": "cow", "pig": "chicken", "chicken": "pig"}


def _block(
    name: str, distance: float, aside: float
) -> Callable[[Sequence[Telemetry]], Edit | None]:
    def edit(states: Sequence[Telemetry]) -> Edit | None:
        """The block at a distance along the line of sight of the last state; None if it would be in the way."""
        last = states[-1]
        yaw, slope = math.radians(last.yaw + aside), math.tan(math.radians(last.pitch))
        # Steeply up or down, the block would be in the sky or in the ground.
        rise = max(-1.0, min(1.0, -distance * slope))
        place = (
            last.xpos + distance * math.sin(yaw),
            last.ypos + EYE + rise,
            last.zpos + distance * math.cos(yaw),
        )
        near = (math.hypot(s.xpos - place[0], s.zpos - place[2]) for s in states)
        if min(near) < CLEAR:
            return None
        return {"block": {"position": [round(part) for part in place], "to": name}}

    return edit


def _item(states: Sequence[Telemetry]) -> Edit | None:
    first = states[0]
    return {"item": {"slot": first.hotbar, "to": None if first.held else "torch"}}


def _animal(change: Callable[[str], str | None]) -> Callable[[Sequence[Telemetry]], Edit | None]:
    def edit(states: Sequence[Telemetry]) -> Edit | None:
        """A change of the nearest animal that the player sees in the last state; None if it sees none."""
        last = states[-1]
        seen = [one for one in last.animals or () if one.in_view]
        if not seen:
            return None
        here = (last.xpos, last.ypos, last.zpos)
        one = min(seen, key=lambda animal: math.dist(animal.position, here))
        return {"animal": {"number": one.id, "to": change(one.kind)}}

    return edit


CHANGES: dict[str, Callable[[Sequence[Telemetry]], Edit | None]] = {
    "black": _block(BLACK, NEAR, 0.0),
    "bright": _block(BRIGHT, NEAR, 0.0),
    "left": _block(BRIGHT, FAR, -ASIDE),
    "right": _block(BRIGHT, FAR, ASIDE),
    "item": _item,
    "no_animal": _animal(lambda _: None),
    "other_animal": _animal(OTHER_ANIMAL.get),
}
"""By name: the edit for a play's states up to the moment at which it should be in view; None where it cannot be made.

black, bright: a coal or gold block three nodes ahead; left, right: a gold block five nodes away, 25 degrees to a side; item:
an empty hand gets a torch, a full one is emptied; no_animal, other_animal: the nearest animal in view is gone or of another
kind."""

OWN_FIELDS = {"block": (), "item": ("held", "inventory"), "animal": ("animals",)}
"""Fields of telemetry that a kind of edit changes from the start; `breath` may differ between any two starts."""
