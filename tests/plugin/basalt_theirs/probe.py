"""A probe that says how bright the frames of recordings are."""

from dataclasses import dataclass
from typing import Any

from basalt.core.recording import find_recordings
from basalt.probes.registry import Probe


@dataclass
class Settings:
    """Settings of the probe.

    Attributes:
        recordings: Folder of recordings.
    """

    recordings: str = "."


@dataclass
class Brightness:
    """Mean brightness of frames, of 255, by recording."""

    means: dict[str, float]

    def lines(self) -> list[str]:
        """The result for a terminal."""
        return [f"{name}: brightness {mean:.1f}" for name, mean in self.means.items()]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"means": self.means}


def measure(settings: Settings) -> Brightness:
    """Average the frames of each recording."""
    means = {}
    for recording in find_recordings(settings.recordings):
        frames = [float(frame.mean()) for frame in recording.frames()]
        means[recording.name] = sum(frames) / len(frames)
    return Brightness(means)


PROBE = Probe("theirs", "mean brightness of recorded frames", Settings, measure)
