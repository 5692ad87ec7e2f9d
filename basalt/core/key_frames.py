"""Where decoding of a video may begin, other than at its start, so that every frame is the right one.

Most key frames do not suffice: frames after one may refer to frames before it (open groups of pictures, intra
refresh), containers seek to another place than asked, and an edit list hides frames. One kind does: the H.264
standard (ISO/IEC 14496-10, 7.4.1.2.4) forbids that anything after an IDR picture refers to what is before it, and
all frames before it are shown before it. In containers that store one picture per packet, its index is thus the
number of packets before it that are shown.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from basalt.core.video_bounds import DECODER_BOUNDS, MAX_FRAMES, MAX_PIXELS, claimed_frames
from basalt.io.errors import RecordingError

_SLICES = {1, 2, 3, 4}
_IDR = 5
_PARAMETERS = {7, 8}
"""Types of NAL units (Table 7-1): slices of other pictures, of IDR pictures, and parameter sets."""


@dataclass(frozen=True)
class Entry:
    """A packet at which decoding may begin.

    Attributes:
        packet: Number of packets before it.
        frame: Index of the first frame that is decoded from it.
        time: Presentation time of the frame asked for, to check it by; None if it is not known.
    """

    packet: int
    frame: int
    time: int | None = None


FIRST = Entry(0, 0)
"""The start of the video, which is always right."""


def last_entry(container: "av.container.InputContainer", start: int) -> Entry:
    """The last packet at which decoding may begin to read frame `start`.

    Args:
        container: A video that was just opened; its packets are read, without decoding.
        start: Index of the frame.

    Returns:
        The entry; `FIRST` in a video that is not H.264, is stored otherwise than one picture per packet
        (MPEG-TS), or is not regular enough to count on.

    Raises:
        av.FFmpegError: The file cannot be read.
    """
    stream = container.streams.video[0]
    header = stream.codec_context.extradata or b""
    # A first byte of 1 is that of `avcC` (ISO/IEC 14496-15): pictures are packets, and units have lengths.
    if stream.codec_context.name != "h264" or len(header) < 7 or header[0] != 1:
        return FIRST
    length_size = (header[4] & 3) + 1
    entry, frames, own_parameters = FIRST, 0, False
    times: list[int] = []
    for number, packet in enumerate(container.demux(stream)):
        if not packet.size:
            continue
        units = _units(packet, length_size)
        is_idr = _IDR in units and not units & _SLICES
        if (
            packet.pts is None
            or packet.is_corrupt
            or packet.has_sidedata("new_extradata")
            or (number == 0 and not is_idr)
        ):
            return FIRST
        # Without its parameter sets a picture may need those that came with an earlier one.
        if is_idr and (not own_parameters or units >= _PARAMETERS):
            if frames > start:
                break
            entry, times = Entry(number, frames), []
        own_parameters = own_parameters or bool(units & _PARAMETERS)
        if not packet.is_discard:
            frames += 1
            times.append(packet.pts)
    place = start - entry.frame
    if place >= len(times) or len(set(times)) < len(times):
        return FIRST
    return Entry(entry.packet, entry.frame, sorted(times)[place])


def _units(packet: "av.Packet[Any]", length_size: int) -> set[int]:
    """Types of the NAL units in a packet."""
    data = memoryview(packet)
    types, at = set(), 0
    while at + length_size < len(data):
        length = int.from_bytes(data[at : at + length_size])
        if length:
            types.add(data[at + length_size] & 31)
        at += length_size + length
    return types


def open_video(path: Path) -> "av.container.InputContainer":
    """Open a video file.

    Raises:
        RecordingError: The file is missing, is not a video, has no video stream that can be decoded, or claims too many
            frames or pixels.
    """
    if not path.is_file():
        raise RecordingError(f"{path}: no such video")
    try:
        if (claimed := claimed_frames(path)) > MAX_FRAMES:
            raise RecordingError(
                f"{path}: expected at most {MAX_FRAMES:,} frames, got {claimed:,}; split the recording"
            )
        kind = "mpegts" if _is_transport_stream(path) else None
        container = av.open(str(path), format=kind, options=DECODER_BOUNDS)
    except (av.FFmpegError, OSError) as err:
        raise RecordingError(f"{path}: not a video that can be read ({err})") from err
    streams = container.streams.video
    # Pictures such as SVG have a stream for which FFmpeg has no decoder.
    if not streams or streams[0].codec_context is None:
        container.close()
        what = "no decoder for its video stream" if streams else "has no video stream"
        raise RecordingError(f"{path}: {what}")
    decoder = streams[0].codec_context
    if decoder.width * decoder.height > MAX_PIXELS:
        container.close()
        raise RecordingError(
            f"{path}: expected at most {MAX_PIXELS:,} pixels a frame, got {decoder.width}x{decoder.height}; encode it "
            "smaller"
        )
    decoder.options = DECODER_BOUNDS
    return container


def _is_transport_stream(path: Path) -> bool:
    """Whether a file is in MPEG-TS: packets of 188 bytes that each begin with 0x47 (ISO/IEC 13818-1, 2.4.3.2).

    FFmpeg takes those of a few frames for another format.
    """
    with path.open("rb") as file:
        head = file.read(16 * 188)
    return len(head) >= 3 * 188 and set(head[::188]) == {0x47}
