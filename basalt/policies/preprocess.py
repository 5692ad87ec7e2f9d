"""From a recorded or rendered picture to the policy's input picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from basalt.io.errors import BasaltError

Frame = npt.NDArray[np.uint8]


def resize_frame(frame: Frame, size: tuple[int, int] = (128, 128)) -> Frame:
    """Shrink one picture the way VPT was trained: bilinear, aspect not kept, no antialiasing.

    Any other filter (Pillow's, area averaging, antialiased torch) gives a visibly different picture
    and so a different policy.

    Args:
        frame: [height, width, 3] uint8 RGB, normally 360 x 640.
        size: (height, width) wanted.

    Returns:
        [size[0], size[1], 3] uint8 RGB.

    Raises:
        BasaltError: the picture is not uint8 with three channels.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise BasaltError(
            f"frame: expected uint8 [height, width, 3] RGB, found {frame.dtype} {list(frame.shape)}"
        )
    if frame.shape[:2] == tuple(size):
        return frame
    resized = cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def resize_frames(frames: Frame, size: tuple[int, int] = (128, 128)) -> Frame:
    """`resize_frame` over a batch: [n, height, width, 3] uint8 -> [n, size[0], size[1], 3] uint8."""
    out = np.empty((len(frames), *size, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        out[i] = resize_frame(frame, size)
    return out
