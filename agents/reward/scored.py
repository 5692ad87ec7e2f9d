"""Recordings with a reward for each step, from a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agents.common.latents import load_latents
from agents.reward.saved import open_reward
from basalt.core.recording import RecordingMeta
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import fingerprint


@dataclass(frozen=True)
class ScoredEpisode:
    """An episode and what a reward model makes of it.

    Attributes:
        meta: Metadata of the recording.
        rewards: float [T], reward of each step after the support gate.
    """

    meta: RecordingMeta
    rewards: NDArray[np.floating]


@dataclass(frozen=True)
class ScoredRecordings:
    """The episodes that a reward model can score.

    Attributes:
        episodes: Episodes of the model's task, world and world version that have steps, in the order of the folders.
        world: The three, in one text.
        fingerprint: Fingerprint of the reward model.
    """

    episodes: tuple[ScoredEpisode, ...]
    world: str
    fingerprint: str


def score_recordings(
    reward: str,
    recordings: Sequence[str],
    *,
    task: str,
    use: str,
    pessimism: float = 0.0,
    device: str = "auto",
    progress: bool = True,
) -> ScoredRecordings:
    """Score the recordings that a policy is to learn from.

    Args:
        reward: Run of `basalt train agent=reward`.
        recordings: Folders of the recordings, or `sample`.
        task: Task that the policy learns.
        use: What the scores are used for, for the error about seeds that are for testing.
        pessimism: Number of standard deviations over the ensemble that are taken off each reward.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show a progress bar.

    Raises:
        BasaltError: The reward model or the recordings cannot be used, the model is of another task, no episode is of its world,
            or an episode's seed is for testing.
    """
    learned = get_task(task)
    model, info = open_reward(reward, choose_device(device))
    if info.task != learned.name:
        raise ConfigError(f"reward: expected a model of {learned.name}, got one of {info.task}")
    loaded, _ = load_latents(
        recordings, info.trunk, expected=info.trunk_fingerprint, device=device, progress=progress
    )
    world = (info.task, info.world, info.world_version)
    wanted = [
        one
        for one in loaded.values()
        if one.meta.steps and (one.meta.task, one.meta.world, one.meta.world_version) == world
    ]
    if not wanted:
        raise ConfigError(
            f"recordings: expected episodes of {' '.join(world)}, which the reward model is about, got none"
        )
    refuse_test_seeds(learned, (one.meta.seed for one in wanted), use)
    return ScoredRecordings(
        tuple(
            ScoredEpisode(
                one.meta,
                model.gated(model.rewards(torch.from_numpy(np.array(one.values))), pessimism)
                .cpu()
                .numpy(),
            )
            for one in wanted
        ),
        " ".join(world),
        fingerprint(model),
    )
