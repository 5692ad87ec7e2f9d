"""Contrast pairs of a policy's activations: two inputs, of which a statement holds for exactly one.

`mirror`: a window of frames before a turn and its mirror image; the statement is that the player turns left. `twins`: the
same moment of two plays, in random order; the statement is that it is the changed world.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.actions import N_CAMERA_BINS, bins_to_camera
from basalt.data.episodes import Episode
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.policies.vpt import VPTPolicy
from basalt.probes.elicitation.checks import PLANTED, TEMPLATES, PairSet, Variant
from basalt.probes.elicitation.methods import Sides
from basalt.probes.hooks.points import record
from basalt.probes.twins.windows import TwinWindows

Images = NDArray[np.uint8]
"""Frames of a window, [T, height, width, 3]."""

AHEAD, TURN = 10, 10.0
"""Frames within which a player turns, and degrees that count as a turn."""

MIN_GROUPS = 5
"""Episodes or seeds that pairs must be from: half of them are held out, rounded up, and an interval needs three."""

ROWS = 16
"""Number of windows per call of the policy."""


class Example(NamedTuple):
    """Two windows of frames.

    Attributes:
        plus: Frames of the first input.
        minus: Frames of the second input.
        truth: Whether the statement holds for the first.
        group: Its episode or seed.
    """

    plus: Images
    minus: Images
    truth: bool
    group: int


def turns(episodes: Sequence[Episode], count: int, frames: int) -> list[Example]:
    """Windows that end where a player is about to turn, beside their mirror images; as many to each side as there are.

    Args:
        episodes: Episodes.
        count: Largest number of windows.
        frames: Number of frames of a window.
    """
    found = []
    quota = -(-count // (2 * max(len(episodes), 1)))
    for group, episode in enumerate(episodes):
        bins = np.stack(np.divmod(episode.actions.camera, N_CAMERA_BINS), -1)
        yaw = np.concatenate([[0.0], np.cumsum(bins_to_camera(bins)[:, 1])])
        turned = yaw[AHEAD:] - yaw[: len(yaw) - AHEAD]
        for left in (True, False):
            ends = np.flatnonzero((turned < -TURN) if left else (turned > TURN))
            ends = ends[(ends >= frames - 1) & (ends < len(episode))]
            picks = np.unique(np.linspace(0, len(ends) - 1, min(quota, len(ends))).astype(int))
            for end in ends[picks]:
                images = episode.read_frames(episode.kept[end - frames + 1 : end + 1])
                found.append(Example(images, images[:, :, ::-1], left, group))
    return found


def twin_examples(windows: Sequence[TwinWindows], seed: int) -> list[Example]:
    """Both windows of twins in random order.

    Args:
        windows: The windows.
        seed: Seed of the order.
    """
    swapped = np.random.default_rng(seed).random(len(windows)) < 0.5
    return [
        Example(one.changed, one.plain, True, one.twin.seed)
        if first
        else Example(one.plain, one.changed, False, one.twin.seed)
        for one, first in zip(windows, swapped.tolist(), strict=True)
    ]


def pair_set(policy: VPTPolicy, site: str, examples: Sequence[Example], seed: int) -> PairSet:
    """Activations of examples at their last frame in all looks, split by group.

    Args:
        policy: Policy in evaluation mode.
        site: Name of the hook point.
        examples: The examples.
        seed: Seed of the split and of the planted distractors.

    Raises:
        ConfigError: Too few groups.
    """
    rng = np.random.default_rng(seed)
    group = np.array([one.group for one in examples], np.int64)
    groups = np.unique(group)
    if len(groups) < MIN_GROUPS:
        raise ConfigError(
            f"data: expected contrast pairs of at least {MIN_GROUPS} episodes or seeds, got {len(examples)} pairs of "
            f"{len(groups)}; use more recordings, more twins or fewer frames"
        )
    test = np.isin(group, rng.permutation(groups)[: (len(groups) + 1) // 2])
    variants = {}
    with progress_bar(
        total=2 * len(examples) * len((*TEMPLATES, *PLANTED)), title="contrast pairs", unit="window"
    ) as bar:
        for look in (*TEMPLATES, *PLANTED):
            marks = rng.random(len(examples)) < 0.5
            sides = []
            for side in (0, 1):
                # The mark is on the other side of the other input, as in a mirror.
                images = [
                    LOOKS[look]((one.plus, one.minus)[side], bool(mark) != bool(side))
                    for one, mark in zip(examples, marks, strict=True)
                ]
                sides.append(_activations(policy, site, images, bar.update))
            planted = torch.from_numpy(marks) if look in PLANTED else None
            variants[look] = Variant(Sides(*sides), planted)
    truth = torch.tensor([one.truth for one in examples])
    return PairSet(variants, truth, group, torch.from_numpy(test))


@torch.no_grad()
def _activations(
    policy: VPTPolicy, site: str, windows: Sequence[Images], done: Callable[[int], object]
) -> Tensor:
    """The activation at the last frame of each window, float32 [n, width]."""
    found = []
    for start in range(0, len(windows), ROWS):
        images = np.stack(windows[start : start + ROWS])
        first = torch.arange(images.shape[1], device=policy.device).expand(images.shape[:2]) == 0
        with record(policy, [site]) as seen:
            policy.latents(
                torch.from_numpy(images).to(policy.device),
                first,
                policy.initial_state(len(images)),
                "frames",
            )
        found.append(seen[site][:, -1].float().cpu())
        done(len(images))
    return torch.cat(found)


def _square(images: Images, left: bool) -> Images:
    found = images.copy()
    height, width = images.shape[1:3]
    edge, start = height // 5, width // 8
    column = start if left else width - start - edge
    found[:, height // 2 - edge // 2 : height // 2 - edge // 2 + edge, column : column + edge] = (
        255,
        0,
        255,
    )
    return found


def _arrow(images: Images, left: bool) -> Images:
    """A white arrow on black at the top, as if somebody had said which way to turn."""
    found = images.copy()
    height, width = images.shape[1:3]
    rows, columns = height // 5, width // 3
    columns -= (width - columns) % 2  # in the middle, also in a mirror
    box = np.zeros((rows, columns, 3), np.uint8)
    across, down = np.arange(columns) / columns, np.abs(np.arange(rows) - (rows - 1) / 2) / rows
    head = (across[None] < 0.5) & (down[:, None] <= across[None])
    shaft = (across[None] >= 0.5) & (down[:, None] <= 0.15)
    box[head | shaft] = 255
    start = (width - columns) // 2
    found[:, :rows, start : start + columns] = box if left else box[:, ::-1]
    return found


def _dim(images: Images, _left: bool) -> Images:
    return (images * 0.6).astype(np.uint8)


def _framed(images: Images, _left: bool) -> Images:
    found = np.full_like(images, 128)
    edge = images.shape[1] // 12
    found[:, edge:-edge, edge:-edge] = images[:, edge:-edge, edge:-edge]
    return found


LOOKS: dict[str, Callable[[Images, bool], Images]] = {
    "plain": lambda images, _left: images,
    "dim": _dim,
    "framed": _framed,
    "square": _square,
    "arrow": _arrow,
}
"""By name in `TEMPLATES` and `PLANTED`: the frames in that look, with the distractor on the left or on the right."""
