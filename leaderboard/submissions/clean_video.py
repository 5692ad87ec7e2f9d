"""Clean videos for raters' browsers: H.264 only, without sound, titles or comments.

A file's metadata could reveal to a rater who played.
"""

from pathlib import Path
from typing import Literal

import av

from basalt.core.recording import sha256_of
from basalt.core.video import VideoInfo, VideoWriter, read_frames
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
        raise RecordingError(f"{path}: not a readable video ({err})") from err
    return None if plain and usual else "remux"


def clean(source: Path, target: Path, how: Cleaning) -> str:
    """Write the cleaned video; returns its SHA-256.

    Raises:
        RecordingError: A frame cannot be decoded.
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
