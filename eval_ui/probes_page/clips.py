"""Short films of moments, cut from recordings when they are looked at."""

import tempfile
from base64 import b64encode
from pathlib import Path

import cv2
import numpy as np

from basalt.core.recording import Recording
from basalt.core.video import VideoReader, VideoWriter
from basalt.io.errors import RecordingError

SIZE = (320, 180)


def cut_clip(recordings: tuple[str, ...], start: int, frames: int) -> bytes:
    """An mp4 of some frames of an episode.

    Args:
        recordings: the episode's recordings without suffix, in order.
        start: first frame, counted over all of them.
        frames: how many; fewer where the episode ends. They may go on in its next recording.

    Raises:
        RecordingError: a recording is gone or damaged.
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
            video = VideoReader(recording.video_path, start)
            here = min(frames, steps - start)
            for _ in range(here):
                picture = video.read()
                if picture is None:
                    break
                small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
                writer.write(np.asarray(small, dtype=np.uint8))
            video.close()
            start, frames = 0, frames - here
            if not frames:
                break
        if not writer.frames:
            raise RecordingError(f"{recordings[0]}: has no frame {start}")
        writer.close()
        return path.read_bytes()


def data_address(clip: bytes) -> str:
    """The clip as an address that carries it."""
    return "data:video/mp4;base64," + b64encode(clip).decode()
