"""Short clips of moments, cut from recordings when they are viewed."""

import tempfile
from base64 import b64encode
from pathlib import Path

import cv2
import numpy as np

from basalt.core.recording import Recording
from basalt.core.video import FrameSize, VideoWriter, read_frames
from basalt.io.errors import RecordingError

SIZE = FrameSize(width=320, height=180)


def cut_clip(recordings: tuple[str, ...], start: int, frames: int) -> bytes:
    """Cut an mp4 from an episode; a clip may continue in the episode's next recording.

    Args:
        recordings: Paths of the episode's recordings without suffix, in order.
        start: First frame, counted over all recordings.
        frames: Number of frames; fewer are cut at the end of the episode.

    Raises:
        RecordingError: a recording is missing or damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        writer = VideoWriter(path, SIZE, crf=27)
        for stem in recordings:
            recording = Recording.open(stem)
            steps = len(recording)
            if start >= steps:
                start -= steps
                continue
            part = min(frames, steps - start)
            for frame in read_frames(recording.video_path, start, start + part):
                small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)
                writer.write(np.asarray(small, dtype=np.uint8))
            start, frames = 0, frames - part
            if not frames:
                break
        if not writer.frames:
            raise RecordingError(f"{recordings[0]}: expected more than {start} frames")
        writer.close()
        return path.read_bytes()


def data_url(clip: bytes) -> str:
    """The clip as a data URL."""
    return "data:video/mp4;base64," + b64encode(clip).decode()
