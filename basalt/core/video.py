"""H.264 video in and out, one frame at a time, by PyAV (whose wheel carries libx264).

Videos written here play in every browser: H.264, yuv420p, index in front, a key frame each second for
seeking. A video that is read is never in memory as a whole.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from basalt.core.actions import FRAME_SIZE as FRAME_SIZE
from basalt.core.actions import FrameSize as FrameSize
from basalt.core.key_frames import FIRST, Entry, last_entry, open_video
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.video_bounds import MAX_FRAMES
from basalt.io.errors import RecordingError

DEFAULT_CRF = 23
"""x264's own default quality: 400 steps in the open take about 4 MB."""


_FRAME_TIME = Fraction(1, STEPS_PER_SECOND)
_FRAME_TIME_TOLERANCE = Fraction(1, 1000)


class VideoWriter:
    """Encodes RGB frames to an mp4, one at a time.

    Args:
        path: File to write; it is complete only after `close`.
        size: Size of the frames; width and height must be even.
        crf: x264's quality; lower is better and larger.
        preset: x264's speed; the default is fast, so that encoding does not slow a rollout down.
    """

    def __init__(
        self,
        path: Path,
        size: FrameSize = FRAME_SIZE,
        *,
        crf: int = DEFAULT_CRF,
        preset: str = "veryfast",
    ) -> None:
        self.frames = 0
        self._shape = size.shape
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        stream = self._container.add_stream(
            "libx264",
            rate=STEPS_PER_SECOND,
            options={"crf": str(crf), "preset": preset, "g": str(STEPS_PER_SECOND)},
        )
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # several rollouts run in parallel
        stream.time_base = Fraction(1, STEPS_PER_SECOND)
        self._stream = stream

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame, uint8 [H, W, 3] RGB."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"frame is {frame.dtype} {frame.shape}, not uint8 {self._shape}")
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts = self.frames
        picture.time_base = Fraction(1, STEPS_PER_SECOND)
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def close(self) -> None:
        """Write what is still in the encoder and the index."""
        if self.frames:
            self._container.mux(self._stream.encode(None))
        self._container.close()


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file.

    Attributes:
        width: Width in pixels, by the file's header.
        height: Height in pixels, by the file's header.
        frames: Number of frames shown, counted from the file's packets.
        fps: Mean frames per second, by the times of the frames; 0 if there are no two times.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the pixel format.
        container: FFmpeg's names of the container format, comma-separated, whatever the file's name.
        hidden: Number of frames that are stored but not shown, since an edit list cuts them off.
        start: Time of the first frame in seconds.
        holes: Number of hidden frames between frames that are shown.
        uneven: Number of frames that do not follow the one before by 50 ms +- 1.
        turned: Whether players turn or mirror the pictures, by a display matrix in the file.
        square: Whether the pixels are square; otherwise players stretch the pictures.
    """

    width: int
    height: int
    frames: int
    fps: float
    codec: str
    pixel_format: str
    container: str
    hidden: int
    holes: int
    start: float
    uneven: int
    turned: bool
    square: bool

    @property
    def plays_in_browsers(self) -> bool:
        """Whether every current browser plays it."""
        return (
            self.codec == "h264"
            and self.pixel_format == "yuv420p"
            and "mp4" in self.container.split(",")
        )


def probe(path: Path) -> VideoInfo:
    """Properties of a video; only its first frame is decoded.

    Raises:
        RecordingError: The file is not a readable video, or has too many frames.
    """
    shown: list[int | None] = []
    hidden: list[int | None] = []
    with open_video(path) as container:
        stream = container.streams.video[0]
        try:
            for packet in container.demux(stream):
                if packet.size:
                    time = packet.dts if packet.pts is None else packet.pts
                    (hidden if packet.is_discard else shown).append(time)
                    if len(shown) + len(hidden) > MAX_FRAMES:
                        raise RecordingError(
                            f"{path}: expected at most {MAX_FRAMES:,} frames, got more; split the recording"
                        )
        except av.FFmpegError as err:
            raise RecordingError(f"{path}: damaged video ({err}); record it again") from err
        unit = stream.time_base or Fraction(1)
        known = sorted(time for time in shown if time is not None)
        gaps = [(after - before) * unit for before, after in pairwise(known)]
        even = sum(abs(gap - _FRAME_TIME) <= _FRAME_TIME_TOLERANCE for gap in gaps)
        return VideoInfo(
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            frames=len(shown),
            fps=_rate(known, unit),
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
            container=container.format.name,
            # FFmpeg leaves out those that nothing depends on; the index of an mp4 counts them.
            hidden=max(len(hidden), stream.frames - len(shown)),
            holes=sum(time is None or not known or known[0] < time < known[-1] for time in hidden),
            start=float(known[0] * unit) if known else 0.0,
            uneven=max(len(shown) - 1, 0) - even,
            turned=_turned(path),
            square=(stream.sample_aspect_ratio or 1) == 1,
        )


def _rate(times: list[int], unit: Fraction) -> float:
    """Frames per second of frames at these times, in order; the header's rate is missing in short MPEG-TS."""
    span = (times[-1] - times[0]) * unit if times else 0
    return float((len(times) - 1) / span) if span else 0.0


def _turned(path: Path) -> bool:
    """Whether the first frame has a display matrix that turns or mirrors it."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError:
            return False  # a damaged frame is found where all are decoded
        if frame is None:
            return False
        matrix = frame.side_data.get("DISPLAYMATRIX")
        # Nine int32, row by row; those of an upright picture are 1, 0, 0, 0, 1 in 16.16 fixed point.
        return matrix is not None and (
            np.frombuffer(bytes(cast("Any", matrix)), "<i4")[:5].tolist()
            != [1 << 16, 0, 0, 0, 1 << 16]
        )


class VideoReader:
    """Reads a video in order, from any frame on: those that decoding it from its start gives.

    Skipped frames are decoded, since later ones depend on them, but not converted. Each file is decoded
    by one thread, since several readers run in parallel.

    Args:
        path: The video.
        start: Index of the first frame to read. Decoding starts at the last key frame from which that frame is
            surely the right one (`basalt.core.key_frames`), or at the start of the video.

    Raises:
        RecordingError: The file is not a video, or cannot be decoded.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self._converter = VideoReformatter()
        if not start:
            self._begin(FIRST)
            return
        with open_video(path) as container:
            try:
                entry = last_entry(container, start)
            except av.FFmpegError as err:
                raise self._undecodable(err) from err
        self._begin(entry, start)
        if self._ahead is not None and entry.time not in (None, self._ahead.pts):
            self.close()
            self._begin(FIRST, start)
        if self._ahead is None:
            self.close()
            raise RecordingError(f"{path}: has {self.position} frames, none at {start}")

    def _begin(self, entry: Entry, start: int | None = None) -> None:
        """Open the file at an entry, and decode up to frame `start`."""
        self._container = open_video(self.path)
        stream = self._container.streams.video[0]
        stream.thread_count = 1
        self._size = (stream.codec_context.width, stream.codec_context.height)
        packets = islice(self._container.demux(stream), entry.packet, None)
        self._decoded = (frame for packet in packets for frame in packet.decode())
        self._ahead: av.VideoFrame | None = None
        self.position = entry.frame
        if start is not None:
            self.skip(start - entry.frame)
            self._ahead = self._decode()

    def skip(self, frames: int) -> None:
        """Skip frames, up to the end of the video."""
        for _ in range(frames):
            if self._next() is None:
                break

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame, uint8 [H, W, 3] RGB, read-only; None at the end."""
        frame = self._next()
        if frame is None:
            return None
        # A view of the converted frame: with one thread and no copy this takes a third of the time
        # of `to_ndarray`.
        converted = self._converter.reformat(frame, format="rgb24", threads=1)
        plane = converted.planes[0]
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(
            converted.height, plane.line_size
        )
        return rows[:, : 3 * converted.width].reshape(converted.height, converted.width, 3)

    def _next(self) -> av.VideoFrame | None:
        frame, self._ahead = self._ahead, None
        if frame is None:
            frame = self._decode()
        self.position += frame is not None
        return frame

    def _decode(self) -> av.VideoFrame | None:
        try:
            frame = next(self._decoded, None)
        except av.FFmpegError as err:
            raise self._undecodable(err) from err
        if frame is not None and (size := (frame.width, frame.height)) != self._size:
            raise RecordingError(
                f"{self.path}: expected every frame to be {FrameSize(*self._size)}, "
                f"got {FrameSize(*size)} at frame {self.position}; record it again"
            )
        return frame

    def _undecodable(self, err: Exception) -> RecordingError:
        return RecordingError(f"{self.path}: a frame cannot be decoded ({err})")

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def read_frames(path: Path, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video in order, uint8 [H, W, 3] RGB.

    Args:
        path: The video.
        start: Index of the first frame.
        stop: Index after the last frame; None, or one behind the end, for all that follow.

    Raises:
        RecordingError: The file is not a video, or a frame cannot be decoded.
    """
    with closing(VideoReader(path, start)) as reader:
        while stop is None or reader.position < stop:
            if (picture := reader.read()) is None:
                return
            yield picture.copy()
