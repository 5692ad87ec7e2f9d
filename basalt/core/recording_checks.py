"""Checks of one recording's files; `basalt data validate`, submissions and replays share them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.frame import PictureType

from basalt.core.key_frames import open_video
from basalt.core.recording import Fault, Recording, parse_lines, sha256_of
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video import FRAME_SIZE, VideoInfo, probe
from basalt.core.video_bounds import DECODER_BOUNDS
from basalt.io.errors import RecordingError

RATE_TOLERANCE = 0.1
"""Frames per second by which a video's rate may differ from the world's."""

FAULT_KINDS = {
    "no video": "NAME.mp4 is missing",
    "no lines": "NAME.jsonl is missing",
    "description": "NAME.json is not valid, or does not describe the files",
    "empty": "the recording has no steps",
    "json": "a line is cut short or is not JSON",
    "schema": "a line misses a field, or has an invalid value",
    "ticks": "steps are missing, double or out of order",
    "video": "the file is not a video, or damaged",
    "decoding": "a frame cannot be decoded, or only by guessing",
    "frames": "there are neither as many frames as lines nor one more",
    "picture": f"not every frame is {FRAME_SIZE}, upright and with square pixels",
    "rate": f"the video does not run at {STEPS_PER_SECOND} Hz",
    "changed": "a file is not the one that NAME.json was written for",
}
"""Kinds of fault and what each means."""

WARNING_KINDS = {
    "times": f"frames do not follow each other by {1000 // STEPS_PER_SECOND} ms +- 1; players "
    "show them at other times than they were played",
}
"""Kinds of warning and what each means. Submissions may not have them either."""


@dataclass(frozen=True)
class Inspection:
    """What was found in a recording's files.

    Attributes:
        lines: Number of lines; None if they cannot be counted.
        frames: Number of frames; None if they cannot be counted.
        video: Facts of the video; None if it is not readable.
        faults: All faults found; the first of each kind for the lines.
        warnings: What keeps nobody from reading it, but is not as it should be; see `WARNING_KINDS`.
    """

    lines: int | None
    frames: int | None
    video: VideoInfo | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()


def inspect(recording: Recording, *, decode: bool = False) -> Inspection:
    """Find all faults of a recording.

    Args:
        recording: Recording to look at; its files may be missing.
        decode: Whether to decode every frame. Otherwise frames are counted from the file's packets,
            which is far faster and finds cut and missing frames, but not damaged ones.
    """
    faults = list(_changed_files(recording))
    lines, line_faults = _count_lines(recording)
    info, frames, video_faults = _count_frames(recording.video_path, decode)
    faults += line_faults + video_faults
    # A cut line counts as a step, so that one damage is not reported twice.
    if lines is not None and frames is not None and frames not in (lines, lines + 1):
        detail = f"{frames} frames for {lines} lines; expected as many, or one more"
        faults.append(Fault("frames", recording.video_path, detail))
    if (meta := recording.meta) is not None:
        counts = (("steps", meta.steps, lines), ("frames", meta.frames, frames))
        faults += [
            Fault("description", recording.meta_path, f"says {claimed} {what}, found {found}")
            for what, claimed, found in counts
            if found is not None and claimed != found
        ]
    return Inspection(lines, frames, info, tuple(faults), tuple(_warnings(recording, info)))


def _warnings(recording: Recording, info: VideoInfo | None) -> Iterator[Fault]:
    if info is not None and info.uneven:
        detail = (
            f"{info.uneven} of {info.frames} frames do not follow the one before by "
            f"{1000 // STEPS_PER_SECOND} ms +- 1"
        )
        yield Fault("times", recording.video_path, detail)


def check_recording(recording: Recording) -> VideoInfo:
    """Check a recording without decoding it; returns the facts of its video.

    Raises:
        RecordingError: The first fault found.
    """
    found = inspect(recording)
    if found.faults or found.video is None:
        raise RecordingError(str(found.faults[0]))
    return found.video


def picture_faults(path: Path, info: VideoInfo) -> Iterator[Fault]:
    """Faults of a video's frame size and rate."""
    if (info.width, info.height) != FRAME_SIZE:
        yield Fault("picture", path, f"is {info.width}x{info.height}, not {FRAME_SIZE}")
    elif info.turned or not info.square:
        how = "turned or mirrored" if info.turned else "stretched"
        yield Fault("picture", path, f"is {how} by players; encode it upright with square pixels")
    if info.frames > 1 and abs(info.fps - STEPS_PER_SECOND) > RATE_TOLERANCE:
        yield Fault("rate", path, f"runs at {info.fps:g} Hz, not {STEPS_PER_SECOND}")


def _changed_files(recording: Recording) -> Iterator[Fault]:
    if (meta := recording.meta) is None:
        return
    for path, claimed in (
        (recording.video_path, meta.video_sha256),
        (recording.lines_path, meta.lines_sha256),
    ):
        if path.is_file() and sha256_of(path) != claimed:
            yield Fault("changed", path, f"changed since {recording.meta_path.name} was written")


def _count_lines(recording: Recording) -> tuple[int | None, list[Fault]]:
    path = recording.lines_path
    if not path.is_file():
        return None, [Fault("no lines", path, "is missing")]
    try:
        # First the whole: they are kept, and sound ones are parsed only once.
        lines = recording.lines
    except RecordingError:
        return _count_faulty_lines(path)
    if not lines:
        # A world may fail before the first step.
        crashed = recording.meta is not None and recording.meta.ended == "crash"
        return 0, [] if crashed else [Fault("empty", path, "has no steps")]
    return len(lines), _late_start(path, lines[0].tick)


def _count_faulty_lines(path: Path) -> tuple[int | None, list[Fault]]:
    count, found = 0, dict[str, Fault]()
    try:
        for count, (line, fault) in enumerate(parse_lines(path), start=1):
            late = _late_start(path, line.tick) if line and count == 1 else []
            for one in (*late, *([fault] if fault else [])):
                found.setdefault(one.kind, one)
    except RecordingError as err:
        return None, [Fault("json", path, str(err).removeprefix(f"{path}: "))]
    return count, list(found.values())


def _late_start(path: Path, tick: int) -> list[Fault]:
    return [Fault("ticks", path, f"tick {tick}, not 0", line=1)] if tick else []


def _count_frames(path: Path, decode: bool) -> tuple[VideoInfo | None, int | None, list[Fault]]:
    if not path.is_file():
        return None, None, [Fault("no video", path, "is missing")]
    try:
        info = probe(path)
    except RecordingError as err:
        return None, None, [Fault("video", path, str(err).removeprefix(f"{path}: "))]
    faults = list(picture_faults(path, info))
    if not decode:
        return info, info.frames, faults
    if fault := decoding_fault(path, info):
        return info, None, [*faults, fault]
    return info, info.frames, faults


def decoding_fault(path: Path, info: VideoInfo) -> Fault | None:
    """The first reason why a video's frames cannot all be read exactly; None if every one can be.

    By default a decoder hides damage by guessing the missing blocks; here it must not.

    Args:
        path: Video, which is decoded fully.
        info: What `probe` found in it.
    """
    if info.holes:
        detail = f"an edit list hides {info.holes} frames between others; encode it again"
        return Fault("decoding", path, detail)
    if not _begins_with_key(path):
        return Fault("decoding", path, "begins after its key frame; some of its frames are lost")
    frames, damaged = 0, 0
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        stream.codec_context.options = DECODER_BOUNDS | {"err_detect": "explode"}
        try:
            for frame in container.decode(stream):
                if (frame.width, frame.height) != (info.width, info.height):
                    size, expected = (f"{one.width}x{one.height}" for one in (frame, info))
                    return Fault("picture", path, f"frame {frames} is {size}, not {expected}")
                frames += 1
                damaged += frame.is_corrupt
        except av.FFmpegError as err:
            return Fault("decoding", path, f"after {frames} frames: {err.strerror}")
    if damaged:
        return Fault("decoding", path, f"{damaged} damaged frames")
    if frames != info.frames:
        detail = f"{info.frames} frames are stored, {frames} can be decoded"
        return Fault("decoding", path, detail)
    return None


def _begins_with_key(path: Path) -> bool:
    """Whether nothing that the first picture needs is missing; an mp4 without a list of key frames claims that all are."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        first = next(container.demux(stream), None)
        if first is None or not first.is_keyframe:
            return False
        # A copy: FFmpeg shows nothing of a packet that an edit list hides.
        alone, decoder = av.Packet(bytes(first)), stream.codec_context
        try:
            pictures = [*decoder.decode(alone), *decoder.decode(None)]
        except av.FFmpegError:
            return True  # damage is found, and named, where all are decoded
        # Without what they refer to, some decoders show nothing, and others a grey picture that is of no type.
        return bool(pictures) and not any(
            one.pict_type in (PictureType.P, PictureType.B) for one in pictures
        )
