"""A steering vector learned from comparisons.

The gradient of the vector goes through the transformer and its memory. So each clip is run with the steps before it that can change
what the policy makes of it, all of them steered.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.common.latents import load_latents
from agents.common.objective import kl_to_base
from agents.common.runs import RunResult
from agents.preferences.answers import AnswerSplit, Clips, Pairs, sides_of, winners_and_draws
from agents.preferences.improve import ImproveReport, Method, improve
from agents.preferences.likelihood import PROBED, burn_in, clip_sums, log_probs, of_latents
from agents.preferences.losses import contrast, draw_contrast
from agents.reward.train import check_episodes, digest_of
from agents.steer_vector.config import SteerVectorConfig
from agents.steer_vector.network import SITE, VectorCheckpoint, VectorPolicy, open_vector
from basalt.core.records import Record
from basalt.core.tasks import get_task
from basalt.data.episodes import load_episodes
from basalt.data.sources import EncodedSource
from basalt.io.errors import RecordingError
from basalt.policies.checkpoint import choose_device
from basalt.policies.imitation import encode_episodes
from basalt.policies.source import open_policy
from basalt.policies.vpt import PolicyOutput, VPTPolicy

REPORTED = 128
"""Largest number of pairs on which each accuracy is measured."""


def train(cfg: SteerVectorConfig) -> RunResult[ImproveReport]:
    """Learn from answers, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The answers, the recordings, the policy or the folder of the run cannot be used.
    """
    answers = winners_and_draws(
        get_task(cfg.task), cfg.comparisons, cfg.question, cfg.sources, "learning a steering vector"
    )
    split = AnswerSplit.of(answers, cfg.held_out, cfg.seed)
    wanted = {side.episode for one in answers for side in sides_of(one)}
    # The latents are not read, but their files have the actions at each step.
    episodes, _ = load_latents(
        cfg.recordings, cfg.init, wanted=wanted, device=cfg.device, progress=cfg.progress
    )
    check_episodes(answers, episodes)
    device = choose_device(cfg.device)
    policy = open_policy(cfg.init, device, "init")
    clips = Clips([*split.training, *split.held_out], episodes, cfg.frames)
    encoded = _encoded(cfg, policy, {one.episode for one in clips.sides})
    return improve(cfg, SteerVector(cfg, policy, split, clips, encoded, device))


def _encoded(
    cfg: SteerVectorConfig, policy: VPTPolicy, wanted: set[str]
) -> dict[str, NDArray[np.float32]]:
    """What the image encoder makes of the frames of episodes, by the SHA-256 of their videos."""
    found = {}
    for episode in load_episodes(
        cfg.recordings, task=get_task(cfg.task), size=policy.config.frame_size, cache_gb=0
    ):
        meta = episode.recordings[0].meta
        if meta is None or meta.video_sha256 not in wanted:
            continue
        source = encode_episodes(policy, [episode])[0].source
        assert isinstance(source, EncodedSource)
        if len(source.values) != meta.steps:
            raise RecordingError(
                f"recordings: expected {meta.steps} steps of {episode.name} with an action, got {len(source.values)}; use "
                "recordings of rollouts, without labels"
            )
        found[meta.video_sha256] = source.values
    return found


class SteerVector(Method):
    """The loss of the steering vector: that of `agents.cpl`, relative to the policy without the vector.

    Args:
        cfg: Settings.
        policy: The policy.
        split: The answers.
        clips: Their clips.
        encoded: Encoded frames of whole episodes, float32 [n, hidsize], by the SHA-256 of their videos.
        device: Device to train on.
    """

    name = "steer_vector"
    network: VectorPolicy

    def __init__(
        self,
        cfg: SteerVectorConfig,
        policy: VPTPolicy,
        split: AnswerSplit,
        clips: Clips,
        encoded: Mapping[str, NDArray[np.float32]],
        device: torch.device,
    ) -> None:
        self.network = VectorPolicy(policy.to(device).eval())
        self._cfg, self._clips, self._encoded, self._device = cfg, clips, encoded, device
        self._burn_in = burn_in(policy.config)
        self._training, self._held_out = (
            clips.pairs(part) for part in (split.training, split.held_out)
        )
        probed = self._held_out if len(self._held_out) else self._training
        shown = torch.cat([probed.winner, probed.loser]).unique()
        self._probed = shown[: max(1, PROBED // clips.actions.mask.shape[1])]
        self.facts = {
            "task": cfg.task,
            "answers": digest_of([*split.training, *split.held_out]),
            "train_places": split.train_places,
            "held_out_places": split.held_out_places,
        }

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch of pairs."""
        cfg = self._cfg
        batch = self._training.at(
            torch.from_numpy(rng.integers(len(self._training), size=cfg.batch_size))
        )
        ours, theirs = self._margins(batch)
        draw = batch.draw.to(self._device)
        each = torch.where(
            draw,
            draw_contrast(ours, theirs, cfg.bias),
            contrast(ours, theirs, cfg.bias, cfg.flip_rate),
        )
        return each.mean(), {"norm": self.network.vector.norm().item()}

    @torch.no_grad()
    def divergence(self) -> float:
        """KL(steered || not steered) of buttons and camera in nats a frame."""
        mask = self._clips.actions.mask[self._probed].to(self._device)
        return float(kl_to_base(self._output(self._probed), self._unsteered(self._probed), mask))

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Length of the vector, and share of decided pairs whose winner it makes likelier than its loser."""
        found = {"vector's norm": self.network.vector.norm().item()}
        for name, pairs in (("training", self._training), ("held-out", self._held_out)):
            some = pairs.at(~pairs.draw)
            some = some.at(torch.arange(min(len(some), REPORTED)))
            if len(some):
                right = [
                    ours > theirs
                    for part in torch.arange(len(some)).split(self._cfg.batch_size)
                    for ours, theirs in [self._margins(some.at(part))]
                ]
                found |= {
                    f"{name} pairs": len(some),
                    f"{name} accuracy": float(torch.cat(right).float().mean()),
                }
        return found

    def record(self, step: int, ended: str) -> Record:
        """A checkpoint of a vector."""
        config = self.network.policy.config
        return VectorCheckpoint(step=step, ended=ended, site=SITE, policy=config, **self.facts)

    def load(self, folder: Path) -> tuple[nn.Module, Record]:
        """The steered policy of a checkpoint, and its facts."""
        return open_vector(folder, self._device)

    def _margins(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Scores of the winners and of the losers, float [pairs] each."""
        both = torch.cat([pairs.winner, pairs.loser])
        actions = self._clips.actions.at(both).to(self._device)
        with torch.no_grad():
            reference = log_probs(self._unsteered(both), actions)
        steps = log_probs(self._output(both), actions) - reference
        scores = self._cfg.scale * clip_sums(steps, actions.mask, self._cfg.frames)
        winner, loser = scores.split(len(pairs))
        return winner, loser

    def _unsteered(self, which: Tensor) -> PolicyOutput:
        self.network.steers = False
        try:
            return self._output(which)
        finally:
            self.network.steers = True

    def _output(self, which: Tensor) -> PolicyOutput:
        """The policy's output at the steps of clips that are read, [clips, T]."""
        policy, (inputs, first, places) = self.network.policy, self._windows(which)
        latents, _ = policy.latents(inputs, first, policy.initial_state(len(inputs)), "encoded")
        index = places[..., None].expand(-1, -1, latents.shape[-1])
        return of_latents(policy, latents.gather(1, index))

    def _windows(self, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is run of clips, from before each of them on, padded at the end.

        Returns:
            Encoded frames, float [clips, N, hidsize]; where a window begins, bool [clips, N]; and the places of the steps that
            are read, int64 [clips, T].
        """
        parts, places = [], []
        longest = self._clips.actions.mask.shape[1]
        for number in which.tolist():
            side, steps = self._clips.sides[number], self._clips.steps[number]
            begin = max(0, int(steps[0]) - self._burn_in)
            parts.append(torch.from_numpy(self._encoded[side.episode][begin : int(steps[-1]) + 1]))
            places.append(
                torch.from_numpy(np.pad(steps - begin, (0, longest - len(steps)), "edge"))
            )
        inputs = nn.utils.rnn.pad_sequence(parts, batch_first=True).to(self._device)
        first = torch.zeros(inputs.shape[:2], dtype=torch.bool, device=self._device)
        first[:, 0] = True
        return inputs, first, torch.stack(places).to(self._device)
