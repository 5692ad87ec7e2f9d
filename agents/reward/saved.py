"""A reward model on disk, and what it says of recordings."""

from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from agents.reward.model import RewardModel, RewardSizes
from basalt.core.records import Record
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import find_checkpoint, load_network


class RewardCheckpoint(Record):
    """What a checkpoint of a reward model is of (`checkpoint.json`).

    Attributes:
        step: Number of optimizer steps done.
        sizes: Sizes of the model.
        trunk: Where the trunk was (`basalt.policies.source.open_policy`).
        trunk_fingerprint: SHA-256 of its weights.
        task: Name of the task.
        question: Question whose answers were learned.
        world: World of the recordings.
        world_version: Version of that world.
        sources: Sources of the answers.
        flip_rate: Share of the answers that were taken to name the wrong side.
        answers: SHA-256 of the answers.
        train_places: Worlds (task and seed) that it was trained or chosen on.
        held_out_places: Worlds that its report is about.
        temperature: Temperature of its report; None before it is finished.
        finished: Whether the training is finished, with units of rewards and support gate set.
    """

    FORMAT: ClassVar[str] = "basalt-reward-model"

    step: int
    sizes: RewardSizes
    trunk: str
    trunk_fingerprint: str
    task: str
    question: str
    world: str
    world_version: str
    sources: tuple[str, ...]
    flip_rate: Annotated[float, Field(ge=0, lt=0.5)]
    answers: str
    train_places: tuple[str, ...]
    held_out_places: tuple[str, ...]
    temperature: Annotated[float, Field(gt=0)] | None
    finished: bool


def load_reward(
    path: str | Path, device: torch.device, setting: str = "reward"
) -> tuple[RewardModel, RewardCheckpoint]:
    """The model of a checkpoint or run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or not one of a reward model.
    """
    folder = find_checkpoint(path, setting, "basalt train agent=reward")
    try:
        info = RewardCheckpoint.read(folder / "checkpoint.json")
    except ConfigError as err:
        raise ConfigError(f"{setting}: {err}; give a run of `basalt train agent=reward`") from err
    model = load_network(folder, lambda: RewardModel(info.sizes))
    return model.to(device).eval(), info


def open_reward(
    path: str | Path, device: torch.device, setting: str = "reward"
) -> tuple[RewardModel, RewardCheckpoint]:
    """The model of a finished run, and the checkpoint's facts.

    Raises:
        ConfigError: The run is not finished, or is not one of a reward model.
    """
    model, info = load_reward(path, device, setting)
    if not info.finished:
        raise ConfigError(
            f"{setting}: expected a finished run, since units and support gate are set at its end, got {path} at step "
            f"{info.step}; run its `basalt train agent=reward` again to finish it"
        )
    return model, info
