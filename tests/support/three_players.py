"""Recordings of three players whose success is known, small and quickly written."""

from pathlib import Path

import numpy as np

from basalt.core.actions import validate_action
from basalt.core.recording import Recording, RecordingWriter
from leaderboard.store.database import Store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.rules import StudyInfo, StudyRules, create_study
from leaderboard.studies.settings import change_settings
from tests.support.synthetic import picture, telemetry

SEEDS = (100_001, 100_002)


def record(
    folder: Path,
    seed: int,
    *,
    player: str = "walker",
    cave_steps: int = 0,
    steps: int = 4,
    task: str = "find_cave",
    world: str = "test",
    world_version: str = "1",
    step_limit: int = 400,
    cave_colour: tuple[int, int, int] | None = None,
) -> Recording:
    """A recording of `steps` steps that spends the last `cave_steps` states in a cave, which may have another colour."""
    rng = np.random.default_rng(seed)
    colour = (sum(map(ord, player)) % 190, 90, 40 * (seed % 5))
    facts = [{"in_cave": t > steps - cave_steps} for t in range(steps + 1)]
    inside = colour if cave_colour is None else cave_colour
    colours = [inside if one["in_cave"] else colour for one in facts]
    states = [telemetry(t).model_copy(update={"facts": facts[t]}) for t in range(steps + 1)]
    with RecordingWriter(
        folder, f"{task}-{seed}", task=task, world=world, world_version=world_version, seed=seed,
        player=player, player_kind="scripted", step_limit=step_limit,
    ) as writer:  # fmt: skip
        writer.begin(picture(colours[0], rng), states[0])
        for t in range(steps):
            action = validate_action({"ESC": int(t == steps - 1), "forward": 1})
            writer.step(action, action["camera"], picture(colours[t + 1], rng), states[t + 1])
        return writer.finish("esc")


def record_three(root: Path, steps: int = 4) -> dict[str, Path]:
    """A folder a player, each with SEEDS; by telemetry: good, then middling (slower), then poor."""
    for player, length, cave in (
        ("good", steps, 1),
        ("middling", 2 * steps, 1),
        ("poor", steps, 0),
    ):
        for seed in SEEDS:
            record(root / player, seed, player=player, steps=length, cave_steps=cave)
    return {player: root / player for player in ("good", "middling", "poor")}


def unwatched_study(store: Store, name: str, rules: StudyRules) -> StudyInfo:
    """A study that takes answers to videos which nobody has played."""
    study = create_study(store, name, rules)
    change_settings(store, study, command_line_admin(), watch_share=0)
    return study
