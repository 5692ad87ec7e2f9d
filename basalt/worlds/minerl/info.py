"""Telemetry from what Minecraft reports about its player, which in the BASALT tasks is little.

With the missions of the four tasks a MineRL 1.0 process reports `isGuiOpen` and nothing else. Forks of it, and the
Luanti world served in its place, report more: names are matched in any case, at the top or one object down
(`location_stats` and the like). What is not reported has the value that is most often true, and is absent from
`observed`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from basalt.core.actions import HOTBAR
from basalt.core.telemetry import SlotItem, Telemetry

FULL_AIR = 300.0
"""Full breath in Minecraft's ticks; telemetry counts the ten bubbles that the player sees."""


class Observer:
    """Follows one episode: what Minecraft reports, and what follows from the actions."""

    def __init__(self) -> None:
        self._hotbar = 0
        self._gui_open = False
        self._walked = 0.0
        self._last_place: tuple[float, float] | None = None

    def acted(self, action: Mapping[str, Any]) -> None:
        """Note an action before its step: a hotbar key selects a slot unless a screen is open."""
        if not self._gui_open:
            for slot, button in enumerate(HOTBAR):
                if action[button]:
                    self._hotbar = slot

    def telemetry(self, step: int, info: Mapping[str, Any], *, dead: bool) -> Telemetry:
        """Return the state after a step.

        Args:
            step: Number of the step; 0 after reset.
            info: Minecraft's reply.
            dead: Whether Minecraft ended the episode because the player died.
        """
        reported = _flat(info)
        numbers = {name: _number(reported.get(name)) for name in _NUMBERS}
        self._gui_open = bool(reported.get("isguiopen", False))
        if (slot := _number(reported.get("hotbar"))) is not None and slot in range(9):
            self._hotbar = int(slot)
        x, z = numbers["xpos"], numbers["zpos"]
        if x is not None and z is not None:
            if self._last_place is not None:
                self._walked += math.dist((x, z), self._last_place)
            self._last_place = x, z
        life, air = numbers["life"], numbers["air"]
        yaw = ((numbers["yaw"] or 0.0) + 180.0) % 360.0 - 180.0
        known = {field for name, field in _NUMBERS.items() if numbers[name] is not None}
        known |= {field for name, field in _OTHERS.items() if name in reported}
        return Telemetry(
            step=step,
            xpos=x or 0.0,
            ypos=numbers["ypos"] or 0.0,
            zpos=z or 0.0,
            yaw=180.0 if yaw == -180.0 else yaw,
            pitch=numbers["pitch"] or 0.0,
            health=0.0 if dead else 20.0 if life is None else min(20.0, max(0.0, life)),
            breath=10.0 if air is None else max(0.0, air) * 10.0 / FULL_AIR,
            hotbar=self._hotbar,
            held=_held(reported.get("equipped_items")),
            inventory=_inventory(reported.get("inventory")),
            gui_open=self._gui_open,
            on_ground=True,
            in_liquid=False,
            light=15,
            daylight=15,
            under_roof=False,
            distance_walked=self._walked,
            dead=dead,
            observed=frozenset(known),
        )


_NUMBERS = {name: name for name in ("xpos", "ypos", "zpos", "yaw", "pitch")} | {
    "life": "health",
    "air": "breath",
}
"""Field of the telemetry by Minecraft's name of a number, in lower case."""

_OTHERS = {"inventory": "inventory", "equipped_items": "held", "isguiopen": "gui_open"}
"""The same for what is not a number."""


def _flat(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries with keys in lower case, those of inner objects beside the outer ones."""
    flat: dict[str, Any] = {}
    for key, value in info.items():
        if isinstance(value, Mapping) and key not in ("inventory", "equipped_items"):
            flat |= {str(inner).lower(): held for inner, held in value.items()}
    return flat | {str(key).lower(): value for key, value in info.items()}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _inventory(stacks: Any) -> tuple[SlotItem, ...]:
    if not isinstance(stacks, list):
        return ()
    items = []
    for stack in stacks:
        if isinstance(stack, Mapping) and (_number(stack.get("quantity")) or 0) >= 1:
            slot = _number(stack.get("slot"))
            items.append(
                SlotItem(
                    type=str(stack.get("type")),
                    quantity=int(stack["quantity"]),
                    slot=None if slot is None or slot < 0 else int(slot),
                )
            )
    return tuple(items)


def _held(equipped: Any) -> str:
    """Return the item in the main hand; MineRL wraps each of these objects into a string."""
    hand = equipped.get("mainhand") if isinstance(equipped, Mapping) else None
    if isinstance(hand, str):
        try:
            hand = json.loads(hand)
        except ValueError:
            return ""
    kind = hand.get("type") if isinstance(hand, Mapping) else None
    return "" if kind in (None, "air", "none") else str(kind)
