"""Small recordings of FindCave whose telemetry says when the player reaches the cave."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from basalt.core.actions import validate_action
from basalt.core.recording import Recording, RecordingWriter
from tests.support.synthetic import telemetry


def record_cave(
    folder: Path,
    seed: int,
    *,
    player: str = "walker",
    steps: int = 60,
    cave_from: int | None = None,
    grey: Sequence[int] | None = None,
    ended: str = "esc",
    world_version: str = "1",
) -> Recording:
    """An episode of `steps` steps; the player is in the cave from state `cave_from` on.

    Args:
        grey: Brightness of each frame; None for one shade by seed and player.
    """
    shades = grey or [60 + (17 * seed + 5 * sum(map(ord, player))) % 140] * (steps + 1)
    inside = steps + 1 if cave_from is None else cave_from
    states = [
        telemetry(t).model_copy(update={"facts": {"in_cave": t >= inside}})
        for t in range(steps + 1)
    ]
    frames = [np.full((360, 640, 3), shade, np.uint8) for shade in shades]
    with RecordingWriter(
        folder, f"find_cave-{seed}-{player}", task="find_cave", world="test", world_version=world_version,
        seed=seed, player=player, player_kind="scripted", step_limit=4_000,
    ) as writer:  # fmt: skip
        writer.begin(frames[0], states[0])
        for t in range(steps):
            action = validate_action({"ESC": int(t == steps - 1 and ended == "esc"), "forward": 1})
            writer.step(action, action["camera"], frames[t + 1], states[t + 1])
        return writer.finish(ended)  # type: ignore[arg-type]
