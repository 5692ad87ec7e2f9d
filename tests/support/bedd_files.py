"""Recordings as BEDD's recorder leaves them: NAME.mp4 and NAME.jsonl, nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from basalt.core.video import FRAME_SIZE, FrameSize, VideoWriter


def bedd_line(tick: int, **changes: Any) -> dict[str, Any]:
    """A line of no input. `keys`, `buttons`, `new_buttons`, `dx`, `dy`, `x`, `y`,
    `hotbar` and `gui` change it."""
    return {
        "mouse": {
            "x": changes.get("x", 640.0), "y": changes.get("y", 360.0),
            "dx": changes.get("dx", 0.0), "dy": changes.get("dy", 0.0),
            "scaledX": 0.0, "scaledY": 0.0, "dwheel": 0.0,
            "buttons": changes.get("buttons", []), "newButtons": changes.get("new_buttons", []),
        },
        "keyboard": {"keys": changes.get("keys", []), "newKeys": [], "chars": ""},
        "hotbar": changes.get("hotbar", 0),
        "tick": tick,
        "isGuiOpen": changes.get("gui", False),
    }  # fmt: skip


def esc_line(tick: int) -> dict[str, Any]:
    return bedd_line(tick, keys=["key.keyboard.escape"])


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_video(path: Path, frames: int, size: FrameSize = FRAME_SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    writer = VideoWriter(path, size)
    for _ in range(frames):
        blocks = rng.integers(0, 255, (size[1] // 20, size[0] // 20, 3), dtype=np.uint8)
        writer.write(blocks.repeat(20, axis=0).repeat(20, axis=1))
    writer.close()


def write_bedd(stem: Path, lines: list[dict[str, Any]], frames: int | None = None) -> Path:
    """A recording with one frame more than lines, as BEDD has them, or as many as given."""
    write_lines(stem.with_name(f"{stem.name}.jsonl"), lines)
    write_video(stem.with_name(f"{stem.name}.mp4"), len(lines) + 1 if frames is None else frames)
    return stem
