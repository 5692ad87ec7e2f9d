"""BEDD's recorder lines: one JSON object per step, from and to environment actions.

Line t holds the state before step t and the input during it. The rules are those of the BEDD
recordings (arXiv 2312.02405), made in a 1280x720 window at 360/2400 degrees per mouse pixel.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from basalt.core.actions import BUTTONS, COLUMN, HOTBAR, EnvActions
from basalt.core.telemetry import Item, Telemetry

DEGREES_PER_PIXEL = 360.0 / 2400.0
"""Camera movement of one mouse pixel, as BEDD's recorder and all worlds have it."""

WINDOW = (1280, 720)
"""Width and height of the window in which mouse.x and mouse.y are given; frames are half as large."""

WINDOW_CENTRE = (WINDOW[0] / 2, WINDOW[1] / 2)

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


_Measure = Annotated[float, Field(ge=-1e9, le=1e9)]
"""Pixels, degrees or nodes: larger ones are faults of a file, and overflow where they are added up."""


class _BEDDModel(BaseModel):
    """Snake case in Python, BEDD's camel case in the file; keys of other recorders are left out."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", allow_inf_nan=False
    )


class Mouse(_BEDDModel):
    """Mouse of one step; positions in the 1280x720 window, movement in pixels of 0.15 degrees."""

    x: _Measure
    y: _Measure
    dx: _Measure
    dy: _Measure
    scaled_x: _Measure
    scaled_y: _Measure
    dwheel: _Measure
    buttons: list[int]
    new_buttons: list[int]


class Keyboard(_BEDDModel):
    """Keyboard of one step: keys held, keys newly pressed, characters typed."""

    keys: list[str]
    new_keys: list[str]
    chars: str


@dataclass(frozen=True)
class Label:
    """What an expert would do in a state that somebody else may have reached.

    Attributes:
        expert: Its action, a complete environment action; None where it has no answer.
        cue_visible: Whether what it acts on has been in view; False while it explores by its rule.
    """

    expert: Mapping[str, Any] | None
    cue_visible: bool


class ExpertAction(BaseModel):
    """Action that an expert would have taken in the state before a step."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    buttons: tuple[str, ...] = Field(description="names of the buttons held")
    camera: tuple[_Measure, _Measure] = Field(description="[pitch, yaw] in degrees")

    @field_validator("buttons")
    @classmethod
    def _known(cls, buttons: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in buttons if name not in COLUMN]:
            raise ValueError(f"expected names of buttons, got {unknown[0]!r}")
        return buttons


class Line(_BEDDModel):
    """One step. BEDD's stripped recordings have the first five fields only.

    The last four fields are this project's. `asked_camera` is [pitch, yaw] in degrees, present where the world
    applied another movement than the one asked for. `expert` and `cue_visible` are a `Label` of
    the state before the step; `expert` is missing where there is no answer.
    """

    mouse: Mouse | None
    keyboard: Keyboard | None
    hotbar: int = Field(ge=0, le=8)
    tick: int = Field(ge=0)
    is_gui_open: bool
    is_gui_inventory: bool | None = None
    yaw: _Measure | None = None
    pitch: _Measure | None = None
    xpos: _Measure | None = None
    ypos: _Measure | None = None
    zpos: _Measure | None = None
    inventory: list[Item] | None = None
    asked_camera: tuple[_Measure, _Measure] | None = None
    telemetry: Telemetry | None = None
    expert: ExpertAction | None = None
    cue_visible: bool | None = None

    @property
    def ends_session(self) -> bool:
        """Whether ESC is held; on the last line of a play that is how the player ended it."""
        return self.keyboard is not None and KEY_OF_BUTTON["ESC"] in self.keyboard.keys

    def to_json(self) -> str:
        """The line as it is written to the file, without the line break."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def decode_lines(lines: Sequence[Line]) -> EnvActions:
    """Buttons held and camera movement as recorded, without any correction.

    The camera keeps its fractions of a degree. Keys that no action uses are ignored.
    """
    buttons = np.zeros((len(lines), len(BUTTONS)), dtype=np.uint8)
    pixels = np.zeros((len(lines), 2), dtype=np.float64)
    for t, line in enumerate(lines):
        if line.mouse:
            pixels[t] = line.mouse.dy, line.mouse.dx
            for button, number in MOUSE_OF_BUTTON.items():
                buttons[t, COLUMN[button]] = number in line.mouse.buttons
        for key in line.keyboard.keys if line.keyboard else ():
            if key in BUTTON_OF_KEY:
                buttons[t, COLUMN[BUTTON_OF_KEY[key]]] = 1
    return EnvActions(buttons, pixels * DEGREES_PER_PIXEL)


def expert_of(action: Mapping[str, Any]) -> ExpertAction:
    """Return a complete environment action as it is written to a line."""
    pitch, yaw = (round(float(degrees), 4) for degrees in action["camera"])
    return ExpertAction(
        buttons=tuple(button for button in BUTTONS if action[button]), camera=(pitch, yaw)
    )


def expert_actions(lines: Sequence[Line]) -> tuple[EnvActions, NDArray[np.bool_]]:
    """Return the actions of the lines' expert, and where there is one, bool [T]; others are null actions."""
    actions = EnvActions(
        np.zeros((len(lines), len(BUTTONS)), dtype=np.uint8),
        np.zeros((len(lines), 2), dtype=np.float64),
    )
    labelled = np.zeros(len(lines), dtype=bool)
    for t, line in enumerate(lines):
        if line.expert is not None:
            labelled[t] = True
            actions.buttons[t, [COLUMN[button] for button in line.expert.buttons]] = 1
            actions.camera[t] = line.expert.camera
    return actions, labelled


def stuck_attack_steps(
    lines: Sequence[Line], part_starts: Collection[int] = ()
) -> NDArray[np.bool_]:
    """Steps on which BEDD's recorder reports the left mouse button as held though nobody pressed it.

    That begins on a session's first line and lasts until the next real press. Where another file of
    the session begins, the recorder reports a held button as newly pressed: a stuck one stays stuck,
    a held one stays held, and one that was not held on the line before is stuck.

    Args:
        lines: Recorder lines of one session.
        part_starts: Positions in `lines` at which a further file of the session begins.

    Returns:
        bool [T].
    """
    found = np.zeros(len(lines), dtype=bool)
    starts = {0, *part_starts}
    stuck = attacking = False
    for t, line in enumerate(lines):
        if line.mouse:
            if t in starts:
                stuck = stuck or (not attacking and line.mouse.new_buttons == [0])
            elif 0 in line.mouse.new_buttons:
                stuck = False
            attacking = 0 in line.mouse.buttons and not stuck
            found[t] = stuck
    return found


def lines_to_env(
    lines: Sequence[Line], *, stuck_attack: bool, part_starts: Collection[int] = ()
) -> EnvActions:
    """Environment actions of one session's lines, in order, corrected.

    The camera keeps its fractions. A slot change by the mouse wheel becomes a hotbar press on the
    line before the change shows. ESC counts only on the last line; an earlier one that closed a
    screen becomes the inventory key.

    Args:
        lines: Recorder lines. A null `mouse` or `keyboard` means that there is no such input.
        stuck_attack: Whether to release BEDD's stuck attack button; see `stuck_attack_steps`.
        part_starts: Positions in `lines` at which a further file of the session begins.
    """
    actions = decode_lines(lines)
    buttons = actions.buttons
    if stuck_attack:
        buttons[stuck_attack_steps(lines, part_starts), COLUMN["attack"]] = 0
    for t, (line, after) in enumerate(pairwise(lines)):
        if after.hotbar != line.hotbar:
            buttons[t, COLUMN[HOTBAR[after.hotbar]]] = 1
        if buttons[t, COLUMN["ESC"]]:
            buttons[t, COLUMN["ESC"]] = 0
            if line.is_gui_open:
                buttons[t, COLUMN["inventory"]] = 1
    return actions


def encode_input(
    held: Collection[str],
    camera: Sequence[float],
    *,
    before: Line | None = None,
    cursor: tuple[float, float] = WINDOW_CENTRE,
    gui_scale: float = 1.0,
) -> tuple[Mouse, Keyboard]:
    """A line's mouse and keyboard: the one encoder of recorder lines.

    Args:
        held: Names of the buttons held.
        camera: [pitch, yaw] in degrees.
        before: Previous line; what it holds is not newly pressed. None on the first line.
        cursor: Position of the cursor in the 1280x720 window.
        gui_scale: 2 while a screen is open, else 1.
    """
    keys = [key for button, key in KEY_OF_BUTTON.items() if button in held]
    buttons = [number for button, number in MOUSE_OF_BUTTON.items() if button in held]
    old_keys = before.keyboard.keys if before and before.keyboard else ()
    old_buttons = before.mouse.buttons if before and before.mouse else ()
    # Rounded because 0.15 degrees has no exact binary form: whole pixels come back whole.
    dy, dx = (round(float(degrees) / DEGREES_PER_PIXEL, 4) for degrees in camera)
    x, y = cursor
    mouse = Mouse(
        x=x,
        y=y,
        dx=dx,
        dy=dy,
        scaled_x=(x - WINDOW_CENTRE[0]) / gui_scale,
        scaled_y=(y - WINDOW_CENTRE[1]) / gui_scale,
        dwheel=0.0,
        buttons=buttons,
        new_buttons=[number for number in buttons if number not in old_buttons],
    )
    new_keys = [key for key in keys if key not in old_keys]
    return mouse, Keyboard(keys=keys, new_keys=new_keys, chars="")


class LineWriter:
    """Builds an episode's lines from the actions of its steps and the states before them."""

    def __init__(self) -> None:
        self._last: Line | None = None
        self._cursor = WINDOW_CENTRE

    def line(
        self,
        action: Mapping[str, Any],
        camera: Sequence[float],
        before: Telemetry,
        label: Label | None = None,
    ) -> Line:
        """The line of the next step.

        Args:
            action: Validated environment action.
            camera: [pitch, yaw] in degrees as the world applied it.
            before: State before the step.
            label: Label of that state; None if nobody labels the episode.
        """
        last = self._last
        if before.gui_open and not (last and last.is_gui_open):
            self._cursor = WINDOW_CENTRE
        scale = 2.0 if before.gui_open else 1.0
        held = [button for button in BUTTONS if action[button]]
        mouse, keyboard = encode_input(
            held, camera, before=last, cursor=self._cursor, gui_scale=scale
        )
        asked = tuple(float(degrees) for degrees in action["camera"])
        differs = any(abs(a - float(b)) > 1e-4 for a, b in zip(asked, camera, strict=True))
        self._last = Line(
            mouse=mouse,
            keyboard=keyboard,
            hotbar=before.hotbar,
            tick=last.tick + 1 if last else 0,
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
            expert=None if label is None or label.expert is None else expert_of(label.expert),
            cue_visible=None if label is None else label.cue_visible,
        )
        x, y = mouse.x + scale * mouse.dx, mouse.y + scale * mouse.dy
        if before.gui_open:
            x, y = min(max(x, 0.0), WINDOW[0]), min(max(y, 0.0), WINDOW[1])
        self._cursor = (x, y)
        return self._last
