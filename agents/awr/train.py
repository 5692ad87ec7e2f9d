"""Advantage-weighted regression of heads."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.awr.advantage import advantages, returns_of
from agents.awr.config import AWRConfig
from agents.common.latents import EpisodeLatents, load_latents
from agents.common.runs import RunResult
from agents.preferences.improve import HeadsMethod, ImproveReport, improve
from agents.preferences.likelihood import Actions, log_probs, of_latents
from agents.preferences.losses import advantage_weights, effective_share
from agents.reward.scored import score_recordings
from basalt.data.baselines import camera_counts
from basalt.data.embeddings import open_shard
from basalt.data.episodes import held_out_groups
from basalt.io.console import note
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import open_policy
from basalt.policies.vpt import VPTPolicy

FEW = 0.2
"""Effective share of the steps below which a few of them decide."""


def train(cfg: AWRConfig) -> RunResult[ImproveReport]:
    """Weigh the steps of recordings by a reward model and imitate them, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The reward model, the recordings, the policy or the folder of the run cannot be used.
    """
    scored = score_recordings(
        cfg.reward,
        cfg.recordings,
        task=cfg.task,
        use="advantage-weighted regression",
        pessimism=cfg.pessimism,
        device=cfg.device,
        progress=cfg.progress,
    )
    chosen = sorted(scored.episodes, key=lambda one: one.meta.video_sha256)
    videos = [one.meta.video_sha256 for one in chosen]
    episodes, _ = load_latents(
        cfg.recordings, cfg.init, wanted=videos, device=cfg.device, progress=cfg.progress
    )
    device = choose_device(cfg.device)
    policy = open_policy(cfg.init, device, "init")
    method = AWR(
        cfg,
        policy,
        [episodes[one] for one in videos],
        [one.rewards for one in chosen],
        scored.fingerprint,
        device,
    )
    return improve(cfg, method)


class AWR(HeadsMethod):
    """The loss of advantage-weighted regression.

    Args:
        cfg: Settings.
        policy: The start.
        episodes: Latents of the episodes by the start.
        rewards: Reward of each step of each episode.
        reward: Fingerprint of the reward model.
        device: Device to train on.
    """

    name = "awr"

    def __init__(
        self,
        cfg: AWRConfig,
        policy: VPTPolicy,
        episodes: Sequence[EpisodeLatents],
        rewards: Sequence[NDArray[np.floating]],
        reward: str,
        device: torch.device,
    ) -> None:
        self._cfg = cfg
        places = [f"{one.meta.task}:{one.meta.seed}" for one in episodes]
        tested = held_out_groups(places, cfg.held_out, cfg.seed)
        learn = [number for number, place in enumerate(places) if place not in tested]
        probe = [number for number, place in enumerate(places) if place in tested] or learn
        self._latents = np.concatenate([episodes[one].values for one in learn])
        returns = np.concatenate([returns_of(rewards[one], cfg.horizon) for one in learn])
        found = advantages(self._latents, returns)
        self._weights = advantage_weights(
            torch.from_numpy(found).float(), cfg.temperature, cfg.largest_weight
        )
        labels = [open_shard(episodes[one].shard).read(("buttons", "camera")) for one in learn]
        self._buttons, self._camera = (
            torch.cat([one[name] for one in labels]).long() for name in ("buttons", "camera")
        )
        self._counts = torch.from_numpy(camera_counts(self._buttons.numpy()))
        if (share := effective_share(self._weights)) < FEW:
            note(
                f"awr: the weighted steps are worth {share:.0%} of as many equal ones; use a larger temperature="
            )
        facts = {
            "task": cfg.task,
            "reward": reward,
            "train_places": tuple(sorted(set(places) - tested)),
            "held_out_places": tuple(sorted(tested)),
        }
        probed = np.concatenate([episodes[one].values for one in probe])
        super().__init__(policy, torch.from_numpy(probed), facts, device)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Weighted negative log-probability of `batch_size` * `frames` steps, nats a frame."""
        cfg = self._cfg
        rows = np.sort(rng.integers(len(self._latents), size=cfg.batch_size * cfg.frames))
        which = torch.from_numpy(rows)
        latents = torch.from_numpy(self._latents[rows])[None].to(self.device)
        actions = Actions(
            self._buttons[which][None],
            self._camera[which][None],
            self._counts[which][None],
            torch.ones(1, len(rows), dtype=torch.bool),
        ).to(self.device)
        likely = log_probs(of_latents(self.network, latents), actions)[0]
        weights = self._weights[which].to(self.device)
        weights = weights / weights.mean()
        return -(weights * likely).mean(), {"effective_share": effective_share(weights)}

    def figures(self) -> dict[str, float]:
        """Number of steps, and as what share of equally weighted ones they count."""
        return {
            "steps learned from": len(self._latents),
            "effective share": effective_share(self._weights),
        }
