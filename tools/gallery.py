"""Make a film for the docs from a recording, an animated WebP: `python -m tools.gallery RECORDING FILM.webp`.

It shows the end of the episode, where the task is decided, at twice its speed.
"""

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import Recording
from basalt.io.errors import BasaltError

SIZE = (384, 216)
"""Width and height in pixels."""

QUALITY = 60
"""Of WebP, 0 to 100."""


def frames_shown(states: int, fps: int, seconds: float, speed: int, pictures: int) -> range:
    """Numbers of the frames that a film shows, the last one among them.

    Args:
        states: Number of frames of the episode.
        fps: Frames of the episode per second.
        seconds: Length of the part at the end that is shown, in seconds of the episode.
        speed: Seconds of the episode per second of the film.
        pictures: Pictures of the film per second.
    """
    every = max(round(fps * speed / pictures), 1)
    first = max(states - 1 - round(seconds * fps), 0)
    return range(states - 1 - (states - 1 - first) // every * every, states, every)


def write_film(
    recording: Recording, film: Path, seconds: float = 18.0, speed: int = 2, pictures: int = 10
) -> int:
    """Write a film; returns its number of pictures.

    Args:
        recording: The recording.
        film: Path of the WebP.
        seconds: Length of the part at the end that is shown, in seconds of the episode.
        speed: Seconds of the episode per second of the film.
        pictures: Pictures of the film per second.

    Raises:
        BasaltError: The video cannot be read, or the film cannot be written.
    """
    assert recording.meta is not None
    shown = frames_shown(recording.meta.frames, recording.meta.fps, seconds, speed, pictures)
    chosen: list[NDArray[np.uint8]] = []
    for frame in islice(recording.frames(), shown.start, None, shown.step):
        small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)
        chosen.append(cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype(np.uint8))
    animation = cv2.Animation()
    animation.frames = chosen
    durations = [1000 // pictures] * len(chosen)
    durations[-1] = 1500  # so that the outcome can be seen before the film begins again
    animation.durations = durations
    if not cv2.imwriteanimation(str(film), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
        raise BasaltError(f"{film}: expected a path of a .webp file that can be written")
    return len(chosen)


def main(argv: list[str] | None = None) -> None:
    """Write one film."""
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description=__doc__)
    parser.add_argument("recording", help="path of the recording, with or without suffix")
    parser.add_argument("film", type=Path, help="path of the film, FILM.webp")
    parser.add_argument("--seconds", type=float, default=18.0, help="seconds before the end")
    parser.add_argument("--speed", type=int, default=2, help="times the speed of life")
    args = parser.parse_args(argv)
    try:
        recording = Recording.open(args.recording)
        if recording.meta is None:
            raise BasaltError(f"{args.recording}: expected a recording of basalt record or rollout")
        number = write_film(recording, args.film, args.seconds, args.speed)
    except BasaltError as err:
        parser.exit(1, f"{err}\n")
    size = args.film.stat().st_size
    print(f"{args.film}: {number} pictures, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
