"""An image encoder of the heads' own, trained with them on their labels: latents of single frames.

Where a fact shows in a small part of the frame and decides no action of a policy, the policy's latents do not keep it.

RUN/encoder/checkpoints/
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from agents.common.optimization import (
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    schedule,
)
from agents.hybrid.data import LabelledEpisode
from agents.hybrid.heads import LatentHeads
from basalt.core.records import Record
from basalt.io.console import progress_bar
from basalt.policies.augment import augment, generator
from basalt.policies.checkpoint import (
    has_checkpoint,
    load_network,
    load_training,
    read_newest,
    write_checkpoint,
)
from basalt.policies.config import VPTConfig

CONFIG = replace(VPTConfig.small(), frame_stack=1)
"""Sizes of the encoder; its memory is not used."""

BATCH, LR, WARMUP, WEIGHT_DECAY, GRAD_CLIP = 72, 1e-3, 50, 0.05, 1.0
SHIFT, COLOUR = 3, 0.2
"""Augmentation; besides, every second frame is mirrored, which changes no label."""

CHECKPOINT_EVERY = 250
AT_ONCE = 256
"""Number of frames that are encoded at once."""


class EncoderCheckpoint(Record):
    """What a checkpoint of the encoder is of (`checkpoint.json`).

    Attributes:
        step: Number of optimizer steps done.
        made_from: SHA-256 of the labels, the number of steps and the seed that it is trained with.
    """

    FORMAT: ClassVar[str] = "basalt-hybrid-encoder"

    step: int
    made_from: str


def own_heads(heads: int, device: torch.device) -> LatentHeads:
    """Untrained heads with an encoder of their own, of whose latents they read every number."""
    net = LatentHeads(CONFIG.hidsize, heads, CONFIG.hidsize, encoder=CONFIG)
    net.axes.copy_(torch.eye(CONFIG.hidsize))
    return net.to(device)


def train_own(
    folder: Path,
    episodes: Sequence[LabelledEpisode],
    *,
    steps: int,
    seed: int,
    device: torch.device,
    progress: bool,
) -> LatentHeads:
    """Heads with an encoder of their own, or the rest of their training if it was interrupted.

    Args:
        folder: Folder of the checkpoints; what it holds of other labels, steps or seed is trained again.
        episodes: Training episodes, whose frames have the size of `CONFIG`.
        steps: Number of optimizer steps.
        seed: Seed of the first weights and of the batches.
        device: Device of the network.
        progress: Whether to show a progress bar.
    """
    torch.manual_seed(seed)
    net, frames = own_heads(episodes[0].holds.shape[1], device), _BalancedFrames(episodes, seed)
    optimizer = make_optimizer(net, LR, WEIGHT_DECAY)
    made_from = _made_from(episodes, steps, seed)
    step = 0
    if has_checkpoint(folder):
        newest, info = read_newest(
            folder, lambda one: EncoderCheckpoint.read(one / "checkpoint.json")
        )
        if info.made_from == made_from:
            net = load_network(newest, lambda: net).to(device)
            restore_optimizer(optimizer, net, load_training(newest), device)
            step = info.step
    net.train()
    with progress_bar(
        total=steps, initial=step, title="encoder", unit="step", shown=progress
    ) as bar:
        while step < steps:
            for group in optimizer.param_groups:
                group["lr"] = LR * schedule(step, WARMUP, steps)
            inputs, holds, known = (torch.from_numpy(x).to(device) for x in frames.batch(step))
            odds = net(net.encode(_augmented(inputs, generator(seed, step))))
            loss = balanced_loss(odds, holds, known)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), GRAD_CLIP)
            optimizer.step()
            step += 1
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")
            if step % CHECKPOINT_EVERY == 0 or step == steps:
                tensors = optimizer_tensors(optimizer, net)
                record = EncoderCheckpoint(step=step, made_from=made_from)
                write_checkpoint(folder, step, record, net.state_dict(), tensors)
    return net.eval()


def balanced_loss(odds: Tensor, holds: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over heads; each answer of a head weighs the same, and what is not known nothing.

    Args:
        odds: Log-odds, float [n, heads].
        holds: Labels, bool [n, heads].
        known: Which labels count, bool [n, heads].
    """
    each = F.binary_cross_entropy_with_logits(odds, holds.float(), reduction="none")
    yes, no = (holds & known).float(), (~holds & known).float()
    weight = sum(one / (2 * one.sum(0).clamp(min=1)) for one in (yes, no))
    return (each * weight).sum()


@torch.no_grad()
def with_own_latents(
    net: LatentHeads, episodes: Sequence[LabelledEpisode], progress: bool
) -> list[LabelledEpisode]:
    """The episodes with the latents of the heads' own encoder."""
    found = []
    for one in progress_bar(episodes, title="latents", unit="episode", shown=progress):
        frames = one.episode.read()
        parts = [
            net.encode(torch.from_numpy(frames[start : start + AT_ONCE]))
            for start in range(0, len(frames), AT_ONCE)
        ]
        found.append(replace(one, latents=torch.cat(parts).cpu().numpy()))
    return found


def _augmented(frames: Tensor, draws: torch.Generator) -> Tensor:
    flipped = torch.rand(len(frames), generator=draws).to(frames.device) < 0.5
    frames = torch.where(flipped[:, None, None, None], frames.flip(2), frames)
    return augment(frames[:, None], draws, shift=SHIFT, colour=COLOUR)[:, 0]


def _made_from(episodes: Sequence[LabelledEpisode], steps: int, seed: int) -> str:
    digest = hashlib.sha256(f"{steps} {seed}".encode())
    for one in episodes:
        digest.update(one.episode.name.encode())
        for flags in (one.holds, one.known):
            digest.update(np.packbits(flags).tobytes())
    return digest.hexdigest()


class _BalancedFrames:
    """Batches with as many frames of either answer of each head; a batch depends on the seed and its number only."""

    def __init__(self, episodes: Sequence[LabelledEpisode], seed: int) -> None:
        self._episodes, self._seed = list(episodes), seed
        self._holds = np.concatenate([one.holds for one in episodes])
        self._known = np.concatenate([one.known for one in episodes])
        self._starts = np.cumsum([0, *(len(one.holds) for one in episodes)])
        answers = (self._holds & self._known, ~self._holds & self._known)
        self._kinds = [np.flatnonzero(column) for answer in answers for column in answer.T]

    def batch(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Frames uint8 [n, height, width, 3], `holds` and `known` bool [n, heads]."""
        rng = np.random.default_rng([self._seed, number])
        share = max(BATCH // len(self._kinds), 1)
        rows = np.sort(np.concatenate([rng.choice(kind, share) for kind in self._kinds]))
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        frames = []
        for index in np.unique(owner):
            episode = self._episodes[index].episode
            frames.append(
                episode.read_frames(episode.kept[rows[owner == index] - self._starts[index]])
            )
        return np.concatenate(frames), self._holds[rows], self._known[rows]
