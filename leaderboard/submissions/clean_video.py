"""Videos as raters' browsers need them: H.264 alone, without sound, titles or comments.

What a file says of itself besides its pictures could tell a rater who played.
"""

from pathlib import Path
from typing import Literal

import av

from basalt.core.recording import sha256_of
from basalt.core.video import VideoInfo, VideoWriter, read_frames
from basalt.io.errors import RecordingError

Cleaning = Literal["encode", "remux"]

# What every mp4 says of itself, none of it the player's.
_HARMLESS = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "creation_time",
    "language", "handler_name", "vendor_id",
}  # fmt: skip
_OWN_WORDS = {"encoder", "handler_name"}
_USUAL = ("lavf", "lavc", "videohandler", "core media video", "vide", "x264", "libx264")


def cleaning_of(path: Path, info: VideoInfo) -> Cleaning | None:
    """What a video needs before it is shown: anew ``encode``d, its pictures alone ``remux``ed, or nothing.

    Raises:
        RecordingError: not a readable video.
    """
    if not info.plays_in_browsers:
        return "encode"
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
        raise RecordingError(f"{path}: not a video that can be read ({err})") from err
    return None if plain and usual else "remux"


def clean(source: Path, target: Path, how: Cleaning) -> str:
    """Write the cleaned video; returns its SHA-256.

    Raises:
        RecordingError: a frame cannot be decoded.
    """
    if how == "encode":
        writer = VideoWriter(target)
        for frame in read_frames(source):
            writer.write(frame)
        writer.close()
        return sha256_of(target)
    try:
        with (
            av.open(str(source)) as before,
            av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as after,
        ):
            pictures = before.streams.video[0]
            stream = after.add_stream_from_template(pictures)
            stream.metadata.clear()
            after.metadata.clear()
            for packet in before.demux(pictures):
                if packet.dts is not None:
                    packet.stream = stream
                    after.mux(packet)
    except av.FFmpegError as err:
        raise RecordingError(f"{source}: damaged video ({err}); record it again") from err
    return sha256_of(target)
