"""Bounds of videos, checked before FFmpeg takes memory: a file of a few kilobytes may claim any number of frames."""

import os
from pathlib import Path
from typing import IO

MAX_FRAMES = 200_000
"""Largest number of frames of a video and of lines of a recording: nearly three hours."""

MAX_PIXELS = 4096 * 2304
"""Largest number of pixels of a frame."""

DECODER_BOUNDS = {"max_pixels": str(MAX_PIXELS)}
"""FFmpeg's options of a decoder, also of the one by which it looks at a file that it opens."""

_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
"""Boxes of an mp4 that hold boxes (ISO/IEC 14496-12), on the way to those that say how many frames there are."""

_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Boxes with a number of frames, and its place in them (8.7.3.2, 8.7.3.3, 8.8.8.2)."""


def claimed_frames(path: Path) -> int:
    """Number of frames that an mp4 claims to hold in all its tracks; 0 for other containers.

    FFmpeg makes an entry for each of them when it opens the file, whether or not there is anything in it.

    Args:
        path: File that exists.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return _claimed(file, os.fstat(file.fileno()).st_size, 0)


def _claimed(file: IO[bytes], end: int, depth: int) -> int:
    """Number of frames that the boxes up to a place in the file claim."""
    total = 0
    while (start := file.tell()) + 8 <= end and total <= MAX_FRAMES:
        header = file.read(16)
        size, kind = int.from_bytes(header[:4]), header[4:8]
        inside = start + 8
        if size == 1:  # 64 bits of it follow
            size, inside = int.from_bytes(header[8:16]), start + 16
        stop = end if size == 0 else min(start + size, end)
        if stop < inside:
            break  # not an mp4
        file.seek(inside)
        if kind in _FOLDERS and depth < len(_FOLDERS):
            total += _claimed(file, stop, depth + 1)
        elif kind in _COUNTS:
            file.seek(inside + _COUNTS[kind])
            total += int.from_bytes(file.read(4))
        file.seek(stop)
    return total
