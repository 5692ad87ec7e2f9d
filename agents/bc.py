"""Behavioural cloning: copy what the recorded player did, from pixels or from embeddings of them.

`train` is one plain loop over sequences with carried memory; `agents.bc_agent` plays a checkpoint.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn
from tqdm import tqdm

from agents.held_out import held_out_report
from agents.objective import PARTS, Memories, Objective, choose_trained
from agents.optimization import make_optimizer, restore, schedule, training_tensors
from agents.runs import Metrics, StopRequest, claim_run, read_settings
from agents.team import Team, launch
from basalt.data.baselines import Marginals
from basalt.data.dataset import SequenceStream
from basalt.data.embeddings import MANIFEST, load_embedded, read_manifest
from basalt.data.episodes import DEFAULT_CACHE_GB, Episode, load_episodes, split_episodes
from basalt.data.labels import LabelMode
from basalt.errors import ConfigError
from basalt.files import sole_writer, write_json
from basalt.policies.checkpoint import (
    choose_device,
    find_checkpoint,
    has_checkpoint,
    load_policy,
    load_training,
    save_checkpoint,
)
from basalt.policies.imitation import Labels, evaluate, start_at_marginals, start_esc_at_marginals
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import VPTConfig, VPTPolicy
from basalt.tasks import get_task

log = logging.getLogger(__name__)

# Settings that do not change what is learned, or only how far.
_MAY_CHANGE = frozenset(
    {
        *("out", "steps", "device", "devices", "progress", "checkpoint_every", "log_every"),
        *("workers", "cache_gb"),
    }
)
_LOGGED = ("buttons", "camera", "esc", "kl")

MEASURED_FRAMES = 5_000
"""Training loss is measured on about so many frames, the same before and after."""

PLAY_SETTINGS = ("agent", "checkpoint", "steer", "sae")
"""Settings of ``configs/agent/bc.yaml``: how a checkpoint plays, nothing about how it is trained."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training.

    Attributes:
        out: the run's folder. The same command goes on with a run that was interrupted.
        task: which task's recordings to learn from.
        data: folder of recordings or of embeddings (`basalt embed`), or `sample`. On embeddings only
            the heads are trained.
        steps: optimizer steps.
        rows: sequences side by side in a batch.
        length: frames of a sequence between optimizer steps; memory is carried on, gradients are not.
        lr: Adam's largest step size; warms up linearly, then follows a half cosine to a tenth. At
            1e-3 some runs of the small policy ended at the training frequencies, blind.
        warmup: steps of the warm-up.
        weight_decay: of AdamW, on weights of two or more dimensions.
        grad_clip: largest norm of the gradient.
        esc_weight: largest weight of a frame with ESC against one without.
        size: `small`, or a published size `1x`, `2x`, `3x`; of a fresh policy only.
        init: policy to begin with, see `basalt.policies.source.open_policy`; "" = a fresh one, or
            that of the embeddings.
        train: what changes: `all`, `last` (last layer and heads) or `heads`.
        kl: weight of the divergence from `init`.
        held_out: share of places (task and seed) kept for testing.
        mirror: show half of the episodes mirrored, actions included, which doubles small data.
        drop_null: leave out frames without any action.
        labels: `mended`, or `original` as the published loaders made them.
        cache_gb: see `load_episodes`.
        workers: processes that decode; 0 = decode between the steps.
        devices: GPUs, or processes on a CPU, that share the rows.
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
    init: str = ""
    train: str = "all"
    kl: float = 0.0
    held_out: float = 0.3
    mirror: bool = True
    drop_null: bool = False
    labels: str = "mended"
    cache_gb: float = DEFAULT_CACHE_GB
    workers: int = 0
    devices: int = 1
    seed: int = 0
    device: str = "auto"
    checkpoint_every: int = 100
    log_every: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "rows", "length", "checkpoint_every", "log_every", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} must be at least 1")
        for name in ("lr", "grad_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} must be above 0")
        if self.esc_weight < 1:
            raise ConfigError(f"esc_weight: {self.esc_weight} must be at least 1")
        for name, known in (("train", tuple(PARTS)), ("labels", get_args(LabelMode))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")
        if self.kl < 0:
            raise ConfigError(f"kl: {self.kl} must be at least 0")
        if self.rows % self.devices:
            raise ConfigError(f"devices: {self.devices} cannot share {self.rows} rows evenly")

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


@dataclass(frozen=True)
class _Data:
    """Episodes of a training, and how they come.

    Attributes:
        training, held_out: episodes.
        embedded_by: SHA-256 of the policy that made the embeddings; "" for pictures.
    """

    training: list[Episode]
    held_out: list[Episode]
    embedded_by: str

    @classmethod
    def load(cls, cfg: TrainConfig, frame_size: tuple[int, int]) -> _Data:
        """The episodes that the settings name."""
        task = get_task(cfg.task)
        episodes: Sequence[Episode]
        if (Path(cfg.data) / MANIFEST).is_file():
            made = read_manifest(Path(cfg.data))
            if made.labels != cfg.labels:
                raise ConfigError(f"labels: {cfg.data} holds {made.labels}, not {cfg.labels}")
            episodes = load_embedded(cfg.data, task=task, drop_null=cfg.drop_null)
            embedded_by = made.fingerprint
        else:
            episodes = load_episodes(
                cfg.data,
                task=task,
                size=frame_size,
                drop_null=cfg.drop_null,
                labels="original" if cfg.labels == "original" else "mended",
                cache_gb=cfg.cache_gb,
                jobs=max(cfg.workers, 1),
            )
            embedded_by = ""
        return cls(*split_episodes(episodes, cfg.held_out, cfg.seed), embedded_by)

    def facts(self, cfg: TrainConfig) -> dict[str, Any]:
        """What a checkpoint says of its training."""
        return {
            "agent": "bc",
            "task": cfg.task,
            "data": cfg.data,
            "drop_null": cfg.drop_null,
            "labels": cfg.labels,
            "train_places": sorted({e.place for e in self.training}),
            "held_out_places": sorted({e.place for e in self.held_out}),
        }


def train(cfg: TrainConfig) -> TrainResult:
    """Train a policy on recordings or embeddings, or go on with the run in `cfg.out`.

    Raises:
        BasaltError: data, settings or the run's folder are not usable; the message says what to do.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    embedded = (Path(cfg.data) / MANIFEST).is_file()
    cfg = _settled(cfg, embedded)
    start = _starting_policy(cfg)
    data = _Data.load(cfg, start.config.frame_size)
    if embedded and fingerprint(start) != data.embedded_by:
        raise ConfigError(f"init: {cfg.init} is not the policy that made {cfg.data}")
    run = Path(cfg.out)
    with sole_writer(run, "training"):
        claim_run(run, asdict(cfg), _MAY_CHANGE)
        figures = launch(_train, cfg.devices, device, cfg, device)
    return TrainResult(
        run=run,
        checkpoint=find_checkpoint(run),
        interrupted=figures["step"] < cfg.steps,
        seconds=time.monotonic() - began,
        **figures,
    )


def _settled(cfg: TrainConfig, embedded: bool) -> TrainConfig:
    """The settings with what follows from them filled in.

    Raises:
        ConfigError: settings that do not go together.
    """
    if embedded:
        if cfg.train not in ("all", "heads"):
            raise ConfigError(f"train: on embeddings only heads can be trained, not {cfg.train!r}")
        origin = cfg.init or read_manifest(Path(cfg.data)).policy
        # Latents have no left and right.
        return replace(cfg, train="heads", init=origin, mirror=False)
    if not cfg.init and (cfg.train != "all" or cfg.kl):
        raise ConfigError(
            f"init: train={cfg.train} and kl={cfg.kl:g} need a policy to begin with, "
            "e.g. init=foundation-1x"
        )
    return cfg


def _starting_policy(cfg: TrainConfig) -> VPTPolicy:
    """The policy to begin with, on the CPU, or a fresh one."""
    torch.manual_seed(cfg.seed)
    if cfg.init:
        return open_policy(cfg.init, torch.device("cpu"))
    return VPTPolicy(VPTConfig.preset(cfg.size))


def _train(team: Team, cfg: TrainConfig, device: torch.device) -> dict[str, Any]:
    """One process of a training; figures of a `TrainResult`."""
    run, device = Path(cfg.out), team.device(device)
    start = _starting_policy(cfg)
    data = _Data.load(cfg, start.config.frame_size)
    learner = _Learner.begin(cfg, start, data, device, team)
    first_loss = _training_loss(learner.policy, data.training) if team.leads else 0.0
    if has_checkpoint(run):
        learner.resume(cfg, run, data.facts(cfg), team)
    metrics = Metrics(run, learner.step) if team.leads else None
    _learn(cfg, run, learner, data, metrics, team)
    if not team.leads:
        return {}
    if metrics is not None:
        metrics.close()
    report: dict[str, Any] = {}
    if learner.step >= cfg.steps and data.held_out:
        report = held_out_report(learner.policy, data.training, data.held_out)
        write_json(run / "report.json", report)
    return {
        "step": learner.step,
        "first_loss": first_loss,
        "last_loss": _training_loss(learner.policy, data.training),
        "report": report,
    }


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
        objective: the policy being trained, its base and its loss.
        optimizer: its Adam.
        memories: of each row of this process, carried from batch to batch.
        step: optimizer steps done.
    """

    objective: Objective
    optimizer: torch.optim.AdamW
    memories: Memories
    step: int

    @property
    def policy(self) -> VPTPolicy:
        """The policy being trained."""
        return self.objective.policy

    @classmethod
    def begin(
        cls, cfg: TrainConfig, policy: VPTPolicy, data: _Data, device: torch.device, team: Team
    ) -> _Learner:
        """A policy before its first step. What it has not learned begins at the training frequencies."""
        base = copy.deepcopy(policy).to(device).requires_grad_(False) if cfg.kl else None
        marginals = Marginals(data.training)
        if not cfg.init:
            start_at_marginals(policy, marginals)
        elif not policy.esc_head.linear.weight.any():
            start_esc_at_marginals(policy, marginals)
        policy.to(device).train()
        choose_trained(policy, cfg.train)
        frames = sum(len(e) for e in data.training)
        presses = sum(int(e.esc.sum()) for e in data.training)
        esc_weight = min(max((frames - presses) / max(presses, 1), 1.0), cfg.esc_weight)
        objective = Objective(policy, base, cfg.train, cfg.kl, esc_weight)
        return cls(
            objective,
            make_optimizer(policy, cfg.lr, cfg.weight_decay),
            objective.initial_memories(cfg.rows // team.size),
            0,
        )

    def resume(self, cfg: TrainConfig, run: Path, facts: Mapping[str, Any], team: Team) -> None:
        """Go back to where the newest checkpoint left off.

        Raises:
            ConfigError: the recordings are not those the run began with.
        """
        checkpoint = find_checkpoint(run)
        policy, info = load_policy(checkpoint, self.policy.device)
        for key in ("train_places", "held_out_places"):
            if info.get(key) != facts[key]:
                raise ConfigError(
                    f"data: {cfg.data} no longer holds the recordings that {run} began with; "
                    "put them back, or give another out=FOLDER"
                )
        self.policy.load_state_dict(policy.state_dict())
        states = restore(self.optimizer, self.policy, load_training(checkpoint))
        base = states.get("base")
        self.memories = Memories(
            team.share(states["policy"]), None if base is None else team.share(base)
        )
        self.step = int(info["step"])
        log.info("going on with %s from step %d", run, self.step)


def _learn(
    cfg: TrainConfig,
    run: Path,
    learner: _Learner,
    data: _Data,
    metrics: Metrics | None,
    team: Team,
) -> None:
    """The loop: until `cfg.steps`, or Ctrl-C."""
    began = time.monotonic()
    policy, optimizer, device = learner.policy, learner.optimizer, learner.policy.device
    objective = team.spread(learner.objective)
    stream = SequenceStream(
        data.training,
        cfg.rows,
        cfg.length,
        cfg.seed,
        mirror=cfg.mirror,
        workers=cfg.workers,
        share=(team.rank, team.size),
    )
    stream.skip(learner.step)
    # None lets tqdm decide: a bar in a terminal, silence in a log file.
    silent = None if cfg.progress and team.leads else True
    bar = tqdm(total=cfg.steps, initial=learner.step, desc="training", unit="step", disable=silent)
    with StopRequest() as stop, bar:
        stopping = False
        while learner.step < cfg.steps and not stopping:
            labels = Labels.of(next(stream), device)
            for group in optimizer.param_groups:
                group["lr"] = cfg.lr * schedule(learner.step, cfg.warmup, cfg.steps)
            loss, divergence, learner.memories = objective(labels, learner.memories)
            optimizer.zero_grad(set_to_none=True)
            (loss.total + cfg.kl * divergence).backward()
            norm = nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_clip)
            optimizer.step()
            learner.step += 1
            bar.update()
            if learner.step % cfg.log_every == 0 or learner.step in (1, cfg.steps):
                values = team.mean(torch.stack([*(x.detach() for x in loss), divergence.detach()]))
                total, *parts = values.tolist()
                if not math.isfinite(total):
                    raise ConfigError(
                        f"training: the loss is {total} at step {learner.step}; lower lr"
                    )
                row = {"loss": total, **dict(zip(_LOGGED, parts, strict=True))}
                rates = {"gradient_norm": norm.item(), "lr": optimizer.param_groups[0]["lr"]}
                seconds = {"seconds": time.monotonic() - began}
                if metrics is not None:
                    metrics.write(learner.step, row | rates | seconds)
                bar.set_postfix(loss=f"{total:.3f}")
            stopping = team.any(stop.requested)
            due = learner.step % cfg.checkpoint_every == 0 or learner.step == cfg.steps
            if due or stopping:
                states = {"policy": team.gather(learner.memories.policy)}
                if learner.memories.base is not None:
                    states["base"] = team.gather(learner.memories.base)
                if team.leads:
                    tensors = training_tensors(optimizer, policy, states)
                    save_checkpoint(run, learner.step, policy, tensors, data.facts(cfg))


def run_training(settings: Mapping[str, Any]) -> None:
    """Train by a composed ``configs/train.yaml`` and print what came of it.

    Raises:
        BasaltError: see `train`.
        KeyboardInterrupt: stopped by Ctrl-C; the same settings go on.
    """
    flat = {k: v for k, v in settings.items() if k not in PLAY_SETTINGS}
    flat["task"] = settings["task"]["name"]
    flat["data"] = settings["data"]["source"]
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
