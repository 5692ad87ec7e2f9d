"""Mirroring as data augmentation: left and right are exchanged, in frames and actions."""

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import (
    INVENTORY_INDEX,
    N_BUTTONS,
    N_CAMERA,
    N_CAMERA_BINS,
    VPTActions,
)

# A joint button index in mixed radix: hotbar, fore_back, left_right, then 96 = 3 * 2**5 of the rest.
_REST = 3 * 2**5


def _button_table() -> NDArray[np.int64]:
    """int64 [8641]: each class's mirror image."""
    index = np.arange(N_BUTTONS)
    side = index // _REST % 3
    mirrored = index + (np.array([0, 2, 1])[side] - side) * _REST
    mirrored[INVENTORY_INDEX] = INVENTORY_INDEX
    return mirrored


def _camera_table() -> NDArray[np.int64]:
    """int64 [121]: each bin's mirror image, with the same pitch and the opposite yaw."""
    pitch, yaw = np.divmod(np.arange(N_CAMERA), N_CAMERA_BINS)
    table: NDArray[np.int64] = pitch * N_CAMERA_BINS + (N_CAMERA_BINS - 1 - yaw)
    return table


MIRRORED_BUTTONS, MIRRORED_CAMERA = _button_table(), _camera_table()


def mirror_actions(actions: VPTActions) -> VPTActions:
    """The actions that match the mirrored frames."""
    return VPTActions(
        MIRRORED_BUTTONS[actions.buttons], MIRRORED_CAMERA[actions.camera], actions.esc
    )


def mirror_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames [..., height, width, 3] with their columns reversed (a view)."""
    return frames[..., ::-1, :]
