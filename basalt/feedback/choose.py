"""Pairs of clips that an ensemble of reward models chooses to ask about."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from agents.common.latents import load_latents
from agents.reward.frames import Frames
from agents.reward.saved import open_reward
from basalt.core.recording import RecordingMeta
from basalt.feedback.clips import ClipPair
from basalt.feedback.selectors import Selector, select
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device

CANDIDATES = 10
"""Number of candidates for each pair that is chosen."""

FRAMES = 32
"""Largest number of steps of a clip that are read."""


def choose(
    pairs: Sequence[ClipPair],
    count: int,
    selector: Selector,
    reward: str,
    recordings: Sequence[str],
    meta: RecordingMeta,
    rng: np.random.Generator,
    *,
    progress: bool = True,
) -> list[ClipPair]:
    """Choose pairs by what a reward model's ensemble thinks of them; a fifth is drawn uniformly.

    Args:
        pairs: Candidates.
        count: Number of pairs to choose.
        selector: Rule.
        reward: Run of the reward model.
        recordings: Folders of the recordings.
        meta: Metadata of one of them: all are of one task and world.
        rng: Source of the uniform draws and of the order.
        progress: Whether to show a progress bar.

    Returns:
        The pairs in the order of asking. Those that the rule chose have its name as their `kind`.

    Raises:
        BasaltError: The reward model cannot be used.
    """
    model, info = open_reward(reward, choose_device("auto"))
    known = (info.task, info.world, info.world_version)
    if known != (meta.task, meta.world, meta.world_version):
        raise ConfigError(
            f"reward: expected a model of {meta.task} in {meta.world} {meta.world_version}, got one of {' '.join(known)}"
        )
    episodes, _ = load_latents(
        recordings,
        info.trunk,
        wanted={side.episode for one in pairs for side in (one.left.side, one.right.side)},
        expected=info.trunk_fingerprint,
        progress=progress,
    )
    frames = Frames(episodes, FRAMES)
    frames.project(model)
    left, right = (
        frames.clips([getattr(one, place).side for one in pairs]) for place in ("left", "right")
    )
    chosen = select(
        count,
        len(pairs),
        selector,
        rng,
        probabilities=torch.sigmoid(
            frames.scores(model, left) - frames.scores(model, right)
        ).numpy(),
        features=_features(frames.means(left), frames.means(right)).numpy(),
    )
    found = []
    for index, rule, chance in zip(
        chosen.indices, chosen.selectors, chosen.probabilities, strict=True
    ):
        pair = pairs[index]
        if rule == "uniform":  # it stays what it was, and is drawn twice
            both = None if pair.chance is None else pair.chance * chance
            found.append(replace(pair, chance=both))
        else:
            found.append(replace(pair, kind=rule, chance=chance))
    return found


def _features(left: Tensor, right: Tensor) -> Tensor:
    """What describes a pair, whichever side each clip is on, float [pairs, 2 * components]."""
    return torch.cat([left + right, (left - right).abs()], dim=1)
