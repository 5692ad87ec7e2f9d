"""Small recordings of a game that can be learned: the picture's colour says what to do."""

from pathlib import Path

import numpy as np

from basalt.core.actions import validate_action
from basalt.core.recording import Recording, RecordingWriter
from basalt.core.telemetry import Telemetry

BLUE, RED, GREEN = (30, 60, 200), (200, 50, 40), (40, 200, 60)
ACTION_OF_COLOUR = {
    BLUE: validate_action({"forward": 1}),
    RED: validate_action({"attack": 1, "camera": [0.0, 3.2]}),
    GREEN: validate_action({"ESC": 1}),
}


def telemetry(step: int) -> Telemetry:
    return Telemetry(
        step=step, xpos=0.0, ypos=0.0, zpos=0.0, yaw=0.0, pitch=0.0, health=20, breath=10, hotbar=0,
        held="", inventory=(), gui_open=False, on_ground=True, in_liquid=False, light=15,
        daylight=15, under_roof=False, distance_walked=0.0, dead=False, facts={},
    )  # fmt: skip


def picture(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """uint8 [360, 640, 3]: the colour with a little noise in blocks."""
    noise = rng.integers(-15, 16, (9, 16, 3)).repeat(40, 0).repeat(40, 1)
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def write_episode(
    folder: Path,
    seed: int,
    steps: int = 60,
    *,
    task: str = "find_cave",
    idle: int = 0,
    learnable: bool = True,
) -> Recording:
    """An episode of blue and red stretches that ends with one green frame and ESC.

    Args:
        idle: frames without any action before the rest.
        learnable: False = colours do not tell the action.
    """
    rng = np.random.default_rng(seed)
    colours: list[tuple[int, int, int]] = []
    while len(colours) < steps - 1:
        colours += [BLUE if rng.random() < 0.5 else RED] * int(rng.integers(2, 6))
    colours = [*colours[: steps - 1], GREEN]
    actions = [ACTION_OF_COLOUR[colour] for colour in colours]
    if not learnable:
        colours = [BLUE] * steps
    colours = [BLUE] * idle + colours
    actions = [validate_action({"camera": [0.1, 0.1]})] * idle + actions
    with RecordingWriter(
        folder, f"episode-{seed}", task=task, world="test", world_version="1", seed=seed,
        player="tester", player_kind="scripted", step_limit=1000,
    ) as writer:  # fmt: skip
        writer.begin(picture(colours[0], rng), telemetry(0))
        for t, action in enumerate(actions):
            colour = colours[min(t + 1, len(colours) - 1)]
            writer.step(action, action["camera"], picture(colour, rng), telemetry(t + 1))
        return writer.finish("esc")


def write_episodes(folder: Path, seeds: range, steps: int = 60, **options: bool) -> Path:
    for seed in seeds:
        write_episode(folder, seed, steps + seed % 7, **options)  # type: ignore[arg-type]
    return folder
