"""Frames of a play as the policy sees them: decoded in order, or read from the cache folder.

The mouse pointer is pasted into BEDD's frames while a screen is open (worlds draw it themselves). The
full frame is then resized by OpenCV's INTER_LINEAR, on which VPT's weights were trained.
"""

import bisect
import hashlib
import math
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import sha256_of
from basalt.core.video import FRAME_SIZE, FrameSize, VideoReader
from basalt.data.bedd import Play
from basalt.data.cursor import paste_cursor
from basalt.data.steps import pointer_table
from basalt.io.atomic import replacing
from basalt.io.errors import RecordingError
from basalt.io.paths import cache_dir

_SEEK_GAP = 500
"""Longest gap, in frames, that is decoded and discarded; longer ones are jumped over, which reads the
file's index."""


class FrameReader:
    """Reads a play's frames in order; one full-size frame is in memory at a time.

    Frames are numbered over all parts of the play; only frames that pair with a line count.

    Args:
        play: One demonstration.
        size: Size of the frames given; None for full frames.

    Raises:
        RecordingError: The lines cannot be read.
    """

    def __init__(self, play: Play, size: FrameSize | None) -> None:
        self._play = play
        pointers = pointer_table(play)
        parts = pointers["part"].to_numpy()
        self._starts: list[int] = np.searchsorted(parts, np.arange(len(play.parts) + 1)).tolist()
        self._cursor = pointers[["cursor_x", "cursor_y"]].to_numpy()
        size = size or FRAME_SIZE
        self._shape, self._resized_to = size.shape, (size.width, size.height)
        self._part = -1
        self._video: VideoReader | None = None

    def __len__(self) -> int:
        return len(self._cursor)

    def read(self, frames: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Frames by number, uint8 [n, height, width, 3] RGB; fastest in ascending order.

        Raises:
            RecordingError: A video cannot be decoded or is shorter than its lines.
        """
        out = np.empty((len(frames), *self._shape), dtype=np.uint8)
        self.read_into(out, frames)
        return out

    def read_into(self, out: NDArray[np.uint8], frames: NDArray[np.integer]) -> None:
        """Like `read`, into an array of the caller's, such as a batch's."""
        wrong = frames[(frames < 0) | (frames >= len(self))]
        if len(wrong):
            raise IndexError(f"frame {wrong[0]} of {len(self)}")
        # Python numbers: NumPy scalars cost several times as much, and there is one per frame.
        numbers, pointers = frames.tolist(), self._cursor[frames].tolist()
        for target, number, (x, y) in zip(out, numbers, pointers, strict=True):
            frame = self._full(number)
            if not math.isnan(x):
                frame = frame.copy()
                paste_cursor(frame, x, y)
            if frame.shape == self._shape:
                target[:] = frame
            else:
                cv2.resize(frame, self._resized_to, dst=target, interpolation=cv2.INTER_LINEAR)

    def _full(self, number: int) -> NDArray[np.uint8]:
        """The full frame, read-only."""
        part = bisect.bisect_right(self._starts, number) - 1
        frame = number - self._starts[part]
        video = self._at(part, frame)
        picture = video.read()
        if picture is None:
            lines = self._starts[part + 1] - self._starts[part]
            raise RecordingError(
                f"{video.path}: expected {lines} frames, got {video.position}; the video is truncated"
            )
        return picture

    def _at(self, part: int, frame: int) -> VideoReader:
        """The part's video, positioned at that frame."""
        video = self._video
        if video is not None and part == self._part:
            gap = frame - video.position
            if 0 <= gap <= _SEEK_GAP:
                video.skip(gap)
                return video
        self.close()
        self._part, self._video = part, VideoReader(self._play.parts[part].video_path, frame)
        return self._video

    def close(self) -> None:
        """Close the open video; reading opens it again."""
        if self._video is not None:
            self._video.close()
            self._video = None


def decoded_frames(play: Play, size: FrameSize) -> NDArray[np.uint8]:
    """All frames of a play at the policy's size, for small data that is read often or in any order.

    They are decoded on the first call, then read from an uncompressed array file in the cache folder,
    which is named by the contents of the play's files: a changed video is decoded again.

    Args:
        play: Play of n steps.
        size: Size of the policy's input frame.

    Returns:
        uint8 [n, height, width, 3] RGB, memory-mapped read-only.

    Raises:
        RecordingError: A video cannot be decoded or is shorter than its lines.
    """
    digest = hashlib.sha256(str(((size.height, size.width), play.is_bedd)).encode())
    for part in play.parts:
        digest.update(sha256_of(part.video_path).encode())
        digest.update(sha256_of(part.lines_path).encode())
    folder = cache_dir() / "frames"
    path = folder / f"{digest.hexdigest()[:32]}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _decode(FrameReader(play, size), path, size)
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return frames


def _decode(reader: FrameReader, path: Path, size: FrameSize) -> None:
    """Decode all into an array file."""
    shape = (len(reader), *size.shape)
    with closing(reader), replacing(path) as partial:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for start in range(0, len(reader), 64):
            numbers = np.arange(start, min(start + 64, len(reader)))
            array[numbers] = reader.read(numbers)
        array.flush()
        del array
