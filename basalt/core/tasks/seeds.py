"""Which seeds may be used for what."""

import re
from collections.abc import Iterable
from operator import index
from typing import Literal

from basalt.core.tasks.contract import Task
from basalt.io.errors import ConfigError

Split = Literal["official", "train", "dev", "heldout", "other"]

TRAIN_SEEDS = range(100_000, 200_000)
"""Seeds for demonstrations, samples and preference rounds."""

DEV_SEEDS = range(200_000, 230_000)
"""Seeds for choosing models, sizes and thresholds."""

HELDOUT_SEEDS = range(230_000, 300_000)
"""Seeds for figures; nothing that trains, tunes or selects may use them."""

SPLIT_SEEDS = 100
"""Number of seeds meant by `dev` or `heldout` alone."""


def split_of(task: Task, seed: int) -> Split:
    """Return which use a task's seed is reserved for."""
    if seed in task.official_seeds:
        return "official"
    ranges: dict[Split, range] = {"train": TRAIN_SEEDS, "dev": DEV_SEEDS, "heldout": HELDOUT_SEEDS}
    return next((split for split, seeds in ranges.items() if seed in seeds), "other")


def parse_seeds(spec: str | int | Iterable[int], task: Task) -> list[int]:
    """Return the seeds that a command's `seeds=` names.

    Args:
        spec: `official`, one number, a list, a range `a..b` that includes both ends, or the first seeds of a
            split: `dev:50`, `heldout:50`; without a number, 100.
        task: The task whose official seeds are meant.

    Raises:
        ConfigError: The text has none of these forms, or a seed is negative or named twice.
    """
    wrong = ConfigError(
        f"seeds: expected official, dev:50, heldout:50, a list [1,2] or a range 1..9, got {spec!r}"
    )
    if isinstance(spec, str):
        text = spec.strip()
        if text == "official":
            return list(task.official_seeds)
        if match := re.fullmatch(r"(dev|heldout)(?::(\d+))?", text):
            split = DEV_SEEDS if match[1] == "dev" else HELDOUT_SEEDS
            seeds = list(split[: int(match[2] or SPLIT_SEEDS)])
        elif match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
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


def refuse_test_seeds(task: Task, seeds: Iterable[int], purpose: str) -> None:
    """Keep official and held-out seeds out of everything that learns, tunes or chooses.

    Raises:
        ConfigError: A seed is reserved for testing, or for nothing.
    """
    why = {
        "official": "an official evaluation seed",
        "heldout": "a held-out seed",
        "other": "not a training seed",
    }
    for seed in seeds:
        split = split_of(task, seed)
        if split in why:
            raise ConfigError(
                f"seeds: {seed} is {why[split]} of {task.name}; {purpose} uses seeds from "
                f"{TRAIN_SEEDS.start} to {TRAIN_SEEDS.stop - 1} (train) or {DEV_SEEDS.start} to "
                f"{DEV_SEEDS.stop - 1} (dev)"
            )
