"""Pairs of windows from recordings: a window and another that differs from it."""

from collections.abc import Sequence
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
from basalt.probes.twins.windows import TwinWindows

DARKER = 0.25
"""Factor by which darkened frames are dimmer."""

GREY = 128

KINDS = {
    "other": "a window of another episode",
    "earlier": "the window that ended a second earlier",
    "past": "the same last frame after the frames of another episode",
    "mirror": "the window mirrored left to right",
    "dark": "the window at a quarter of its brightness",
    "covered": "the window with the middle ninth of each picture grey",
}
"""How the other window of a pair is made from recordings."""

TWINS = "twins"
"""The further kind of pairs, from a library of twins."""


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
        raise ConfigError(
            f"pairs: expected one of {known}; {TWINS} (the same play in a changed world), got {kind!r}"
        )
    shortest = frames + STEPS_PER_SECOND
    long = [i for i, episode in enumerate(episodes) if len(episode) >= shortest]
    needed = 2 if kind in ("other", "past") else 1
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
        images = _window(episodes[i], end, frames)
        clean.append(images)
        if kind in ("other", "past"):
            other = episodes[long[(place + 1) % len(long)]]
            at = _moment(len(other), shortest, number // len(long), rounds)
            noise.append(_window(other, at, frames))
        elif kind == "earlier":
            noise.append(_window(episodes[i], end - STEPS_PER_SECOND, frames))
        else:
            noise.append(_edited(images, kind))
    contexts = Contexts(
        clean=encode_windows(policy, clean),
        noise=encode_windows(policy, noise),
        actions=_joined([episodes[i].actions_between(t, t + 1) for i, t in last]),
        episode=np.array([i for i, _ in last]),
    )
    if kind == "past":
        contexts.noise[:, -1] = contexts.clean[:, -1]
    return contexts


def twin_contexts(policy: VPTPolicy, windows: Sequence[TwinWindows]) -> Contexts:
    """Pairs of windows of twins: the play as it was, and the same play in a changed world; `episode` is the seed.

    Args:
        policy: Policy whose encoder reads the frames.
        windows: Windows of the twins.
    """
    return Contexts(
        clean=encode_windows(policy, [one.plain for one in windows]),
        noise=encode_windows(policy, [one.changed for one in windows]),
        actions=_joined([one.action for one in windows]),
        episode=np.array([one.twin.seed for one in windows]),
    )


def _joined(actions: Sequence[VPTActions]) -> VPTActions:
    return VPTActions(*(np.concatenate(column) for column in zip(*actions, strict=True)))


def _edited(images: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Frames [T, height, width, 3] with an edit of the picture, the same on each."""
    if kind == "mirror":
        return images[:, :, ::-1]
    if kind == "dark":
        return (images * DARKER).astype(np.uint8)
    found = images.copy()
    height, width = images.shape[1:3]
    found[:, height // 3 : height * 2 // 3, width // 3 : width * 2 // 3] = GREY
    return found


def _moment(length: int, shortest: int, number: int, rounds: int) -> int:
    """The number-th of some moments evenly spaced over an episode, none before `shortest` frames have passed."""
    return shortest - 1 + int((number + 0.5) / rounds * (length - shortest + 1))


def _window(episode: Episode, end: int, frames: int) -> NDArray[np.uint8]:
    """The used frames up to the end-th, uint8 [T, height, width, 3]."""
    return episode.read_frames(episode.kept[end - frames + 1 : end + 1])


@torch.no_grad()
def encode_windows(policy: VPTPolicy, windows: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Encoded frames of windows that each begin with an empty memory, float [P, T, H]."""
    encoded = []
    for images in windows:
        img = torch.from_numpy(np.ascontiguousarray(images)).to(policy.device)[None]
        first = torch.arange(len(images), device=policy.device)[None] == 0
        stacks, _ = policy.net.stack(img, first, policy.initial_state(1))
        encoded.append(policy.net.encode_frames(stacks).float())
    return torch.cat(encoded)
