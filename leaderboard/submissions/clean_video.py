"""Clean videos for raters' browsers: H.264 in an mp4, without sound, titles or comments.

A file's metadata could reveal to a rater who played. A cleaned video shows the frames of the one that was
submitted, as many and in the same order.
"""

import os
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import av
import numpy as np

from basalt.core.key_frames import open_video
from basalt.core.recording import sha256_of
from basalt.core.video import FrameSize, VideoInfo, VideoWriter, probe, read_frames
from basalt.io.errors import RecordingError

Cleaning = Literal["encode", "remux"]

# Metadata keys that every mp4 has and that do not describe the player.
_HARMLESS = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "creation_time",
    "language", "handler_name", "vendor_id",
}  # fmt: skip
_OWN_WORDS = {"encoder", "handler_name"}
_USUAL = ("lavf", "lavc", "videohandler", "core media video", "vide", "x264", "libx264")


def cleaning_of(path: Path, info: VideoInfo) -> Cleaning | None:
    """How a video must be cleaned before it is shown: `encode` again, `remux` the pictures alone, or not at all.

    Raises:
        RecordingError: The video is not readable.
    """
    if info.codec != "h264" or info.pixel_format != "yuv420p" or info.hidden:
        return "encode"
    if not info.plays_in_browsers or info.start or not _has_usual_boxes(path):
        return "remux"
    try:
        with av.open(str(path)) as container:
            said = dict(container.metadata)
            for stream in container.streams:
                said |= stream.metadata
            plain = len(container.streams) == 1 and {key.lower() for key in said} <= _HARMLESS
            usual = all(
                str(value).lower().startswith(_USUAL)
                for key, value in said.items()
                if key.lower() in _OWN_WORDS and str(value).strip("\0 ")
            )
    except av.FFmpegError as err:
        raise RecordingError(f"{path}: not a readable video ({err})") from err
    return None if plain and usual else "remux"


def _has_usual_boxes(path: Path) -> bool:
    """Whether an mp4 is ftyp, moov (the index, in front) and mdat (the pictures), and nothing else.

    Fragments (moof) cannot be searched, and other boxes may hold words.
    """
    found = []
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        at = 0
        while at < end:
            file.seek(at)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4]), head[4:8]
            if size == 1:  # a 64-bit size follows
                size = int.from_bytes(head[8:16])
            if size < 8 or at + size > end:
                return False
            # An empty `free` box takes the place of a longer header.
            if (kind, size) != (b"free", 8):
                found.append(kind)
            at += size
    return found == [b"ftyp", b"moov", b"mdat"]


def clean(source: Path, target: Path, how: Cleaning) -> str:
    """Write the cleaned video; returns its SHA-256.

    Pictures that cannot be stored in an mp4 exactly as they are get encoded again.

    Raises:
        RecordingError: A frame cannot be decoded.
    """
    if how == "encode" or not _remux(source, target):
        info = probe(source)
        writer = VideoWriter(target, FrameSize(info.width, info.height))
        for frame in read_frames(source):
            writer.write(frame)
        writer.close()
    return sha256_of(target)


def _remux(source: Path, target: Path) -> bool:
    """Write the encoded pictures alone to an mp4; returns whether it shows the same as `source`.

    Times of decoding, which some containers do not store, are derived from those of presentation.
    """
    try:
        with open_video(source) as before:
            stored = [one.pts for one in before.demux(before.streams.video[0]) if one.size]
        times = [time for time in stored if time is not None]
        if len(set(times)) < len(stored):
            return False
        later = [time - min(times) for time in times]
        moments = zip(later, _decoding_times(later), strict=True)
        with (
            open_video(source) as before,
            av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as after,
        ):
            pictures = before.streams.video[0]
            stream = after.add_stream_from_template(pictures)
            stream.metadata.clear()
            after.metadata.clear()
            for packet in before.demux(pictures):
                if packet.size:
                    packet.pts, packet.dts = next(moments)
                    packet.stream = stream
                    after.mux(packet)
        return cleaning_of(target, probe(target)) is None and _show_the_same(source, target)
    except (av.FFmpegError, RecordingError):
        return False  # encoding it again raises the fault of a damaged one


def _decoding_times(times: list[int]) -> list[int]:
    """Times of decoding for packets in that order: they ascend, and none is later than its presentation.

    Args:
        times: Time of presentation of each packet; the smallest is 0.
    """
    shown = sorted(times)
    place = {time: number for number, time in enumerate(shown)}
    delay = max(number - place[time] for number, time in enumerate(times))
    step = shown[1] if len(shown) > 1 else 1
    return [step * (number - delay) for number in range(delay)] + shown[: len(shown) - delay]


def _show_the_same(source: Path, target: Path) -> bool:
    """Whether both hold the same pictures, and those of `target` have times in their order, by which players go."""
    before: int | None = None
    with open_video(source) as one, open_video(target) as other:
        for expected, shown in zip_longest(one.decode(video=0), other.decode(video=0)):
            if expected is None or shown is None or shown.pts is None:
                return False
            if before is not None and shown.pts <= before:
                return False
            if not np.array_equal(expected.to_ndarray(), shown.to_ndarray()):
                return False
            before = shown.pts
    return True
