"""BEDD's recorder lines: one JSON object per step, from and to environment actions.

Line t holds the state before, and the input during, step t. Rules and figures are those of the BEDD
recordings (arXiv 2312.02405), made in a 1280x720 window at 360/2400 degrees per mouse pixel.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from basalt.core.actions import BUTTONS, COLUMN, HOTBAR, EnvActions
from basalt.core.telemetry import Item, Telemetry

DEGREES_PER_PIXEL = 360.0 / 2400.0

WINDOW = (1280, 720)
"""Size of the window in which mouse.x and mouse.y are given; the picture is half as large."""

KEY_OF_BUTTON = {
    "forward": "key.keyboard.w",
    "left": "key.keyboard.a",
    "back": "key.keyboard.s",
    "right": "key.keyboard.d",
    "jump": "key.keyboard.space",
    "inventory": "key.keyboard.e",
    "drop": "key.keyboard.q",
    "swapHands": "key.keyboard.f",
    "sneak": "key.keyboard.left.shift",
    "sprint": "key.keyboard.left.control",
    "ESC": "key.keyboard.escape",
} | {f"hotbar.{slot}": f"key.keyboard.{slot}" for slot in range(1, 10)}

BUTTON_OF_KEY = {key: button for button, key in KEY_OF_BUTTON.items()}

MOUSE_OF_BUTTON = {"attack": 0, "use": 1, "pickItem": 2}


class _BEDDModel(BaseModel):
    """Snake case here, BEDD's camel case in the file; keys of other recorder versions are kept."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", allow_inf_nan=False
    )


class Mouse(_BEDDModel):
    """Mouse of one step; positions in the 1280x720 window, movement in pixels of 0.15 degrees."""

    x: float
    y: float
    dx: float
    dy: float
    scaled_x: float
    scaled_y: float
    dwheel: float
    buttons: list[int]
    new_buttons: list[int]


class Keyboard(_BEDDModel):
    """Keyboard of one step: keys held, keys newly pressed, characters typed."""

    keys: list[str]
    new_keys: list[str]
    chars: str


class Line(_BEDDModel):
    """One step. The first five fields are all that BEDD's stripped recordings have.

    ``telemetry`` and ``asked_camera`` ([pitch, yaw] in degrees, where the world applied another
    movement than was asked) are ours.
    """

    mouse: Mouse | None
    keyboard: Keyboard | None
    hotbar: int = Field(ge=0, le=8)
    tick: int = Field(ge=0)
    is_gui_open: bool
    is_gui_inventory: bool | None = None
    yaw: float | None = None
    pitch: float | None = None
    xpos: float | None = None
    ypos: float | None = None
    zpos: float | None = None
    inventory: list[Item] | None = None
    asked_camera: tuple[float, float] | None = None
    telemetry: Telemetry | None = None

    @property
    def ends_session(self) -> bool:
        """Whether ESC is held, which on the last line of a play is how its player ended it."""
        return self.keyboard is not None and KEY_OF_BUTTON["ESC"] in self.keyboard.keys

    def to_json(self) -> str:
        """The line as it stands in the file."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def lines_to_env(
    lines: Sequence[Line], *, stuck_attack: bool, part_starts: Collection[int] = ()
) -> EnvActions:
    """Environment actions of one session's lines, in order.

    The camera keeps its fractions. A slot change by the mouse wheel becomes a hotbar press on the
    line before the change shows. ESC counts only on the last line; an earlier one that closed a
    screen becomes the inventory key.

    Args:
        lines: recorder lines; where ``mouse`` or ``keyboard`` is null there is no such input.
        stuck_attack: mend BEDD's recordings in which the left button seems held from the first line
            on though nobody pressed it: it is released until its next real press.
        part_starts: positions in `lines` at which another file of the session begins. There the
            recorder reports a held button as newly pressed: a stuck one stays stuck, a held one held,
            and one that was not held on the line before is stuck.
    """
    total = len(lines)
    buttons = np.zeros((total, len(BUTTONS)), dtype=np.uint8)
    pixels = np.zeros((total, 2), dtype=np.float64)
    starts = {0, *part_starts}
    stuck = attacking = False
    for t, line in enumerate(lines):
        if line.mouse:
            pixels[t] = line.mouse.dy, line.mouse.dx
            if t in starts:
                stuck = stuck or (stuck_attack and not attacking and line.mouse.new_buttons == [0])
            elif 0 in line.mouse.new_buttons:
                stuck = False
            attacking = 0 in line.mouse.buttons and not stuck
            for button, number in MOUSE_OF_BUTTON.items():
                held = attacking if button == "attack" else number in line.mouse.buttons
                buttons[t, COLUMN[button]] = held
        for key in line.keyboard.keys if line.keyboard else ():
            if key in BUTTON_OF_KEY:
                buttons[t, COLUMN[BUTTON_OF_KEY[key]]] = 1
        if t + 1 < total:
            if lines[t + 1].hotbar != line.hotbar:
                buttons[t, COLUMN[HOTBAR[lines[t + 1].hotbar]]] = 1
            if buttons[t, COLUMN["ESC"]]:
                buttons[t, COLUMN["ESC"]] = 0
                if line.is_gui_open:
                    buttons[t, COLUMN["inventory"]] = 1
    return EnvActions(buttons, pixels * DEGREES_PER_PIXEL)


class LineWriter:
    """Builds an episode's lines from the actions of its steps.

    It follows what changes between lines (newly pressed keys, the cursor), so that a line only needs
    the step's own facts.
    """

    def __init__(self) -> None:
        self._tick = 0
        self._keys: set[str] = set()
        self._mouse_buttons: set[int] = set()
        self._cursor = np.array(WINDOW, dtype=np.float64) / 2
        self._gui_open = False

    def line(self, action: Mapping[str, Any], camera: Sequence[float], before: Telemetry) -> Line:
        """The line of the next step.

        Args:
            action: the checked environment action.
            camera: [pitch, yaw] in degrees as the world applied it.
            before: the state before the step.
        """
        keys = [key for button, key in KEY_OF_BUTTON.items() if action[button]]
        held = [number for button, number in MOUSE_OF_BUTTON.items() if action[button]]
        if before.gui_open and not self._gui_open:
            self._cursor = np.array(WINDOW, dtype=np.float64) / 2
        # Rounded because 0.15 degrees has no exact binary form: whole pixels come back whole.
        dy, dx = (round(float(degrees) / DEGREES_PER_PIXEL, 4) for degrees in camera)
        scale = 2.0 if before.gui_open else 1.0
        x, y = self._cursor
        asked = tuple(float(degrees) for degrees in action["camera"])
        differs = any(abs(a - float(b)) > 1e-4 for a, b in zip(asked, camera, strict=True))
        line = Line(
            mouse=Mouse(
                x=x,
                y=y,
                dx=dx,
                dy=dy,
                scaled_x=(x - WINDOW[0] / 2) / scale,
                scaled_y=(y - WINDOW[1] / 2) / scale,
                dwheel=0.0,
                buttons=held,
                new_buttons=[number for number in held if number not in self._mouse_buttons],
            ),
            keyboard=Keyboard(
                keys=keys, new_keys=[key for key in keys if key not in self._keys], chars=""
            ),
            hotbar=before.hotbar,
            tick=self._tick,
            is_gui_open=before.gui_open,
            is_gui_inventory=before.gui_open,
            yaw=before.yaw,
            pitch=before.pitch,
            xpos=before.xpos,
            ypos=before.ypos,
            zpos=before.zpos,
            inventory=[Item(type=one.type, quantity=one.quantity) for one in before.inventory],
            asked_camera=(round(asked[0], 4), round(asked[1], 4)) if differs else None,
            telemetry=before,
        )
        self._cursor = self._cursor + scale * np.array([dx, dy])
        if before.gui_open:
            self._cursor = np.clip(self._cursor, 0, WINDOW)
        self._tick += 1
        self._keys, self._mouse_buttons = set(keys), set(held)
        self._gui_open = before.gui_open
        return line
