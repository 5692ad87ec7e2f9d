"""Contrastive preference learning of heads."""

import numpy as np
import torch
from torch import Tensor

from agents.common.latents import load_latents
from agents.common.runs import RunResult
from agents.cpl.config import CPLConfig
from agents.preferences.answers import (
    AnswerSplit,
    Clips,
    sides_of,
    winners_and_draws,
)
from agents.preferences.improve import HeadsMethod, ImproveReport, improve
from agents.preferences.likelihood import clip_sums, log_probs, of_latents
from agents.preferences.losses import contrast, draw_contrast
from agents.reward.train import check_episodes, digest_of
from basalt.core.tasks import get_task
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import open_policy
from basalt.policies.vpt import VPTPolicy

AT_ONCE = 2_048
"""Number of frames that are scored at once; each has more than 8,000 logits."""


def train(cfg: CPLConfig) -> RunResult[ImproveReport]:
    """Learn from answers, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The answers, the recordings, the policy or the folder of the run cannot be used.
    """
    answers = winners_and_draws(
        get_task(cfg.task), cfg.comparisons, cfg.question, cfg.sources, "contrastive preference learning"
    )  # fmt: skip
    split = AnswerSplit.of(answers, cfg.held_out, cfg.seed)
    episodes, _ = load_latents(
        cfg.recordings,
        cfg.init,
        wanted={side.episode for one in answers for side in sides_of(one)},
        device=cfg.device,
        progress=cfg.progress,
    )
    check_episodes(answers, episodes)
    device = choose_device(cfg.device)
    policy = open_policy(cfg.init, device, "init")
    clips = Clips([*split.training, *split.held_out], episodes, cfg.frames)
    return improve(cfg, CPL(cfg, policy, split, clips, clips.latents(), device))


class CPL(HeadsMethod):
    """The loss of contrastive preference learning.

    Args:
        cfg: Settings.
        policy: The start.
        split: The answers.
        clips: Their clips.
        latents: Latents of the clips by the start, float [clips, T, width].
        device: Device to train on.
    """

    name = "cpl"

    def __init__(
        self,
        cfg: CPLConfig,
        policy: VPTPolicy,
        split: AnswerSplit,
        clips: Clips,
        latents: Tensor,
        device: torch.device,
    ) -> None:
        self._cfg, self._actions, self._latents = cfg, clips.actions, latents
        self._training, self._held_out = (
            clips.pairs(part) for part in (split.training, split.held_out)
        )
        probed = self._held_out if len(self._held_out) else self._training
        shown = torch.cat([probed.winner, probed.loser]).unique()
        facts = {
            "task": cfg.task,
            "answers": digest_of([*split.training, *split.held_out]),
            "train_places": split.train_places,
            "held_out_places": split.held_out_places,
        }
        super().__init__(policy, latents[shown].flatten(0, 1), facts, device)
        self._reference = torch.zeros(len(clips))
        if cfg.form == "reference":
            self._reference = self._all_scores(self.base)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch of pairs; with `clone`, that of imitating their winners is added."""
        cfg = self._cfg
        batch = self._training.at(
            torch.from_numpy(rng.integers(len(self._training), size=cfg.batch_size))
        )
        winner, loser = (self._scores(self.network, one) for one in (batch.winner, batch.loser))
        ours, theirs = (
            cfg.scale * (each - self._reference[one].to(each.device))
            for each, one in ((winner, batch.winner), (loser, batch.loser))
        )
        draw = batch.draw.to(ours.device)
        each = torch.where(
            draw,
            draw_contrast(ours, theirs, cfg.bias),
            contrast(ours, theirs, cfg.bias, cfg.flip_rate),
        )
        total = each.mean()
        if cfg.clone:
            total = total - cfg.clone * winner.mean() / cfg.frames
        values = {"contrast": each.mean().item()}
        if not draw.all():
            values["accuracy"] = float((ours > theirs)[~draw].float().mean())
        return total, values

    def figures(self) -> dict[str, float]:
        """Share of the decided pairs whose winner the policy has made likelier, relative to the start, than its loser."""
        scores = self._all_scores(self.network) - self._all_scores(self.base)
        found: dict[str, float] = {}
        for name, pairs in (("training", self._training), ("held-out", self._held_out)):
            some = pairs.at(~pairs.draw)
            if len(some):
                won = scores[some.winner] > scores[some.loser]
                found |= {
                    f"{name} pairs": len(some),
                    f"{name} accuracy": float(won.float().mean()),
                }
        return found

    def _scores(self, policy: VPTPolicy, which: Tensor) -> Tensor:
        """Log-probability of clips by a policy, scaled to `frames` steps, float [clips]."""
        actions = self._actions.at(which).to(self.device)
        steps = log_probs(of_latents(policy, self._latents[which].to(self.device)), actions)
        return clip_sums(steps, actions.mask, self._cfg.frames)

    @torch.no_grad()
    def _all_scores(self, policy: VPTPolicy) -> Tensor:
        size = max(1, AT_ONCE // self._latents.shape[1])
        numbers = torch.arange(len(self._latents)).split(size)
        return torch.cat([self._scores(policy, one).cpu() for one in numbers])
