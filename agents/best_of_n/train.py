"""Best of n: choose by a reward model, then clone."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agents.bc.train import TrainResult
from agents.best_of_n.choice import best, divergence
from agents.best_of_n.config import BestOfNConfig
from agents.common.latents import EpisodeLatents, load_latents
from agents.preferences.clone import clone_clips
from agents.reward.saved import open_reward
from basalt.core.comparisons import Side
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device


@dataclass(frozen=True)
class BestOfNResult:
    """Result of a training run.

    Attributes:
        cloned: Result of cloning the chosen episodes.
        n: Number of episodes of each seed.
        seeds: Number of seeds.
        mean: Mean reward of all compared episodes.
        chosen: Mean reward of the chosen ones.
    """

    cloned: TrainResult
    n: int
    seeds: int
    mean: float
    chosen: float

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C stopped the cloning; the same settings resume it."""
        return self.cloned.interrupted

    def lines(self) -> list[str]:
        """The result in lines of text."""
        return [
            f"best of {self.n} on {self.seeds} seeds: mean reward {self.chosen:+.3f}, of all {self.mean:+.3f} "
            f"({divergence(self.n):.2f} nats from the player)",
            *self.cloned.lines(),
        ]


def train(cfg: BestOfNConfig) -> BestOfNResult:
    """Choose the best episode of each seed and imitate it, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The reward model, the recordings, the policy or the folder of the run cannot be used.
    """
    model, info = open_reward(cfg.reward, choose_device(cfg.device))
    task = get_task(cfg.task)
    if info.task != task.name:
        raise ConfigError(f"reward: expected a model of {task.name}, got one of {info.task}")
    scored, _ = load_latents(
        cfg.recordings,
        info.trunk,
        expected=info.trunk_fingerprint,
        device=cfg.device,
        progress=cfg.progress,
    )
    groups = _groups(cfg, scored, (info.task, info.world, info.world_version))
    refuse_test_seeds(task, groups, "best of n")
    rewards = np.array(
        [
            [_mean_reward(model.gated(model.rewards(_tensor(scored[video])), cfg.pessimism)) for video in videos]
            for videos in groups.values()
        ]
    )  # fmt: skip
    winners = [videos[place] for videos, place in zip(groups.values(), best(rewards), strict=True)]
    episodes, embedded_by = load_latents(
        cfg.recordings, cfg.init, wanted=winners, device=cfg.device, progress=cfg.progress
    )
    metas = [scored[video].meta for video in winners]
    clips = [Side(meta.player, meta.seed, meta.video_sha256) for meta in metas]
    cloned = clone_clips(cfg, "best_of_n", [cfg.reward], clips, episodes, embedded_by)
    return BestOfNResult(
        cloned, cfg.n, len(groups), float(rewards.mean()), float(rewards.max(axis=1).mean())
    )


def _groups(
    cfg: BestOfNConfig, episodes: Mapping[str, EpisodeLatents], world: tuple[str, str, str]
) -> dict[int, list[str]]:
    """The first n episodes of each seed that has as many."""
    by_seed: dict[int, list[str]] = defaultdict(list)
    for video, one in episodes.items():
        if (one.meta.task, one.meta.world, one.meta.world_version) == world and one.meta.steps:
            by_seed[one.meta.seed].append(video)
    found = {seed: videos[: cfg.n] for seed, videos in by_seed.items() if len(videos) >= cfg.n}
    if not found:
        most = max(map(len, by_seed.values()), default=0)
        raise ConfigError(
            f"recordings: expected seeds of {' '.join(world)} with {cfg.n} episodes or more, got at most {most}; let the "
            "agent play the same seeds with other agent.seed=, into folders of their own, or use a smaller n="
        )
    return found


def _tensor(episode: EpisodeLatents) -> torch.Tensor:
    values: NDArray[np.float16] = np.array(episode.values)
    return torch.from_numpy(values)


def _mean_reward(rewards: torch.Tensor) -> float:
    """Mean and not sum, so that longer is not better."""
    return float(rewards.mean())
