"""What the referee knows at a step, as numbers: telemetry, and the site's places as the player would see them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from basalt.core.telemetry import Telemetry

AHEAD = 4
"""How many places further along a list of places, such as a path, another one is a feature besides the nearest."""

NUMBERS = (
    "step", "ypos", "pitch", "health", "breath", "hotbar", "gui_open", "on_ground", "in_liquid", "light", "daylight",
    "under_roof", "distance_walked", "dead",
)  # fmt: skip
"""Fields of telemetry that are features as they are."""


def features(states: Sequence[Telemetry], site: Mapping[str, Any]) -> pd.DataFrame:
    """What is known before each of n steps, float32 [n rows], from the telemetry of all n + 1 states and the site.

    Places are relative to the player: how far ahead, to the right and above, how far away, and the direction. Changes
    since the state before are features too, since a memory of frames shows them.

    Args:
        states: Telemetry of the states.
        site: What the world knows about the place; empty if it is not known.
    """
    places, constants = _places(site), dict(_constants(site))
    found = []
    for t, state in enumerate(states[:-1]):
        before, start = states[max(t - 1, 0)], states[0]
        values = {name: float(getattr(state, name)) for name in NUMBERS}
        values |= {
            f"facts.{name}": float(value)
            for name, value in state.facts.items()
            if not isinstance(value, str)
        }
        values |= _direction("yaw", math.radians(state.yaw))
        values |= {
            "turned.yaw": (state.yaw - before.yaw + 180) % 360 - 180,
            "turned.pitch": state.pitch - before.pitch,
            "held": float(bool(state.held)),
            "items": float(sum(item.quantity for item in state.inventory)),
        }
        values |= _relative("start", state, (start.xpos, start.ypos, start.zpos))
        values |= _relative("before", state, (before.xpos, before.ypos, before.zpos))
        for name, creatures in (("animals", state.animals), ("villagers", state.villagers)):
            values |= _nearest(
                name, state, np.array([one.position for one in creatures or ()], float)
            )
        for name, points in places.items():
            values |= _nearest(f"site.{name}", state, points)
        found.append(values | constants)
    return pd.DataFrame(found, dtype=np.float32)


def _places(value: Any, name: str = "") -> dict[str, NDArray[np.float64]]:
    """The places in a site by the keys that lead to them, float64 [places, 3]."""
    if isinstance(value, Mapping):
        found: dict[str, NDArray[np.float64]] = {}
        for key, inner in value.items():
            found |= _places(inner, f"{name}.{key}" if name else str(key))
        return found
    if _is_point(value):
        return {name: np.array([value], float)}
    if isinstance(value, list) and value and all(map(_is_point, value)):
        return {name: np.array(value, float)}
    return {}


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(x, int | float) for x in value)
    )


def _constants(value: Any, name: str = "site") -> Iterator[tuple[str, float]]:
    """The numbers in a site that are not places."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _constants(inner, f"{name}.{key}")
    elif isinstance(value, int | float):
        yield name, float(value)


def _nearest(name: str, state: Telemetry, points: NDArray[np.float64]) -> dict[str, float]:
    """The place nearest to the player, and one further along the list."""
    if not len(points):
        return {}
    at = np.array([state.xpos, state.ypos, state.zpos])
    number = int(np.linalg.norm(points - at, axis=1).argmin())
    found = _relative(name, state, points[number])
    if len(points) > 1:
        found |= _relative(f"{name}.next", state, points[min(number + AHEAD, len(points) - 1)])
    return found


def _relative(
    name: str, state: Telemetry, point: Sequence[float] | NDArray[np.float64]
) -> dict[str, float]:
    """A place relative to the player."""
    x, y, z = point[0] - state.xpos, point[1] - state.ypos, point[2] - state.zpos
    yaw = math.radians(state.yaw)
    ahead = x * math.sin(yaw) + z * math.cos(yaw)
    right = x * math.cos(yaw) - z * math.sin(yaw)
    return {
        f"{name}.forward": ahead,
        f"{name}.right": right,
        f"{name}.up": y,
        f"{name}.away": math.hypot(ahead, right),
        **_direction(f"{name}.bearing", math.atan2(right, ahead)),
    }


def _direction(name: str, angle: float) -> dict[str, float]:
    return {f"{name}.sin": math.sin(angle), f"{name}.cos": math.cos(angle)}


def table(episodes: Sequence[pd.DataFrame]) -> list[NDArray[np.float32]]:
    """Features as columns, the same ones in all episodes: float32 [n, columns] each; 0 where one is not known.

    Args:
        episodes: For each episode what `features` returned.
    """
    names = sorted({str(name) for episode in episodes for name in episode})
    return [one.reindex(columns=names).fillna(0).to_numpy(np.float32) for one in episodes]
