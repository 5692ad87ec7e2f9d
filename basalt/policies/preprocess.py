"""Resize recorded or rendered frames to the policy's input frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.core.video import FrameSize
from basalt.data.episodes import DEFAULT_INPUT_SIZE
from basalt.io.errors import BasaltError


def resize_frame(
    frame: NDArray[np.uint8], size: FrameSize = DEFAULT_INPUT_SIZE
) -> NDArray[np.uint8]:
    """Resize one frame as in VPT's training: bilinear, aspect not kept, no antialiasing.

    Any other filter (Pillow's, area averaging, antialiased torch) gives a visibly different frame and
    so another action distribution.

    Args:
        frame: uint8 [height, width, 3] RGB, normally 640x360.
        size: Size of the result.

    Returns:
        [size.height, size.width, 3] uint8 RGB.

    Raises:
        BasaltError: The frame is not uint8 with three channels.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise BasaltError(
            f"frame: expected uint8 [height, width, 3] RGB, got {frame.dtype} {list(frame.shape)}"
        )
    if frame.shape == size.shape:
        return frame
    resized = cv2.resize(frame, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def resize_frames(
    frames: NDArray[np.uint8], size: FrameSize = DEFAULT_INPUT_SIZE
) -> NDArray[np.uint8]:
    """`resize_frame` over a batch: [n, height, width, 3] uint8 -> [n, *size.shape] uint8."""
    out = np.empty((len(frames), *size.shape), dtype=np.uint8)
    for i, frame in enumerate(frames):
        out[i] = resize_frame(frame, size)
    return out
