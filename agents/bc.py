"""Behavioural cloning: copy what the recorded player did, from pixels.

`train` is one plain loop over sequences with carried memory; `BCAgent` plays a checkpoint.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from agents.optimization import make_optimizer, restore, schedule, training_tensors
from agents.runs import Metrics, StopRequest, claim_run, read_settings
from basalt.actions import INVENTORY_INDEX, NULL_CAMERA, indices_to_env
from basalt.data.baselines import Marginals, RepeatLast, baseline_loss
from basalt.data.dataset import Episode, SequenceStream, load_episodes, split_episodes
from basalt.errors import ConfigError
from basalt.files import sole_writer, write_json
from basalt.intervals import episode_interval
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import (
    choose_device,
    find_checkpoint,
    has_checkpoint,
    load_policy,
    load_training,
    save_checkpoint,
)
from basalt.policies.imitation import Labels, evaluate, imitation_loss, start_at_marginals
from basalt.policies.preprocess import resize_frames
from basalt.policies.vpt import VPTConfig, VPTPolicy
from basalt.recording import PlayerKind
from basalt.tasks import get_task

log = logging.getLogger(__name__)

# Settings that do not change what is learned, or only how far.
_MAY_CHANGE = frozenset({"out", "steps", "device", "progress", "checkpoint_every", "log_every"})
MEASURED_FRAMES = 5_000
"""Training loss is measured on about so many frames, the same before and after."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training.

    Attributes:
        out: the run's folder. The same command goes on with a run that was interrupted.
        task: which task's recordings to learn from.
        data: folder of recordings, or `sample`.
        steps: optimizer steps.
        rows: sequences side by side in a batch.
        length: frames of a sequence between optimizer steps; memory is carried on, gradients are not.
        lr: Adam's largest step size; warms up linearly, then follows a half cosine to a tenth. At
            1e-3 some runs of the small policy ended at the training frequencies, blind.
        warmup: steps of the warm-up.
        weight_decay: of AdamW, on weights of two or more dimensions.
        grad_clip: largest norm of the gradient.
        esc_weight: largest weight of a frame with ESC against one without.
        size: `small`, or a published size `1x`, `2x`, `3x`.
        held_out: share of places (task and seed) kept for testing.
        mirror: show half of the episodes mirrored, actions included, which doubles small data.
        drop_null: leave out frames without any action.
        seed: of the weights, the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: steps between checkpoints; there is always one at the end.
        log_every: steps between rows of metrics.
        progress: show a progress bar where the terminal allows.
    """

    out: str
    task: str = "find_cave"
    data: str = "sample"
    steps: int = 120
    rows: int = 8
    length: int = 16
    lr: float = 3e-4
    warmup: int = 20
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    esc_weight: float = 50.0
    size: str = "small"
    held_out: float = 0.3
    mirror: bool = True
    drop_null: bool = False
    seed: int = 0
    device: str = "auto"
    checkpoint_every: int = 100
    log_every: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "rows", "length", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} must be at least 1")
        for name in ("lr", "grad_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} must be above 0")
        if self.esc_weight < 1:
            raise ConfigError(f"esc_weight: {self.esc_weight} must be at least 1")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Config from plain settings, e.g. a composed Hydra config.

        Raises:
            ConfigError: an unknown or missing name, or a value of the wrong type.
        """
        values = read_settings(cls, settings, "training")
        if "out" not in values:
            raise ConfigError("training: give a folder for the run, out=FOLDER")
        return cls(**values)


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        run: the run's folder.
        checkpoint: the newest checkpoint's folder.
        step: optimizer steps done.
        interrupted: stopped by Ctrl-C before `steps`; the same command goes on.
        first_loss: the untrained policy's loss on the training episodes, nats per frame.
        last_loss: likewise of the policy as it is now.
        seconds: of this call.
        report: held-out figures beside the baselines (report.json); empty when interrupted.
    """

    run: Path
    checkpoint: Path
    step: int
    interrupted: bool
    first_loss: float
    last_loss: float
    seconds: float
    report: dict[str, Any]


def train(cfg: TrainConfig) -> TrainResult:
    """Train a policy on recordings, or go on with the run in `cfg.out`.

    Raises:
        BasaltError: data, settings or the run's folder are not usable; the message says what to do.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    policy_config = VPTConfig.preset(cfg.size)
    episodes = load_episodes(
        cfg.data, task=get_task(cfg.task), size=policy_config.frame_size, drop_null=cfg.drop_null
    )
    training, held_out = split_episodes(episodes, cfg.held_out, cfg.seed)
    facts = {
        "agent": "bc",
        "task": cfg.task,
        "data": cfg.data,
        "drop_null": cfg.drop_null,
        "train_places": sorted({e.place for e in training}),
        "held_out_places": sorted({e.place for e in held_out}),
    }
    run = Path(cfg.out)
    with sole_writer(run, "training"):
        claim_run(run, asdict(cfg), _MAY_CHANGE)
        learner = _Learner.begin(cfg, policy_config, training, device)
        first_loss = _training_loss(learner.policy, training)
        if has_checkpoint(run):
            learner = _Learner.resume(cfg, run, facts, device)
        metrics = Metrics(run, learner.step)
        _learn(cfg, run, learner, training, facts, metrics)
        metrics.close()
        last_loss = _training_loss(learner.policy, training)
        interrupted = learner.step < cfg.steps
        report: dict[str, Any] = {}
        if not interrupted and held_out:
            report = held_out_report(learner.policy, training, held_out)
            write_json(run / "report.json", report)
    return TrainResult(
        run=run,
        checkpoint=find_checkpoint(run),
        step=learner.step,
        interrupted=interrupted,
        first_loss=first_loss,
        last_loss=last_loss,
        seconds=time.monotonic() - began,
        report=report,
    )


def _training_loss(policy: VPTPolicy, training: list[Episode]) -> float:
    """Loss on the first training episodes; batches of a stream differ too much to tell progress."""
    few = [training[0]]
    for episode in training[1:]:
        if sum(len(e) for e in few) >= MEASURED_FRAMES:
            break
        few.append(episode)
    return float(evaluate(policy, few)["loss"])


@dataclass
class _Learner:
    """What changes while learning.

    Attributes:
        policy: being trained.
        optimizer: its Adam.
        memory: of each row, carried from batch to batch.
        step: optimizer steps done.
    """

    policy: VPTPolicy
    optimizer: torch.optim.AdamW
    memory: PolicyState
    step: int

    @classmethod
    def begin(
        cls, cfg: TrainConfig, sizes: VPTConfig, training: list[Episode], device: torch.device
    ) -> _Learner:
        """A fresh policy whose heads begin at the training frequencies."""
        torch.manual_seed(cfg.seed)
        policy = VPTPolicy(sizes)
        start_at_marginals(policy, Marginals(training))
        policy.to(device).train()
        return cls(
            policy,
            make_optimizer(policy, cfg.lr, cfg.weight_decay),
            policy.initial_state(cfg.rows),
            0,
        )

    @classmethod
    def resume(
        cls, cfg: TrainConfig, run: Path, facts: Mapping[str, Any], device: torch.device
    ) -> _Learner:
        """Where the newest checkpoint left off.

        Raises:
            ConfigError: the recordings are not those the run began with.
        """
        checkpoint = find_checkpoint(run)
        policy, info = load_policy(checkpoint, device)
        for key in ("train_places", "held_out_places"):
            if info.get(key) != facts[key]:
                raise ConfigError(
                    f"data: {cfg.data} no longer holds the recordings that {run} began with; "
                    "put them back, or give another out=FOLDER"
                )
        optimizer = make_optimizer(policy, cfg.lr, cfg.weight_decay)
        memory = restore(optimizer, policy, load_training(checkpoint))
        log.info("going on with %s from step %d", run, info["step"])
        return cls(policy.train(), optimizer, memory, int(info["step"]))


def _learn(
    cfg: TrainConfig,
    run: Path,
    learner: _Learner,
    training: list[Episode],
    facts: Mapping[str, Any],
    metrics: Metrics,
) -> None:
    """The loop: until `cfg.steps`, or Ctrl-C."""
    began = time.monotonic()
    policy, optimizer = learner.policy, learner.optimizer
    device = policy.device
    stream = SequenceStream(training, cfg.rows, cfg.length, cfg.seed, mirror=cfg.mirror)
    stream.skip(learner.step)
    frames = sum(len(e) for e in training)
    presses = sum(int(e.actions.esc.sum()) for e in training)
    esc_weight = min(max((frames - presses) / max(presses, 1), 1.0), cfg.esc_weight)
    # None lets tqdm decide: a bar in a terminal, silence in a log file.
    silent = None if cfg.progress else True
    bar = tqdm(total=cfg.steps, initial=learner.step, desc="training", unit="step", disable=silent)
    with StopRequest() as stop, bar:
        while learner.step < cfg.steps and not stop.requested:
            labels = Labels.of(next(stream), device)
            for group in optimizer.param_groups:
                group["lr"] = cfg.lr * schedule(learner.step, cfg.warmup, cfg.steps)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                output = policy(labels.img, labels.first, learner.memory)
            loss = imitation_loss(output, labels, esc_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.total.backward()
            norm = nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_clip)
            optimizer.step()
            learner.memory = output.state.detach()
            learner.step += 1
            bar.update()
            if learner.step % cfg.log_every == 0 or learner.step in (1, cfg.steps):
                parts = {name: value.item() for name, value in loss._asdict().items()}
                total = parts.pop("total")
                if not math.isfinite(total):
                    raise ConfigError(
                        f"training: the loss is {total} at step {learner.step}; lower lr"
                    )
                rates = {"gradient_norm": norm.item(), "lr": optimizer.param_groups[0]["lr"]}
                seconds = {"seconds": time.monotonic() - began}
                metrics.write(learner.step, {"loss": total} | parts | rates | seconds)
                bar.set_postfix(loss=f"{total:.3f}")
            due = learner.step % cfg.checkpoint_every == 0 or learner.step == cfg.steps
            if due or stop.requested:
                tensors = training_tensors(optimizer, policy, learner.memory)
                save_checkpoint(run, learner.step, policy, tensors, facts)


def run_training(settings: Mapping[str, Any]) -> None:
    """Train by a composed ``configs/train.yaml`` and print what came of it.

    Raises:
        BasaltError: see `train`.
        KeyboardInterrupt: stopped by Ctrl-C; the same settings go on.
    """
    flat = {k: v for k, v in settings.items() if k not in ("agent", "checkpoint")}
    flat["task"], flat["data"] = settings["task"]["name"], settings["data"]["source"]
    result = train(TrainConfig.from_mapping(flat))
    print(f"{result.step} steps in {result.seconds:.0f} s; checkpoint: {result.checkpoint}")
    if result.interrupted:
        raise KeyboardInterrupt
    print(f"training loss {result.first_loss:.3f} -> {result.last_loss:.3f} nats per frame")
    for name, figures in result.report.items():
        interval = figures["loss_interval"]
        shown = "" if interval is None else f"  95 % {interval[0]:.3f} to {interval[1]:.3f}"
        print(f"held-out loss  {name:<12} {figures['loss']:.3f}{shown}")
    for name in ("marginals", "repeat_last"):
        if result.report:
            print(f"policy better than {name} by {result.report[name]['policy_better_by']:+.3f}")


def held_out_report(
    policy: VPTPolicy, training: list[Episode], held_out: list[Episode]
) -> dict[str, Any]:
    """The policy's figures on held-out episodes beside baselines fitted on the training episodes.

    Returns:
        `policy` as from `evaluate`; `marginals` and `repeat_last` with the same losses and intervals,
        and `policy_better_by`: the difference in loss, with its interval over the same episodes.
    """
    policy_figures = evaluate(policy, held_out)
    report: dict[str, Any] = {"policy": policy_figures}
    frames = [len(e) for e in held_out]
    for name, baseline in (
        ("marginals", Marginals(training)),
        ("repeat_last", RepeatLast(training)),
    ):
        figures = baseline_loss(baseline, held_out)
        totals = [baseline_loss(baseline, [e]).total * len(e) for e in held_out]
        ours = [row["loss"] * row["frames"] for row in policy_figures["per_episode"]]
        better = [theirs - mine for theirs, mine in zip(totals, ours, strict=True)]
        report[name] = {
            "loss": figures.total,
            "loss_interval": episode_interval(totals, frames),
            "buttons": figures.buttons,
            "camera": figures.camera,
            "esc": figures.esc,
            "policy_better_by": sum(better) / sum(frames),
            "policy_better_by_interval": episode_interval(better, frames),
        }
    return report


class BCAgent:
    """Plays a checkpoint, many episodes side by side.

    Buttons and camera are drawn from the policy (or its likeliest choice is taken). ESC is pressed
    with the probability that the policy gives it, which imitates when players stop: a fixed
    threshold on a thing done once an episode would almost never be crossed.

    Args:
        checkpoint: a run's folder or one of its checkpoints.
        device: `auto`, `cpu`, `cuda`...
        deterministic: take the likeliest buttons and camera, and press ESC once the policy thinks it
            likelier than not that a player would have stopped by now.
        seed: of the draws.
    """

    name = "bc"
    kind: PlayerKind = "agent"

    def __init__(
        self,
        checkpoint: str | Path | None,
        device: str = "auto",
        deterministic: bool = False,
        seed: int = 0,
    ) -> None:
        if checkpoint is None:
            raise ConfigError("agent bc: give the run to play, checkpoint=FOLDER")
        self._policy, self.info = load_policy(checkpoint, choose_device(device))
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._state: PolicyState | None = None
        self._going_on = torch.zeros(0)

    @torch.no_grad()
    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One environment action per episode; see `basalt.agent.Agent.act`.

        Raises:
            ConfigError: another number of episodes than before, in the middle of some.
        """
        rows = len(pov)
        if self._state is None or self._state.mask.shape[0] != rows:
            if not np.all(first):
                raise ConfigError(
                    f"act: {rows} episodes, but not all begin now and this agent remembers "
                    f"{0 if self._state is None else self._state.mask.shape[0]}"
                )
            self._state = self._policy.initial_state(rows)
            self._going_on = torch.ones(rows)
        device = self._policy.device
        img = torch.from_numpy(resize_frames(pov, self._policy.config.frame_size))
        begins = torch.from_numpy(np.asarray(first, dtype=bool))
        out = self._policy(img[:, None].to(device), begins[:, None].to(device), self._state)
        self._state = out.state
        buttons = self._choose(out.buttons_logits[:, 0])
        camera = self._choose(out.camera_logits[:, 0])
        # The camera head is never taught beside the inventory key, where players do not turn.
        camera[buttons == INVENTORY_INDEX] = NULL_CAMERA
        esc = self._press_esc(out.esc_logit[:, 0].sigmoid().cpu(), begins)
        actions = indices_to_env(buttons.numpy(), camera.numpy(), esc.numpy())
        return [actions.step(row) for row in range(rows)]

    def _choose(self, logits: Tensor) -> Tensor:
        """int64 [B] from float32 [B, n]."""
        logits = logits.cpu()
        if self._deterministic:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=self._generator)[:, 0]

    def _press_esc(self, probability: Tensor, first: Tensor) -> Tensor:
        """bool [B]."""
        if not self._deterministic:
            return torch.rand(len(probability), generator=self._generator) < probability
        self._going_on = torch.where(first, 1.0, self._going_on) * (1 - probability)
        return self._going_on < 0.5


def load_report(run: str | Path) -> dict[str, Any]:
    """The held-out figures a finished run wrote.

    Raises:
        ConfigError: the run has none.
    """
    file = Path(run) / "report.json"
    if not file.is_file():
        raise ConfigError(f"{file}: missing; the run is not finished or held nothing out")
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return report
