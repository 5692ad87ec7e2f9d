"""Behavioural cloning: copy what the recorded player did, from pixels or from embeddings of them.

`train` is one plain loop over sequences with carried memory; `agents.bc.agent` plays a checkpoint.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from agents.bc.config import MAY_CHANGE, PLAY_SETTINGS, TrainConfig, settled
from agents.bc.data import TrainingData
from agents.common.distributed import Team, launch
from agents.common.evaluation_report import held_out_report
from agents.common.objective import Memories, Objective, choose_trained
from agents.common.optimization import make_optimizer, restore, schedule, training_tensors
from agents.common.runs import Metrics, StopRequest, claim_run
from basalt.data.baselines import Marginals
from basalt.data.dataset import SequenceStream
from basalt.data.embeddings import MANIFEST
from basalt.data.episodes import Episode
from basalt.io.atomic import write_json
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import (
    choose_device,
    find_checkpoint,
    has_checkpoint,
    load_policy,
    load_training,
    save_checkpoint,
)
from basalt.policies.imitation import (
    TensorBatch,
    evaluate,
    start_at_marginals,
    start_esc_at_marginals,
)
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import VPTConfig, VPTPolicy

log = logging.getLogger(__name__)

_LOGGED = ("buttons", "camera", "esc", "kl")

MEASURED_FRAMES = 5_000
"""Training loss is measured on about so many frames, the same before and after."""


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
    """Train a policy on recordings or embeddings, or go on with the run in `cfg.out`.

    Raises:
        BasaltError: data, settings or the run's folder are not usable; the message says what to do.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    embedded = (Path(cfg.data) / MANIFEST).is_file()
    cfg = settled(cfg, embedded)
    start = _starting_policy(cfg)
    data = TrainingData.load(cfg, start.config.frame_size)
    if embedded and fingerprint(start) != data.embedded_by:
        raise ConfigError(
            f"init: {cfg.init} is not the policy that made {cfg.data}; give that one, or embed anew"
        )
    run = Path(cfg.out)
    with sole_writer(run, "training"):
        claim_run(run, asdict(cfg), MAY_CHANGE)
        figures = launch(_train, cfg.devices, device, cfg, device)
    return TrainResult(
        run=run,
        checkpoint=find_checkpoint(run),
        interrupted=figures["step"] < cfg.steps,
        seconds=time.monotonic() - began,
        **figures,
    )


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
    data = TrainingData.load(cfg, start.config.frame_size)
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
        cls,
        cfg: TrainConfig,
        policy: VPTPolicy,
        data: TrainingData,
        device: torch.device,
        team: Team,
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
    data: TrainingData,
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
            labels = TensorBatch.of(next(stream), device)
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
            by = result.report[name]["policy_better_by"]
            print(
                f"policy {'better' if by > 0 else 'worse'} than {name} by {abs(by):.3f} nats per frame"
            )
