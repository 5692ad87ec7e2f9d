"""Mirroring exchanges left and right and nothing else."""

import numpy as np

from basalt.core.actions import (
    COLUMN,
    N_BUTTONS,
    N_CAMERA,
    EnvActions,
    VPTActions,
    indices_to_env,
)
from basalt.data.mirror import MIRRORED_BUTTONS, MIRRORED_CAMERA, mirror_actions, mirror_frames


def every_class() -> VPTActions:
    buttons = np.arange(N_BUTTONS)
    return VPTActions(buttons, buttons % N_CAMERA, buttons % 2 == 0)


def test_left_and_right_and_yaw_are_exchanged() -> None:
    plain, mirrored = every_class(), mirror_actions(every_class())
    before: EnvActions = indices_to_env(plain.buttons, plain.camera, plain.esc)
    after = indices_to_env(mirrored.buttons, mirrored.camera, mirrored.esc)
    swapped = before.buttons.copy()
    left, right = COLUMN["left"], COLUMN["right"]
    swapped[:, [left, right]] = before.buttons[:, [right, left]]
    np.testing.assert_array_equal(after.buttons, swapped)
    np.testing.assert_allclose(after.camera, before.camera * [1, -1], atol=1e-12)


def test_twice_is_nothing() -> None:
    np.testing.assert_array_equal(MIRRORED_BUTTONS[MIRRORED_BUTTONS], np.arange(N_BUTTONS))
    np.testing.assert_array_equal(MIRRORED_CAMERA[MIRRORED_CAMERA], np.arange(N_CAMERA))


def test_pictures_are_reversed_along_their_columns() -> None:
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.testing.assert_array_equal(mirror_frames(frames)[:, :, 0], frames[:, :, 3])
