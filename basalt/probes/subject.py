"""What is probed: a trained policy with the recordings it learned from and those it did not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from basalt.core.recording import sha256_of
from basalt.core.tasks import get_task
from basalt.data.baselines import Marginals
from basalt.data.dataset import Episode, load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device, find_checkpoint, load_policy
from basalt.policies.imitation import start_at_marginals
from basalt.policies.vpt import VPTPolicy


@dataclass(frozen=True)
class Subject:
    """A policy and its episodes.

    Attributes:
        checkpoint: the folder of the weights.
        fingerprint: SHA-256 of the weights.
        policy: in evaluation mode.
        info: the checkpoint's facts.
        training: episodes it learned from.
        held_out: episodes it did not.
    """

    checkpoint: Path
    fingerprint: str
    policy: VPTPolicy
    info: dict[str, Any]
    training: list[Episode]
    held_out: list[Episode]

    @property
    def episodes(self) -> list[Episode]:
        """All."""
        return [*self.training, *self.held_out]

    @property
    def splits(self) -> list[str]:
        """Of `episodes`."""
        return ["training"] * len(self.training) + ["held_out"] * len(self.held_out)

    def untrained(self, seed: int = 0) -> VPTPolicy:
        """The network as it was before training: random weights, heads at the training frequencies."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = VPTPolicy(self.policy.config)
        start_at_marginals(policy, Marginals(self.training))
        return policy.to(self.policy.device).eval()


def load_subject(checkpoint: str | Path, data: str | Path, device: str = "auto") -> Subject:
    """A checkpoint and the recordings beside it, split as its training split them.

    Args:
        checkpoint: a run's folder or one of its checkpoints.
        data: the recordings it was trained on; others count as held out.
        device: of the policy.

    Raises:
        BasaltError: no such checkpoint or data, or one side of the split is empty.
    """
    folder = find_checkpoint(checkpoint)
    policy, info = load_policy(folder, choose_device(device))
    episodes = load_episodes(
        data,
        task=get_task(info["task"]),
        size=policy.config.frame_size,
        drop_null=info["drop_null"],
    )
    places = set(info["train_places"])
    training = [e for e in episodes if e.place in places]
    held_out = [e for e in episodes if e.place not in places]
    if not training or not held_out:
        raise ConfigError(
            f"probe: {data} has {len(training)} episodes that {checkpoint} was trained on and "
            f"{len(held_out)} that it was not; both are needed"
        )
    fingerprint = sha256_of(folder / "model.safetensors")
    return Subject(folder, fingerprint, policy, info, training, held_out)
