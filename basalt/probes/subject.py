"""The subject of a probe: a trained policy with its training and held-out recordings."""

from dataclasses import dataclass
from pathlib import Path

import torch

from basalt.core.recording import sha256_of
from basalt.core.tasks import get_task
from basalt.data.baselines import Marginals
from basalt.data.episodes import Episode, load_episodes
from basalt.data.labels import label_mode
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import Checkpoint, choose_device, find_checkpoint, load_policy
from basalt.policies.imitation import start_at_marginals
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.points import hook_point_widths
from basalt.probes.sae.files import load_sae
from basalt.probes.sae.model import SAE


@dataclass(frozen=True)
class Subject:
    """A policy and its episodes.

    Attributes:
        checkpoint: Folder of the weights.
        fingerprint: SHA-256 of the weights.
        policy: Policy in evaluation mode.
        info: Metadata of the checkpoint.
        training: Episodes that it was trained on.
        held_out: All other episodes.
    """

    checkpoint: Path
    fingerprint: str
    policy: VPTPolicy
    info: Checkpoint
    training: list[Episode]
    held_out: list[Episode]

    @property
    def episodes(self) -> list[Episode]:
        """All episodes, training ones first."""
        return [*self.training, *self.held_out]

    @property
    def splits(self) -> list[str]:
        """Split of each of `episodes`: `training` or `held_out`."""
        return ["training"] * len(self.training) + ["held_out"] * len(self.held_out)

    def untrained(self, seed: int = 0) -> VPTPolicy:
        """The network as it was before training: random weights, heads at the frequencies of the actions."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = VPTPolicy(self.policy.config)
        start_at_marginals(policy, Marginals(self.training))
        return policy.to(self.policy.device).eval()


def load_subject(checkpoint: str | Path, data: str | Path, device: str = "auto") -> Subject:
    """Load a policy and recordings, split as they were split in its training.

    Args:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        device: Device of the policy.

    Raises:
        BasaltError: the checkpoint or data is missing, or one side of the split is empty.
    """
    folder = find_checkpoint(checkpoint)
    policy, info = load_policy(folder, choose_device(device))
    episodes = load_episodes(
        data,
        task=get_task(info.task),
        size=policy.config.frame_size,
        drop_null=info.drop_null,
        labels=label_mode(info.labels),
    )
    groups = set(info.train_places)
    training = [e for e in episodes if e.split_group in groups]
    held_out = [e for e in episodes if e.split_group not in groups]
    if not training or not held_out:
        raise ConfigError(
            f"data: expected episodes that {checkpoint} was trained on and others, got {len(training)} "
            f"and {len(held_out)} in {data}"
        )
    fingerprint = sha256_of(folder / "model.safetensors")
    return Subject(folder, fingerprint, policy, info, training, held_out)


def load_sae_of(
    policy: VPTPolicy, folder: str | Path, hook_point: str | None = None
) -> tuple[str, SAE]:
    """Load an autoencoder of a policy's activations.

    Args:
        policy: The policy.
        folder: Folder of the autoencoder, `SUITE/saes/HOOK_POINT/NAME`.
        hook_point: Hook point that it should be of; None for any.

    Returns:
        Its hook point, and the autoencoder on the policy's device.

    Raises:
        ConfigError: There is no such autoencoder, or it is of another hook point or of activations of another width.
    """
    sae, info = load_sae(Path(folder))
    widths = hook_point_widths(policy)
    name = hook_point or info.hook_point
    if info.hook_point != name or name not in widths:
        raise ConfigError(
            f"sae: expected an autoencoder of {hook_point or 'a hook point of this policy'!r}, got {folder} of "
            f"{info.hook_point!r}"
        )
    if sae.W_dec.shape[1] != widths[name]:
        raise ConfigError(
            f"sae: expected an autoencoder of activations of width {widths[name]}, that of this policy's {name}, "
            f"got {folder} of width {sae.W_dec.shape[1]}"
        )
    return name, sae.to(policy.device)
