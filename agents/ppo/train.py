"""Proximal policy optimisation against a reward model: play, score, learn, until the budget or the last good iteration."""

import copy
import math
import signal
import threading
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.objective import choose_trained, kl_to_base
from agents.common.optimization import make_optimizer, optimizer_tensors, restore_optimizer
from agents.common.runs import Metrics, RunResult
from agents.ppo.config import MAY_CHANGE, PPOConfig
from agents.ppo.objective import (
    advantages,
    clipped_loss,
    explained_variance,
    masked_mean,
    next_weight,
)
from agents.ppo.play import Played, Player, open_worlds
from agents.preferences.improve import GRADIENT_NORM, ImproveReport
from agents.preferences.likelihood import Actions, log_probs, of_latents
from agents.reward.model import RewardModel
from agents.reward.saved import open_reward
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import (
    choose_device,
    has_checkpoint,
    load_policy,
    load_training,
    read_newest,
    save_checkpoint,
)
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import PolicyOutput, VPTPolicy

AT_ONCE = 2_048
"""Number of steps that are measured at once; each has more than 8,000 logits."""

SAME = 1e-4
"""Largest logarithm of the ratio before anything is learned; above it, play and training are not of the same policy."""

EXPLAINED = 0.3
"""Share of the variance of the returns that the value has to explain before the policy learns."""

FALLS = 2
"""Number of times in a row that the second reward model may like the policy less."""

MEMORY = 0.9
"""Share of the returns' mean and spread that an iteration keeps."""


def train(cfg: PPOConfig) -> RunResult[ImproveReport]:
    """Improve a policy by playing, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The reward model, the policy or the folder of the run cannot be used, or no world works.
    """
    began, run, device = time.monotonic(), Path(cfg.out), choose_device(cfg.device)
    task = get_task(cfg.task)
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.seeds)
    refuse_test_seeds(task, seeds, "proximal policy optimisation")
    policy = open_policy(cfg.init, device, "init")
    rewards = _open(cfg, cfg.reward, policy, device, "reward")
    second = _open(cfg, cfg.second, policy, device, "second") if cfg.second else None
    with sole_writer(run, "training run"):
        settings = {"agent": "ppo", **asdict(cfg)}
        claim(run / "config.json", "training run", settings, may_change=MAY_CHANGE)
        learner = _Learner(cfg, policy, rewards, second)
        if has_checkpoint(run):
            learner.resume()
        report = None
        if learner.learn(np.random.default_rng(cfg.seed).permutation(np.array(seeds)).tolist()):
            report = ImproveReport(
                agent="ppo",
                step=learner.step,
                ended=learner.ended,
                divergence=learner.divergence,
                figures=learner.figures,
            )
            report.write(run / "report.json")
    seconds = time.monotonic() - began
    return RunResult(run, learner.step, report is None, seconds, report, unit="iterations")


def _open(
    cfg: PPOConfig, path: str, policy: VPTPolicy, device: torch.device, setting: str
) -> RewardModel:
    model, info = open_reward(path, device, setting)
    if info.task != get_task(cfg.task).name:
        raise ConfigError(f"{setting}: expected a model of {cfg.task}, got one of {info.task}")
    if info.trunk_fingerprint != fingerprint(policy):
        raise ConfigError(
            f"init: expected the trunk of {path} ({info.trunk}), whose latents it scores, got {cfg.init}; give that one"
        )
    return model


class _Batch(NamedTuple):
    """The n steps of an iteration that were played, on the device.

    Attributes:
        latents: Latents before them, float32 [n, width].
        actions: What was done, as one clip: [1, n].
        log_probs: Its log-probability when it was played, float32 [n].
        gains: Advantages, float32 [n].
        returns: What the value should have been, float32 [n].
    """

    latents: Tensor
    actions: Actions
    log_probs: Tensor
    gains: Tensor
    returns: Tensor


class _Good(NamedTuple):
    """A policy to end with.

    Attributes:
        heads: What was learned, by name.
        step: Number of iterations that it has had.
        divergence: Its divergence from the start in nats a frame.
    """

    heads: dict[str, Tensor]
    step: int
    divergence: float


class _Learner:
    """One training run.

    Attributes:
        step: Number of iterations done.
        ended: Why the run ended early; empty if it did not.
        divergence: Divergence from the start at the newest good iteration, in nats a frame.
        figures: Figures of the newest good iteration.
    """

    def __init__(
        self, cfg: PPOConfig, policy: VPTPolicy, rewards: RewardModel, second: RewardModel | None
    ) -> None:
        self._cfg, self._policy, self._rewards, self._second = cfg, policy, rewards, second
        self._run, self.step, self.ended, self.divergence = Path(cfg.out), 0, "", 0.0
        self.figures: dict[str, float] = {}
        self._base = copy.deepcopy(policy).requires_grad_(False)
        choose_trained(policy, "heads")
        policy.esc_head.requires_grad_(False)
        policy.value_head.linear.requires_grad_(True)
        nn.init.zeros_(policy.value_head.linear.weight)
        nn.init.zeros_(policy.value_head.linear.bias)
        self._optimizer = make_optimizer(policy, cfg.lr, weight_decay=0.0)
        self._kl, self._warm, self._liked, self._falls = cfg.kl, cfg.warmup == 0, -math.inf, 0
        self._best = _Good(self._heads(), 0, 0.0)

    def _heads(self) -> dict[str, Tensor]:
        """A copy of what is learned, by name."""
        named = self._policy.named_parameters()
        return {name: one.detach().clone() for name, one in named if one.requires_grad}

    # ---- checkpoints ----

    def resume(self) -> None:
        """Restore the newest checkpoint that can be read; its worlds begin new episodes.

        Raises:
            ConfigError: No checkpoint can be read.
        """
        device = self._policy.device
        _, (tensors, policy, info) = read_newest(
            self._run, lambda folder: (load_training(folder), *load_policy(folder, device))
        )
        facts = info.model_dump()
        self._policy.load_state_dict(policy.state_dict())
        restore_optimizer(self._optimizer, self._policy, tensors, device)
        self.step, self.ended = facts["step"], facts["ended"]
        self.divergence, self.figures = facts["divergence"], facts["figures"]
        self._kl, self._warm = facts["kl"], facts["warm"]
        self._liked, self._falls = facts["liked"], facts["falls"]
        heads = {
            name.removeprefix("best/"): one.to(device) for name, one in tensors.items() if name.startswith("best/")
        }  # fmt: skip
        self._best = _Good(heads, facts["best_step"], facts["best_divergence"])

    def _save(self) -> None:
        facts = {
            "agent": "ppo", "task": self._cfg.task, "ended": self.ended, "divergence": self.divergence,
            "figures": self.figures, "kl": self._kl, "warm": self._warm, "liked": max(self._liked, -1e9), "falls": self._falls,
            "best_step": self._best.step, "best_divergence": self._best.divergence,
        }  # fmt: skip
        tensors = optimizer_tensors(self._optimizer, self._policy)
        tensors |= {f"best/{name}": one for name, one in self._best.heads.items()}
        save_checkpoint(self._run, self.step, self._policy, tensors, facts)

    # ---- learning ----

    def learn(self, seeds: list[int]) -> bool:
        """Play and learn; returns whether the run is finished."""
        cfg = self._cfg
        if self.ended or self.step >= cfg.iterations:
            return True
        kept = self._rewards.sizes.memory
        # A run that is resumed plays other seeds than it began with.
        seeds = seeds[self.step % len(seeds) :] + seeds[: self.step % len(seeds)]
        worlds = open_worlds(
            cfg.task, cfg.world_name, cfg.environments, seeds, cfg.max_steps, cfg.world_args or {}
        )  # fmt: skip
        stop, metrics = threading.Event(), Metrics(self._run, self.step)
        bar = progress_bar(
            total=cfg.iterations, initial=self.step, title="ppo", unit="iteration", shown=cfg.progress
        )  # fmt: skip
        with closing(worlds), metrics, first_signal(stop.set, signal.SIGINT), bar:
            player = Player(worlds, self._policy, kept, cfg.seed + self.step)
            while self.step < cfg.iterations:
                playing = _Good(self._heads(), self.step, self.divergence)
                values = self._iterate(player.play(cfg.steps))
                self.ended = self._reason(values)
                if self.ended:
                    self._policy.load_state_dict(self._best.heads, strict=False)
                    self.ended += f"; the policy is that of iteration {self._best.step}"
                    self.divergence = self._best.divergence
                    self._save()  # in place of the newest checkpoint, so that it is what plays
                    return True
                self.step += 1
                self.divergence, self.figures = values["divergence"], values
                if self._second is None:
                    self._best = _Good(self._heads(), self.step, self.divergence)
                elif not self._falls:  # the reward is that of the policy that played
                    self._best = playing
                metrics.write(self.step, **values)
                bar.update()
                bar.set_postfix(reward=f"{values['reward']:+.3f}", kl=f"{values['divergence']:.3f}")
                self._save()
                if stop.is_set():
                    return self.step >= cfg.iterations
        return True

    def _reason(self, values: dict[str, float]) -> str:
        """Why an iteration is not good; empty if it is."""
        number = self.step + 1
        if not all(map(math.isfinite, values.values())):
            return f"a loss was not finite in iteration {number}; use a smaller lr"
        if values["divergence"] > self._cfg.kl_limit:
            return (
                f"the divergence was {values['divergence']:.3f} nats a frame in iteration {number}, above "
                f"kl_limit={self._cfg.kl_limit:g}"
            )
        if "second_reward" in values:
            better = values["second_reward"] >= self._liked
            self._liked = max(self._liked, values["second_reward"])
            self._falls = 0 if better else self._falls + 1
            if self._falls >= FALLS:
                return f"the second reward model liked the policies of iterations {number - 1} and {number} less than one before"
        return ""

    def _iterate(self, played: Played) -> dict[str, float]:
        """Learn from the steps that were played; returns metrics."""
        cfg, policy, device = self._cfg, self._policy, self._policy.device
        rewards = played.rewards(self._score)
        latents = played.latents.to(device)
        head = policy.value_head
        with torch.no_grad():
            values = head.normalizer.denormalize(head(latents))[..., 0].cpu()  # [T + 1, N]
        gains = advantages(
            rewards, values[:-1], values[1:], played.terminated, played.ended | ~played.played,
            cfg.discount, cfg.smoothing,
        )  # fmt: skip
        mask = played.played.T.flatten()
        returns = (gains + values[:-1]).T.flatten()[mask]
        explained = explained_variance(values[:-1].T.flatten()[mask], returns)
        if explained > EXPLAINED or self.step >= cfg.warmup:
            self._warm = True
        self._normalise(returns)
        batch = _Batch(
            latents[:-1].transpose(0, 1).flatten(0, 1)[mask.to(device)],
            Actions(*(one.flatten()[mask].to(device)[None] for one in played.actions)),
            played.log_probs.T.flatten()[mask].to(device),
            gains.T.flatten()[mask].to(device),
            returns.to(device),
        )
        ratio = float(self._measure(batch)[0].abs().max())
        if ratio > SAME:
            raise RuntimeError(
                f"ppo: expected ratios of 1 before the first pass, got a log ratio of {ratio:.2g}: play and training are not of the "
                "same policy"
            )
        # Over the whole batch: a few sequences' own mean would hide how good they were.
        scaled = (batch.gains - batch.gains.mean()) / batch.gains.std(correction=0).clamp(min=1e-8)
        losses = self._passes(batch._replace(gains=scaled))
        found = {
            "reward": float(masked_mean(rewards, played.played)),
            "explained_variance": explained,
            "kl_weight": self._kl,
            **losses,
        }
        if self._second is not None:
            second = self._second
            liked = played.rewards(lambda latent: second.gated(second.rewards(latent)))
            found["second_reward"] = float(masked_mean(liked, played.played))
        if cfg.kl_target is not None and self._warm:
            self._kl = next_weight(
                self._kl, found["divergence"], cfg.kl_target, len(batch.returns), cfg.kl_horizon
            )
        return found

    def _passes(self, batch: _Batch) -> dict[str, float]:
        """Optimise the heads, or the value alone while it warms up; returns metrics."""
        cfg, count = self._cfg, len(batch.returns)
        lr = cfg.lr * (1 - self.step / cfg.iterations)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        found: dict[str, float] = {
            "policy_loss": 0.0,
            "value_loss": 0.0,
            "divergence": self.divergence,
        }
        for epoch in range(cfg.epochs):
            order = np.random.default_rng([cfg.seed, self.step, epoch]).permutation(count)
            for part in torch.from_numpy(order).split(cfg.minibatch):
                which = part.to(batch.returns.device)
                loss, values = self._loss(batch, which)
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self._policy.parameters(), GRADIENT_NORM)
                self._optimizer.step()
                found |= values
            log_ratio, found["divergence"] = self._measure(batch)
            if self._warm and float(-log_ratio.mean()) > cfg.step_limit:
                break
        return found

    @torch.no_grad()
    def _measure(self, batch: _Batch) -> tuple[Tensor, float]:
        """Logarithm of each step's ratio, float [n], and the divergence from the start in nats a frame."""
        ratios, total = [], 0.0
        for part in torch.arange(len(batch.returns), device=batch.returns.device).split(AT_ONCE):
            output = of_latents(self._policy, batch.latents[part][None])
            ratios.append(_log_ratio(output, batch, part))
            total += float(self._divergence(output, batch, part)) * len(part)
        return torch.cat(ratios), total / len(batch.returns)

    def _loss(self, batch: _Batch, which: Tensor) -> tuple[Tensor, dict[str, float]]:
        cfg, head = self._cfg, self._policy.value_head
        mean, spread = head.normalizer.moments()
        error = head(batch.latents[which])[:, 0] - (batch.returns[which] - mean) / spread
        value_loss = error.square().mean()
        if not self._warm:
            return value_loss, {"value_loss": value_loss.item()}
        output = of_latents(self._policy, batch.latents[which][None])
        everything = torch.ones(len(which), dtype=torch.bool, device=which.device)
        policy_loss = clipped_loss(
            _log_ratio(output, batch, which), batch.gains[which], cfg.clip, everything
        )
        total = policy_loss + cfg.value_weight * value_loss
        if self._kl:
            total = total + self._kl * self._divergence(output, batch, which)
        return total, {"policy_loss": policy_loss.item(), "value_loss": value_loss.item()}

    def _divergence(self, output: PolicyOutput, batch: _Batch, which: Tensor) -> Tensor:
        """Exact KL(policy || start) in nats a frame."""
        with torch.no_grad():
            base = of_latents(self._base, batch.latents[which][None])
        valid = torch.ones(1, len(which), dtype=torch.bool, device=which.device)
        return kl_to_base(output, base, valid)

    def _score(self, latents: Tensor) -> Tensor:
        """Reward of each step of an episode, by its latents."""
        found = self._rewards.rewards(latents)
        if self._cfg.gate:
            return self._rewards.gated(found, self._cfg.pessimism)
        return found.mean - self._cfg.pessimism * found.spread

    @torch.no_grad()
    def _normalise(self, returns: Tensor) -> None:
        """Set the units of the value by the returns so far."""
        head = self._policy.value_head.normalizer
        for name, value in (
            ("running_mean", returns.mean()),
            ("running_mean_sq", returns.square().mean()),
            ("debiasing_term", torch.tensor(1.0)),
        ):
            moment = getattr(head, name)
            moment.mul_(MEMORY if self.step else 0.0).add_(
                (1 - MEMORY if self.step else 1.0) * value.to(moment.device)
            )


def _log_ratio(output: PolicyOutput, batch: _Batch, which: Tensor) -> Tensor:
    """Log-probability of actions now, minus when they were played, float [n]."""
    actions = Actions(*(one[:, which] for one in batch.actions))
    return log_probs(output, actions)[0] - batch.log_probs[which]
