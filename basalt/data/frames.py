"""Small frames of recordings, decoded once and kept in the cache folder."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from basalt.errors import RecordingError
from basalt.paths import cache_dir
from basalt.recording import Recording, sha256_of


def decoded_frames(recording: Recording, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frames that pair with the recording's lines, at the policy's size.

    Decoded on the first call, then read from an uncompressed array file under the cache folder, named
    by the video's hash: a changed video is decoded again. Full-size frames are held one at a time.

    Args:
        recording: n steps.
        size: (height, width) of the policy's picture.

    Returns:
        uint8 [n, height, width, 3] RGB, memory-mapped read-only.

    Raises:
        RecordingError: the video cannot be decoded or is shorter than its lines.
    """
    height, width = size
    n = len(recording)
    folder = cache_dir() / "frames"
    digest = sha256_of(recording.video_path)[:32]
    path = folder / f"{digest}-{height}x{width}-{n}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _decode(recording, path, (n, height, width, 3))
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return frames


def _decode(recording: Recording, path: Path, shape: tuple[int, int, int, int]) -> None:
    """Write the array under a name of this process, then give it its final name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        found = 0
        for frame in recording.frames(size=(shape[2], shape[1])):
            if found == shape[0]:
                break
            array[found] = frame
            found += 1
        if found < shape[0]:
            raise RecordingError(
                f"{recording.video_path}: {found} frames for {shape[0]} lines; the video is cut short"
            )
        array.flush()
        del array
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
