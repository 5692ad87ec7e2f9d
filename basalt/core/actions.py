"""Three notations of one action, and the pure, vectorised conversions between them.

1. **Environment**: MineRL's dictionary of 24 keys, 23 buttons held or not in a step and `camera` =
   [pitch, yaw] change in degrees (positive looks down, positive turns right). Over time:
   `EnvActions`.
2. **Recorder lines**: BEDD's jsonl, one object per step with keyboard and mouse (`basalt.core.recorder_lines`).
3. **VPT indices**: one of 8,641 button combinations, one of 121 camera bins (Baker et al. 2022,
   arXiv 2206.11795), and ESC as an output of its own.
"""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.core.registry import did_you_mean
from basalt.io.errors import ActionError

HOTBAR = tuple(f"hotbar.{slot}" for slot in range(1, 10))

ACTION_KEYS = (
    "ESC", "attack", "back", "camera", "drop", "forward", *HOTBAR, "inventory", "jump", "left",
    "pickItem", "right", "sneak", "sprint", "swapHands", "use",
)  # fmt: skip
"""MineRL's 24 keys in alphabetical order."""

BUTTONS = tuple(key for key in ACTION_KEYS if key != "camera")
"""The 23 buttons: columns of `EnvActions.buttons`."""

COLUMN = {button: column for column, button in enumerate(BUTTONS)}


class FrameSize(NamedTuple):
    """Size of a frame in pixels. A size is (width, height) everywhere, as in "640x360".

    A shape is an array's: (height, width, 3). Functions that take a size read its fields by name, so
    that a bare tuple, which may be transposed, is an error.
    """

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an RGB frame of this size: (height, width, 3)."""
        return self.height, self.width, 3

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


FRAME_SIZE = FrameSize(width=640, height=360)
"""Default size of frames, and the only one that a leaderboard accepts."""

CAMERA_LIMIT = 180.0
"""Largest camera change of one step, in degrees."""

VPT_BUTTONS = (
    "attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use", "drop",
    "inventory", *HOTBAR,
)  # fmt: skip
"""The 20 buttons of VPT's action space, in its order; ESC, pickItem and swapHands are not part of it."""

# Each group is one digit of the joint button index; the last group varies fastest.
_GROUPS: tuple[tuple[str, ...], ...] = (
    HOTBAR, ("forward", "back"), ("left", "right"), ("sprint", "sneak"), ("use",), ("drop",),
    ("attack",), ("jump",), ("camera",),
)  # fmt: skip

N_BUTTONS = 8_641
INVENTORY_INDEX = 8_640
N_CAMERA_BINS = 11
N_CAMERA = N_CAMERA_BINS**2
NULL_CAMERA_BIN = 5
NULL_CAMERA = NULL_CAMERA_BIN * N_CAMERA_BINS + NULL_CAMERA_BIN
CAMERA_MAX = 10.0
CAMERA_MU = 10.0


@dataclass(frozen=True)
class EnvActions:
    """Environment actions of T steps.

    Attributes:
        buttons: uint8 [T, 23], 1 where held; columns are `BUTTONS`.
        camera: float64 [T, 2], [pitch, yaw] in degrees per step.
    """

    buttons: NDArray[np.uint8]
    camera: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.buttons)

    def __getitem__(self, steps: slice) -> "EnvActions":
        return EnvActions(self.buttons[steps], self.camera[steps])

    def column(self, button: str) -> NDArray[np.uint8]:
        """uint8 [T]: whether that button is held."""
        return self.buttons[:, COLUMN[button]]

    def step(self, t: int) -> dict[str, Any]:
        """The environment's dictionary of step `t`, all 24 keys, camera float32 [2]."""
        action: dict[str, Any] = {
            button: int(held) for button, held in zip(BUTTONS, self.buttons[t], strict=True)
        }
        action["camera"] = self.camera[t].astype(np.float32)
        return action

    @staticmethod
    def stack(actions: Iterable[Mapping[str, Any]]) -> "EnvActions":
        """Stack environment dictionaries; missing keys count as not pressed.

        Raises:
            ActionError: An action is not valid; see `validate_action`.
        """
        checked = [validate_action(action) for action in actions]
        buttons = np.array(
            [[action[button] for button in BUTTONS] for action in checked], dtype=np.uint8
        ).reshape(len(checked), len(BUTTONS))
        camera = np.array([action["camera"] for action in checked], dtype=np.float64)
        return EnvActions(buttons, camera.reshape(len(checked), 2))


class VPTActions(NamedTuple):
    """VPT indices of T steps: buttons int64 [T] < 8641, camera int64 [T] < 121, esc bool [T]."""

    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]


def validate_action(action: Mapping[str, Any]) -> dict[str, Any]:
    """A complete action: 23 buttons as int 0 or 1 and `camera` as float32 [2] in degrees.

    Missing keys count as not pressed, also ESC, for which the original BASALT raised KeyError.

    Raises:
        ActionError: A key is unknown, a button is not 0 or 1, or the camera is not two finite numbers
            within +-180 degrees; the message names the key.
    """
    if not isinstance(action, Mapping):
        raise ActionError(f"action: expected a dictionary of keys, got {type(action).__name__}")
    for key in action:
        if key not in ACTION_KEYS:
            raise ActionError(
                f"action: unknown key {reprlib.repr(key)}; {did_you_mean(str(key), ACTION_KEYS)}"
                f"available: {', '.join(ACTION_KEYS)}"
            )
    checked: dict[str, Any] = {
        button: _pressed(button, action.get(button, 0)) for button in BUTTONS
    }
    checked["camera"] = _camera(action.get("camera", (0.0, 0.0)))
    return checked


def _pressed(button: str, value: Any) -> int:
    array = _array(button, value, "the integer 0 or 1")
    if array.size != 1 or array.dtype.kind not in "iub":
        raise _unfit(button, value, "the integer 0 or 1")
    held = int(array.reshape(()))
    if held not in (0, 1):
        raise ActionError(f"action[{button!r}]: expected 0 or 1, got {held}")
    return held


def _array(key: str, value: Any, expected: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as err:  # lists of unlike lengths
        raise _unfit(key, value, expected) from err


def _unfit(key: str, value: Any, expected: str) -> ActionError:
    return ActionError(f"action[{key!r}]: expected {expected}, got {reprlib.repr(value)}")


def _camera(value: Any) -> NDArray[np.float32]:
    array = _array("camera", value, "two numbers [pitch, yaw]")
    if array.dtype.kind not in "iuf" or array.size != 2:
        raise _unfit("camera", value, "two numbers [pitch, yaw]")
    camera = array.astype(np.float32).reshape(2)
    if not np.isfinite(camera).all():
        raise ActionError(f"action['camera']: expected finite numbers, got {camera.tolist()}")
    if (np.abs(camera) > CAMERA_LIMIT).any():
        raise ActionError(
            f"action['camera']: expected at most +-{CAMERA_LIMIT:g} degrees per step, "
            f"got {camera.tolist()}"
        )
    return camera


def null_action() -> dict[str, Any]:
    """The environment's dictionary with nothing held and no movement."""
    return validate_action({})


def camera_to_bins(degrees: NDArray[np.floating]) -> NDArray[np.int64]:
    """VPT's camera quantiser, per component: mu-law (mu 10) over +-10 degrees into 11 bins.

    Args:
        degrees: Camera movement in degrees, of any shape.

    Returns:
        int64 of the same shape, 0..10, 5 being no movement.
    """
    clipped = np.clip(np.asarray(degrees, dtype=np.float64), -CAMERA_MAX, CAMERA_MAX)
    law = (
        np.sign(clipped) * np.log1p(CAMERA_MU * np.abs(clipped) / CAMERA_MAX) / np.log1p(CAMERA_MU)
    )
    bins: NDArray[np.int64] = np.rint((law * CAMERA_MAX + CAMERA_MAX) / 2).astype(np.int64)
    return bins


def bins_to_camera(bins: NDArray[np.integer]) -> NDArray[np.float64]:
    """Degrees at the centres of camera bins; the inverse of `camera_to_bins` on them."""
    law = (2.0 * np.asarray(bins) - CAMERA_MAX) / CAMERA_MAX
    return np.sign(law) * CAMERA_MAX * ((1 + CAMERA_MU) ** np.abs(law) - 1) / CAMERA_MU


def env_to_indices(actions: EnvActions) -> VPTActions:
    """VPT indices of environment actions.

    Forward with back, and left with right, cancel; in the other groups the later member wins (sneak
    over sprint, the highest hotbar number). The inventory key stands alone: camera and all other
    buttons of that step are dropped.
    """
    camera = camera_to_bins(actions.camera)
    moved = (camera != NULL_CAMERA_BIN).any(axis=1)
    index = np.zeros(len(actions), dtype=np.int64)
    for group in _GROUPS:
        digit = np.zeros(len(actions), dtype=np.int64)
        if group == ("camera",):
            digit[moved] = 1
        else:
            held = [actions.column(button).astype(bool) for button in group]
            for option, pressed in enumerate(held, start=1):
                digit[pressed] = option
            if group in (("forward", "back"), ("left", "right")):
                digit[held[0] & held[1]] = 0
        index = index * (len(group) + 1) + digit
    joint = camera[:, 0] * N_CAMERA_BINS + camera[:, 1]
    inventory = actions.column("inventory").astype(bool)
    index[inventory] = INVENTORY_INDEX
    joint[inventory] = NULL_CAMERA
    return VPTActions(index, joint, actions.column("ESC").astype(bool))


def _button_table() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """uint8 [8641, 23]: buttons held in each joint class; bool [8641]: whether its camera counts."""
    table = np.zeros((N_BUTTONS, len(BUTTONS)), dtype=np.uint8)
    camera_on = np.zeros(N_BUTTONS, dtype=bool)
    digits = product(*(range(len(group) + 1) for group in _GROUPS))
    for index, choice in enumerate(digits):
        for group, option in zip(_GROUPS[:-1], choice[:-1], strict=True):
            if option:
                table[index, COLUMN[group[option - 1]]] = 1
        camera_on[index] = bool(choice[-1])
    table[INVENTORY_INDEX, COLUMN["inventory"]] = 1
    # As in VPT: the camera head's choice is used when the inventory key is decoded.
    camera_on[INVENTORY_INDEX] = True
    return table, camera_on


BUTTON_TABLE, CAMERA_ON = _button_table()


def indices_to_env(
    buttons: NDArray[np.integer],
    camera: NDArray[np.integer],
    esc: NDArray[np.bool_] | None = None,
) -> EnvActions:
    """Environment actions of VPT indices; the camera is centred where the class's camera bit is off.

    Args:
        buttons: int [T], 0..8640.
        camera: int [T], 0..120, pitch bin * 11 + yaw bin.
        esc: bool [T], or None for never.

    Raises:
        ActionError: an index out of range, or lengths that differ.
    """
    buttons, camera = np.asarray(buttons), np.asarray(camera)
    if buttons.shape != camera.shape or buttons.ndim != 1:
        raise ActionError(
            f"indices: expected two arrays [T], got shapes {buttons.shape} and {camera.shape}"
        )
    if buttons.size and (buttons.min() < 0 or buttons.max() >= N_BUTTONS):
        raise ActionError(f"indices: expected buttons in 0..{N_BUTTONS - 1}")
    if camera.size and (camera.min() < 0 or camera.max() >= N_CAMERA):
        raise ActionError(f"indices: expected camera in 0..{N_CAMERA - 1}")
    held = BUTTON_TABLE[buttons].copy()
    if esc is not None:
        held[:, COLUMN["ESC"]] = esc
    bins = np.stack([camera // N_CAMERA_BINS, camera % N_CAMERA_BINS], axis=1)
    bins[~CAMERA_ON[buttons]] = NULL_CAMERA_BIN
    return EnvActions(held, bins_to_camera(bins))


def is_null(indices: VPTActions) -> NDArray[np.bool_]:
    """bool [T]: nothing is pressed and the camera does not move, after quantisation (ESC is not null)."""
    centred = (indices.camera == NULL_CAMERA) | ~CAMERA_ON[indices.buttons]
    null: NDArray[np.bool_] = BUTTON_TABLE[indices.buttons].sum(axis=1) == 0
    null &= centred & ~indices.esc
    return null
