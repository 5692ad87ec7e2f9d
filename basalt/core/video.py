"""H.264 video in and out, one frame at a time, by PyAV (whose wheel carries libx264).

Videos written here play in every browser: H.264, yuv420p, index in front, a key frame each second for
seeking. A video that is read is never in memory as a whole.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from basalt.core.actions import FRAME_SIZE as FRAME_SIZE
from basalt.core.actions import FrameSize as FrameSize
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import RecordingError

DEFAULT_CRF = 23
"""x264's own default quality: 400 steps in the open take about 4 MB."""


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
    """Properties of a video file: width and height in pixels, frames, fps, codec and pixel format."""

    width: int
    height: int
    frames: int
    fps: float
    codec: str
    pixel_format: str

    @property
    def plays_in_browsers(self) -> bool:
        """Whether every current browser plays it."""
        return self.codec == "h264" and self.pixel_format == "yuv420p"


def probe(path: Path) -> VideoInfo:
    """Properties of a video; frames are counted from its packets without decoding.

    Raises:
        RecordingError: The file is not a readable video.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        try:
            frames = sum(1 for packet in container.demux(stream) if packet.size)
        except av.FFmpegError as err:
            raise RecordingError(f"{path}: damaged video ({err}); record it again") from err
        return VideoInfo(
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            frames=frames,
            fps=float(stream.average_rate or 0),
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
        )


class VideoReader:
    """Reads a video in order, from any frame on.

    Skipped frames are decoded, since later ones depend on them, but not converted. Each file is decoded
    by one thread, since several readers run in parallel.

    Args:
        path: The video.
        start: Index of the first frame to read; decoding starts at the key frame before it.

    Raises:
        RecordingError: The file is not a video, or cannot be decoded.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self.position = start
        self._converter = VideoReformatter()
        self._container = _open(path)
        stream = self._container.streams.video[0]
        stream.thread_count = 1
        self._seek(stream, start)

    def _seek(self, stream: "av.video.stream.VideoStream", start: int) -> None:
        self._ahead: av.VideoFrame | None = None
        if not start:
            self._decoded = self._container.decode(stream)
            return
        try:
            packets = self._container.demux(stream)
            times = sorted(packet.pts for packet in packets if packet.pts is not None)
            if start >= len(times):
                raise RecordingError(f"{self.path}: has {len(times)} frames, none at {start}")
            self._container.seek(times[start], stream=stream)
            self._decoded = self._container.decode(stream)
            for frame in self._decoded:
                if frame.pts == times[start]:
                    self._ahead = frame
                    return
        except av.FFmpegError as err:
            raise self._undecodable(err) from err
        raise RecordingError(f"{self.path}: frame {start} cannot be reached; validate the file")

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
            try:
                frame = next(self._decoded, None)
            except av.FFmpegError as err:
                raise self._undecodable(err) from err
        self.position += frame is not None
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


def _open(path: Path) -> "av.container.InputContainer":
    if not path.is_file():
        raise RecordingError(f"{path}: no such video")
    try:
        container = av.open(str(path))
    except av.FFmpegError as err:
        raise RecordingError(f"{path}: not a video that can be read ({err})") from err
    if not container.streams.video:
        container.close()
        raise RecordingError(f"{path}: has no video stream")
    return container
