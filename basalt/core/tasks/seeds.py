"""Which seeds may be used for what."""

import re
from collections.abc import Iterable
from operator import index
from typing import Literal

from basalt.core.tasks.contract import Task
from basalt.io.errors import ConfigError

Split = Literal["official", "train", "dev", "other"]

TRAIN_SEEDS = range(100_000, 200_000)
"""Seeds for demonstrations, samples and preference rounds."""

FIRST_DEV_SEED = 200_000
"""Seeds from here on are for choosing models and thresholds."""


def split_of(task: Task, seed: int) -> Split:
    """Return which use a task's seed is reserved for."""
    if seed in task.official_seeds:
        return "official"
    if seed in TRAIN_SEEDS:
        return "train"
    return "dev" if seed >= FIRST_DEV_SEED else "other"


def parse_seeds(spec: str | int | Iterable[int], task: Task) -> list[int]:
    """Return the seeds that a command's `seeds=` names.

    Args:
        spec: `official`, one number, a list, or a range `a..b` that includes both ends.
        task: The task whose official seeds are meant.

    Raises:
        ConfigError: The text has none of these forms, or a seed is negative or named twice.
    """
    wrong = ConfigError(f"seeds: expected official, a list [1,2] or a range 1..9, got {spec!r}")
    if isinstance(spec, str):
        text = spec.strip()
        if text == "official":
            return list(task.official_seeds)
        if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
            seeds = list(range(int(match[1]), int(match[2]) + 1))
        elif re.fullmatch(r"\[?\s*\d+(\s*,\s*\d+)*\s*\]?", text):
            seeds = [int(number) for number in re.findall(r"\d+", text)]
        else:
            raise wrong
    else:
        try:
            values = list(spec) if isinstance(spec, Iterable) else [spec]
            seeds = [index(seed) for seed in values]
        except TypeError:
            raise wrong from None
        if any(isinstance(seed, bool) for seed in values):
            raise wrong
    if not seeds:
        raise ConfigError(f"seeds: expected at least one seed, got {spec!r}")
    if min(seeds) < 0:
        raise ConfigError(f"seeds: expected whole numbers from 0, got {min(seeds)}")
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds: expected each seed once, got {spec!r}")
    return seeds


def refuse_official(task: Task, seeds: Iterable[int], purpose: str) -> None:
    """Keep evaluation seeds out of everything that learns or chooses.

    Raises:
        ConfigError: A seed is official, or is not reserved for training or development.
    """
    for seed in seeds:
        split = split_of(task, seed)
        if split in ("official", "other"):
            why = "an official evaluation seed" if split == "official" else "not a training seed"
            raise ConfigError(
                f"seeds: {seed} is {why} of {task.name}; {purpose} uses seeds from "
                f"{TRAIN_SEEDS.start} (train to {TRAIN_SEEDS.stop - 1}, dev from {FIRST_DEV_SEED})"
            )
