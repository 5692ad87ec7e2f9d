"""Frames of compared clips as batches: features of whole episodes in memory, and the rows of each clip."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.common.latents import EpisodeLatents, spread_steps
from agents.reward.model import RewardModel
from agents.reward.preference import CODES
from basalt.core.comparisons import Comparison, Side
from basalt.io.errors import ConfigError

_AT_ONCE = 16_384
"""Number of frames of clips that are scored at once."""


class Clips(NamedTuple):
    """Rows of n clips of at most T steps.

    Attributes:
        rows: Rows of the steps that are read, int64 [n, T].
        mask: bool [n, T], False for padding at the end.
    """

    rows: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, which: Tensor) -> "Clips":
        """Some of the clips, by number."""
        return Clips(self.rows[which], self.mask[which])


class Pairs(NamedTuple):
    """Compared clips and the answers, n of each.

    Attributes:
        left: Left clips.
        right: Right clips.
        answers: `CODES` of the answers, int64 [n].
    """

    left: Clips
    right: Clips
    answers: Tensor

    def __len__(self) -> int:
        return len(self.answers)

    def at(self, which: Tensor) -> "Pairs":
        """Some of the pairs, by number."""
        return Pairs(self.left.at(which), self.right.at(which), self.answers[which])


class Frames:
    """Frames of episodes, one after the other.

    Args:
        episodes: Latents of the episodes by the SHA-256 of their videos.
        limit: Largest number of steps of a clip that are read, spread evenly.

    Attributes:
        values: Features of all frames (`RewardModel.features`), float32 [frames, inputs]; set by `project`.
    """

    def __init__(self, episodes: Mapping[str, EpisodeLatents], limit: int) -> None:
        self._episodes, self._limit = dict(sorted(episodes.items())), limit
        ends = np.cumsum([one.meta.steps for one in self._episodes.values()])
        self._start = dict(zip(self._episodes, [0, *ends[:-1].tolist()], strict=True))
        self.values = torch.empty(0, 0)

    def project(self, model: RewardModel) -> None:
        """Compute the features of all frames.

        Raises:
            ConfigError: A latent is not finite.
        """
        parts = []
        for episode in self._episodes.values():
            latents = torch.from_numpy(np.array(episode.values))
            if not latents.isfinite().all():
                raise ConfigError(
                    f"trunk: expected finite latents of {episode.recording.stem}, got others; use another policy"
                )
            parts.append(model.features(latents.to(model.device)).cpu())
        self.values = torch.cat(parts)

    def episode(self, name: str) -> Tensor:
        """Features of an episode's steps, float32 [steps, inputs]."""
        start = self._start[name]
        return self.values[start : start + self._episodes[name].meta.steps]

    def positions(self, side: Side) -> NDArray[np.int64]:
        """Steps of a clip that are read, int64 [at most `limit`]."""
        stop = self._episodes[side.episode].meta.steps if side.stop is None else side.stop
        return spread_steps(side.start or 0, stop, self._limit)

    def clips(self, sides: Sequence[Side]) -> Clips:
        """Rows of clips; shorter ones are padded."""
        rows = [self._start[side.episode] + self.positions(side) for side in sides]
        longest = max(map(len, rows), default=1)
        padded = np.stack([np.pad(one, (0, longest - len(one)), mode="edge") for one in rows])
        lengths = np.array([len(one) for one in rows])
        mask = np.arange(longest)[None] < lengths[:, None]
        return Clips(torch.from_numpy(padded), torch.from_numpy(mask))

    def pairs(self, answers: Sequence[Comparison]) -> Pairs:
        """Compared clips with their answers."""
        return Pairs(
            self.clips([one.left for one in answers]),
            self.clips([one.right for one in answers]),
            torch.tensor([CODES[one.winner] for one in answers]),
        )

    def of(self, clips: Clips, device: torch.device) -> tuple[Tensor, Tensor]:
        """Features float32 [n, T, inputs] and mask bool [n, T] of clips."""
        return self.values[clips.rows].to(device), clips.mask.to(device)

    def means(self, clips: Clips) -> Tensor:
        """Mean features of each clip, float32 [n, inputs]."""
        weights = clips.mask.float() / clips.mask.sum(1, keepdim=True)
        return torch.cat(
            [
                (self.values[rows] * weight[..., None]).sum(1)
                for rows, weight in zip(clips.rows.split(512), weights.split(512), strict=True)
            ]
        )

    def last(self, clips: Clips) -> Tensor:
        """Features of the last step of each clip that is read, float32 [n, inputs]."""
        return self.values[clips.rows.gather(1, clips.mask.sum(1, keepdim=True) - 1)[:, 0]]

    @torch.no_grad()
    def scores(self, model: RewardModel, clips: Clips) -> Tensor:
        """Score of each clip by each member, float32 [members, n], on the CPU."""
        size = max(1, _AT_ONCE // clips.rows.shape[1])
        parts = [
            model.clip_scores(*self.of(Clips(rows, mask), model.device)).cpu()
            for rows, mask in zip(clips.rows.split(size), clips.mask.split(size), strict=True)
        ]
        return torch.cat(parts, dim=1)
