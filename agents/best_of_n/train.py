"""Best of n: choose by a reward model, then clone."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from agents.bc.train import TrainResult
from agents.best_of_n.choice import best, divergence
from agents.best_of_n.config import BestOfNConfig
from agents.common.latents import load_latents
from agents.preferences.clone import clone_clips
from agents.reward.scored import ScoredEpisode, ScoredRecordings, score_recordings
from basalt.core.comparisons import Side
from basalt.io.errors import ConfigError


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
    scored = score_recordings(
        cfg.reward,
        cfg.recordings,
        task=cfg.task,
        use="best of n",
        pessimism=cfg.pessimism,
        device=cfg.device,
        progress=cfg.progress,
    )
    groups = _groups(cfg.n, scored)
    # The mean of an episode and not the sum, so that longer is not better.
    rewards = np.array([[one.rewards.mean() for one in group] for group in groups.values()])
    winners = [
        group[place].meta for group, place in zip(groups.values(), best(rewards), strict=True)
    ]
    episodes, embedded_by = load_latents(
        cfg.recordings,
        cfg.init,
        wanted=[one.video_sha256 for one in winners],
        device=cfg.device,
        progress=cfg.progress,
    )
    clips = [Side(meta.player, meta.seed, meta.video_sha256) for meta in winners]
    cloned = clone_clips(cfg, "best_of_n", [cfg.reward], clips, episodes, embedded_by)
    return BestOfNResult(
        cloned, cfg.n, len(groups), float(rewards.mean()), float(rewards.max(axis=1).mean())
    )


def _groups(n: int, scored: ScoredRecordings) -> dict[int, list[ScoredEpisode]]:
    """The first n episodes of each seed that has as many."""
    by_seed: dict[int, list[ScoredEpisode]] = defaultdict(list)
    for one in scored.episodes:
        by_seed[one.meta.seed].append(one)
    found = {seed: episodes[:n] for seed, episodes in by_seed.items() if len(episodes) >= n}
    if not found:
        raise ConfigError(
            f"recordings: expected seeds of {scored.world} with {n} episodes or more, got at most "
            f"{max(map(len, by_seed.values()))}; let the agent play the same seeds with other agent.seed=, into folders of their "
            "own, or use a smaller n="
        )
    return found
