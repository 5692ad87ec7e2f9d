"""Pairs of windows from recordings: a window and another that differs from it."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.actions import VPTActions
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy

DARKER = 0.25
"""Factor by which darkened frames are dimmer."""

KINDS = {
    "other": "a window of another episode",
    "earlier": "the window that ended a second earlier",
    "mirror": "the window mirrored left to right",
    "dark": "the window at a quarter of its brightness",
}
"""How the other window of a pair is made."""


class Contexts(NamedTuple):
    """P pairs of windows of T frames.

    Attributes:
        clean: Encoded frames, float [P, T, H], on the policy's device.
        noise: Encoded frames of the other windows, same shape.
        actions: What the player did at the last frame of each clean window.
        episode: Episode of each clean window, int64 [P].
    """

    clean: Tensor
    noise: Tensor
    actions: VPTActions
    episode: NDArray[np.int64]


def make_contexts(
    policy: VPTPolicy, episodes: Sequence[Episode], kind: str, count: int, frames: int
) -> Contexts:
    """Pairs of windows at moments evenly spaced over the episodes.

    Args:
        policy: Policy whose encoder reads the frames.
        episodes: Held-out episodes; those shorter than a window and a second are left out.
        kind: One of `KINDS`.
        count: Number of pairs.
        frames: Number of frames T of a window.

    Raises:
        ConfigError: Unknown kind, or too few episodes that are long enough.
    """
    if kind not in KINDS:
        known = "; ".join(f"{name} ({what})" for name, what in KINDS.items())
        raise ConfigError(f"pairs: expected one of {known}, got {kind!r}")
    shortest = frames + STEPS_PER_SECOND
    long = [i for i, episode in enumerate(episodes) if len(episode) >= shortest]
    needed = 2 if kind == "other" else 1
    if len(long) < needed:
        raise ConfigError(
            f"data: expected at least {needed} held-out episode(s) of {shortest} frames or more for windows of "
            f"{frames} frames, got {len(long)}; record more or lower frames"
        )
    clean, noise, last = [], [], []
    rounds = -(-count // len(long))
    for number in range(count):
        place = number % len(long)
        i = long[place]
        # The last frame of the window, from `shortest` - 1 to the end of the episode.
        end = _moment(len(episodes[i]), shortest, number // len(long), rounds)
        last.append((i, end))
        images = _read(episodes[i], end - frames + 1, frames)
        clean.append(images)
        if kind == "other":
            other = episodes[long[(place + 1) % len(long)]]
            at = _moment(len(other), shortest, number // len(long), rounds)
            noise.append(_read(other, at - frames + 1, frames))
        elif kind == "earlier":
            noise.append(_read(episodes[i], end - STEPS_PER_SECOND - frames + 1, frames))
        elif kind == "mirror":
            noise.append(images[:, :, ::-1])
        else:
            noise.append((images * DARKER).astype(np.uint8))
    actions = [episodes[i].actions_between(t, t + 1) for i, t in last]
    joined = VPTActions(*(np.concatenate(column) for column in zip(*actions, strict=True)))
    return Contexts(
        clean=_encode(policy, clean),
        noise=_encode(policy, noise),
        actions=joined,
        episode=np.array([i for i, _ in last]),
    )


def _moment(length: int, shortest: int, number: int, rounds: int) -> int:
    """The number-th of some moments evenly spaced over an episode, none before `shortest` frames have passed."""
    return shortest - 1 + int((number + 0.5) / rounds * (length - shortest + 1))


def _read(episode: Episode, start: int, frames: int) -> NDArray[np.uint8]:
    """Frames uint8 [T, height, width, 3]."""
    images = np.empty((frames, *episode.source.shape), np.uint8)
    with closing(episode.source.open()) as reader:
        reader.read_into(images, episode.kept[start : start + frames])
    return images


@torch.no_grad()
def _encode(policy: VPTPolicy, windows: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Encoded frames of windows that each begin with an empty memory, float [P, T, H]."""
    encoded = []
    for images in windows:
        img = torch.from_numpy(np.ascontiguousarray(images)).to(policy.device)[None]
        first = torch.arange(len(images), device=policy.device)[None] == 0
        stacks, _ = policy.net.stack(img, first, policy.initial_state(1))
        encoded.append(policy.net.encode_frames(stacks).float())
    return torch.cat(encoded)
