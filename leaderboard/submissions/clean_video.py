"""Clean videos for raters' browsers: H.264 pictures in an mp4, and nothing else.

What a file says besides its pictures could reveal to a rater who played: titles, dates and programs' names in the
container, an encoder's name and settings in the stream, words in boxes that no player reads. A cleaned video shows the
frames of the one that was submitted, as many and in the same order. It is written from its coded pictures alone, so two
videos with the same ones are the same file, whatever else they said.
"""

import filecmp
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from basalt.core.key_frames import open_video
from basalt.core.recording import sha256_of
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video import FrameSize, VideoInfo, VideoWriter, probe, read_frames
from basalt.io.errors import RecordingError

Cleaning = Literal["encode", "remux"]

_PICTURES = "filter_units=pass_types=1-5|7-8"
"""FFmpeg's filter for slices and parameter sets (ISO/IEC 14496-10, Table 7-1). It leaves out supplemental information
(SEI), in which x264 writes its name and settings and where any text fits, and units that decoders skip."""

_MUXER = {"movflags": "faststart", "fflags": "+bitexact", "write_btrt": "0"}
"""Index in front; neither the muxer's name nor a bit rate that the source claimed."""

_FRAME_TIME = Fraction(1, STEPS_PER_SECOND)
_TOLERANCE = Fraction(1, 1000)


def cleaning_of(path: Path, info: VideoInfo) -> Cleaning | None:
    """How a video must be cleaned before it is shown: `encode` again, `remux` the pictures alone, or not at all.

    Raises:
        RecordingError: The video is not readable.
    """
    if info.codec != "h264" or info.pixel_format != "yuv420p" or info.hidden:
        return "encode"
    with TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.mp4"
        try:
            same = _write_pictures(path, pictures) and filecmp.cmp(path, pictures, shallow=False)
        except av.FFmpegError:
            same = False
    return None if same else "remux"


def clean(source: Path, target: Path, how: Cleaning) -> str:
    """Write the cleaned video; returns its SHA-256.

    Pictures that cannot be stored in an mp4 exactly as they are get encoded again.

    Raises:
        RecordingError: A frame cannot be decoded.
    """
    if how == "encode" or not _remux(source, target):
        info = probe(source)
        encoded = target.with_suffix(".encoded.mp4")
        try:
            writer = VideoWriter(encoded, FrameSize(info.width, info.height))
            for frame in read_frames(source):
                writer.write(frame)
            writer.close()
            if not _remux(encoded, target):
                raise RecordingError(f"{source}: cannot be stored as an mp4 for browsers")
        finally:
            encoded.unlink(missing_ok=True)
    return sha256_of(target)


def _remux(source: Path, target: Path) -> bool:
    """Write the encoded pictures alone to an mp4; returns whether it shows the same as `source`."""
    try:
        return (
            _write_pictures(source, target)
            and cleaning_of(target, probe(target)) is None
            and _show_the_same(source, target)
        )
    except (av.FFmpegError, RecordingError):
        return False  # encoding it again raises the fault of a damaged one


def _write_pictures(source: Path, target: Path) -> bool:
    """Write the encoded pictures alone to an mp4; returns False if their times are not known.

    Times of presentation 50 ms apart, give or take 1, become exact, so that clocks of containers leave no trace. Times of
    decoding, which some containers do not store, are derived from those of presentation.
    """
    with open_video(source) as before:
        pictures = before.streams.video[0]
        clock = pictures.time_base
        stored = [one.pts for one in before.demux(pictures) if one.size]
    times = [time for time in stored if time is not None]
    if not times or clock is None or len(set(times)) < len(stored):
        return False
    shown = sorted(times)
    if all(abs((b - a) * clock - _FRAME_TIME) <= _TOLERANCE for a, b in pairwise(shown)):
        clock = _FRAME_TIME
        place = {time: number for number, time in enumerate(shown)}
        later = [place[time] for time in times]
    else:
        later = [time - shown[0] for time in times]
    moments = zip(later, _decoding_times(later), strict=True)
    with (
        open_video(source) as before,
        av.open(str(target), "w", format="mp4", options=_MUXER) as after,
    ):
        pictures = before.streams.video[0]
        stream = after.add_stream_from_template(pictures)
        stream.metadata.clear()
        after.metadata.clear()
        wanted = BitStreamFilterContext(_PICTURES, pictures, stream)
        stream.codec_context.codec_tag = "avc1"
        stream.time_base = clock
        for packet in before.demux(pictures):
            if packet.size:
                pts, dts = next(moments)
                for kept in wanted.filter(packet):
                    kept.pts, kept.dts, kept.time_base = pts, dts, clock
                    if clock == _FRAME_TIME:
                        kept.duration = 1
                    kept.stream = stream
                    after.mux(kept)
    return True


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
