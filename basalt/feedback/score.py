"""Scores of recordings by a reward model, for the app's Episodes page and other programs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from agents.common.latents import EpisodeLatents, load_latents
from agents.reward.model import RewardModel
from agents.reward.saved import open_reward
from basalt.core.rewards import SCORES, EpisodeScores, RewardScores, read_scores, scores_file
from basalt.core.settings import Paths, PathText, settings
from basalt.io.console import progress_bar
from basalt.io.errors import RecordingError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import fingerprint


@settings
class ScoreConfig:
    """Score each step of recordings by a reward model.

    Attributes:
        reward: Run of `basalt train agent=reward`.
        recordings: Folders of recordings of its task and world, or `sample`.
        out: Folder of the scores. The same command scores the episodes that are missing.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show progress bars.
    """

    reward: PathText
    recordings: Annotated[Paths, Field(min_length=1)]
    out: PathText = "${reward}/scores"
    device: str = "auto"
    progress: bool = True


@dataclass(frozen=True)
class Scored:
    """Scores of recordings.

    Attributes:
        out: Folder of the scores.
        episodes: The episodes' scores.
    """

    out: Path
    episodes: Sequence[EpisodeScores]

    def lines(self) -> list[str]:
        """The scores in lines of text: mean reward of each player."""
        lines = [f"{len(self.episodes)} episodes scored: {self.out}"]
        players: dict[str, list[EpisodeScores]] = defaultdict(list)
        for one in self.episodes:
            players[one.player].append(one)
        for player, found in sorted(players.items()):
            steps = [value for one in found for value in one.reward]
            outside = sum(one.outside for one in found) / len(found)
            mean = sum(steps) / len(steps) if steps else 0.0
            lines.append(
                f"{player}: mean reward {mean:+.3f} over {len(steps)} steps of {len(found)} episodes; {outside:.1%} of the "
                "steps are unlike the training frames"
            )
        return lines


def score(config: ScoreConfig) -> Scored:
    """Score the episodes that have no scores yet.

    Raises:
        ConfigError: The run is not a finished reward model, or its trunk changed; or the folder has scores of another one.
        RecordingError: The recordings cannot be used, or are of another task or world.
    """
    device = choose_device(config.device)
    model, info = open_reward(config.reward, device)
    record = RewardScores(
        reward=config.reward,
        fingerprint=fingerprint(model),
        task=info.task,
        question=info.question,
        synthetic="synthetic" in info.sources,
    )
    episodes, _ = load_latents(
        config.recordings,
        info.trunk,
        expected=info.trunk_fingerprint,
        device=config.device,
        progress=config.progress,
    )
    wanted = (info.task, info.world, info.world_version)
    of_task = {
        video: one
        for video, one in episodes.items()
        if (one.meta.task, one.meta.world, one.meta.world_version) == wanted
    }
    if not of_task:
        raise RecordingError(
            f"recordings: expected recordings of {' '.join(wanted)}, which the reward model was trained on, got none of "
            f"{len(episodes)}; use other folders"
        )
    out = Path(config.out)
    with sole_writer(out, "folder of scores"):
        record.claim(out / SCORES, "folder of scores", may_change=("reward",))
        found = []
        bar = progress_bar(
            of_task.items(), title="scores", unit="episode", shown=config.progress, total=len(of_task)
        )  # fmt: skip
        for video, one in bar:
            done = read_scores(out, video)
            if done is None:
                done = episode_scores(model, one)
                done.write(scores_file(out, video))
            found.append(done)
    return Scored(out, found)


def episode_scores(model: RewardModel, episode: EpisodeLatents) -> EpisodeScores:
    """Scores of each step of an episode."""
    rewards = model.rewards(torch.from_numpy(episode.values[:].copy()))
    return EpisodeScores(
        episode=episode.meta.video_sha256,
        player=episode.meta.player,
        seed=episode.meta.seed,
        reward=_rounded(rewards.mean),
        spread=_rounded(rewards.spread),
        distance=_rounded(rewards.distance),
    )


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values.tolist())
