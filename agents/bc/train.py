"""Behavioural cloning: imitate the recorded player from pixels, or from embeddings of them.

`_learn` is one plain loop over sequences with carried memory; `agents.bc.agent` plays a checkpoint.
"""

import copy
import math
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.bc.config import MAY_CHANGE, TrainConfig, settled
from agents.bc.data import TrainingData
from agents.common.distributed import DistributedContext, launch
from agents.common.evaluation_report import TrainingReport, held_out_report
from agents.common.objective import Memories, Objective, choose_trained
from agents.common.optimization import make_optimizer, restore, schedule, training_tensors
from agents.common.runs import Metrics, upgrade_settings
from basalt.data.baselines import Marginals
from basalt.data.dataset import SequenceStream
from basalt.data.embeddings import MANIFEST
from basalt.data.episodes import Episode
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
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

_LOGGED = ("buttons", "camera", "esc", "kl")

MEASURED_FRAMES = 5_000
"""Approximate number of frames on which the training loss is measured, before and after."""


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

    Attributes:
        run: Folder of the run.
        checkpoint: Folder of the newest checkpoint.
        step: Number of optimizer steps done.
        interrupted: Whether Ctrl-C stopped it before `steps`; the same settings resume it.
        first_loss: Loss of the untrained policy on the training episodes, in nats per frame.
        last_loss: Loss of the present policy on the same episodes, in nats per frame.
        seconds: Wall time of this call.
        report: Held-out metrics beside the baselines; None when interrupted, or if nothing was held out.
    """

    run: Path
    checkpoint: Path
    step: int
    interrupted: bool
    first_loss: float
    last_loss: float
    seconds: float
    report: TrainingReport | None

    def lines(self) -> list[str]:
        """The result in lines of text."""
        lines = [f"{self.step} steps in {self.seconds:.0f} s; checkpoint: {self.checkpoint}"]
        if self.interrupted:
            return lines
        lines.append(f"training loss {self.first_loss:.3f} -> {self.last_loss:.3f} nats per frame")
        return lines + (self.report.lines() if self.report else [])


def train(cfg: TrainConfig) -> TrainResult:
    """Train a policy on recordings or embeddings, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The data, the settings or the folder of the run cannot be used.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    embedded = (Path(cfg.data) / MANIFEST).is_file()
    cfg = settled(cfg, embedded)
    start = _starting_policy(cfg)
    data = TrainingData.load(cfg, start.config.frame_size)
    if embedded and fingerprint(start) != data.embedded_by:
        raise ConfigError(
            f"init: expected the policy that made the embeddings in {cfg.data}, got {cfg.init}; give "
            "that one, or embed again"
        )
    run = Path(cfg.out)
    with sole_writer(run, "training run"):
        upgrade_settings(run / "config.json", TrainConfig)
        claim(run / "config.json", "training run", asdict(cfg), may_change=MAY_CHANGE)
        outcome = launch(_process, cfg.devices, device, cfg, device, start, data)
    return TrainResult(
        run=run,
        checkpoint=find_checkpoint(run),
        interrupted=outcome["step"] < cfg.steps,
        seconds=time.monotonic() - began,
        **outcome,
    )


def _starting_policy(cfg: TrainConfig) -> VPTPolicy:
    """The policy to start from, on the CPU: a given one, or a fresh one."""
    torch.manual_seed(cfg.seed)
    if cfg.init:
        return open_policy(cfg.init, torch.device("cpu"), setting="init")
    return VPTPolicy(VPTConfig.preset(cfg.size))


def _process(
    team: DistributedContext,
    cfg: TrainConfig,
    device: torch.device,
    start: VPTPolicy,
    data: TrainingData,
) -> dict[str, Any]:
    """One process of a training run; fields of a `TrainResult`, empty but in the main process."""
    run, device = Path(cfg.out), team.device(device)
    if team.size > 1:
        start = copy.deepcopy(
            start
        )  # torch shares the memory of tensors that it sends to a process
    learner = _Learner.begin(cfg, start, data, device, team)
    if has_checkpoint(run):
        first_loss = learner.resume(cfg, run, data, team)
    else:
        first_loss = _training_loss(learner.policy, data.training) if team.is_main else 0.0
    facts = data.facts(cfg) | {"first_loss": first_loss}
    metrics = Metrics(run, learner.step) if team.is_main else None
    _learn(cfg, run, learner, data, metrics, facts, team)
    if not team.is_main:
        return {}
    if metrics is not None:
        metrics.close()
    report: TrainingReport | None = None
    if learner.step >= cfg.steps and data.held_out:
        report = held_out_report(learner.policy, data.training, data.held_out)
        report.write(run / "report.json")
    return {
        "step": learner.step,
        "first_loss": first_loss,
        "last_loss": _training_loss(learner.policy, data.training),
        "report": report,
    }


def _training_loss(policy: VPTPolicy, training: list[Episode]) -> float:
    """Loss on the first training episodes; the batches of a stream differ too much to show progress."""
    few = [training[0]]
    for episode in training[1:]:
        if sum(len(e) for e in few) >= MEASURED_FRAMES:
            break
        few.append(episode)
    return float(evaluate(policy, few)["loss"])


@dataclass
class _Learner:
    """State of a training run.

    Attributes:
        objective: The policy being trained, its base and its loss.
        optimizer: Adam over the policy's trainable parameters.
        memories: Memory of each sequence of this process, carried from batch to batch.
        step: Number of optimizer steps done.
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
        team: DistributedContext,
    ) -> "_Learner":
        """Before the first step; untrained heads start at the action frequencies of the training data."""
        base = copy.deepcopy(policy).to(device).requires_grad_(False) if cfg.kl else None
        marginals = Marginals(data.training)
        if not cfg.init:
            start_at_marginals(policy, marginals)
        elif not policy.esc_head.linear.weight.any():
            start_esc_at_marginals(policy, marginals)
        policy.to(device).train()
        choose_trained(policy, cfg.trainable)
        frames = sum(len(e) for e in data.training)
        presses = sum(int(e.esc.sum()) for e in data.training)
        esc_weight = min(max((frames - presses) / max(presses, 1), 1.0), cfg.esc_weight)
        objective = Objective(policy, base, cfg.trainable, cfg.kl, esc_weight)
        return cls(
            objective,
            make_optimizer(policy, cfg.lr, cfg.weight_decay),
            objective.initial_memories(cfg.batch_size // team.size),
            0,
        )

    def resume(
        self, cfg: TrainConfig, run: Path, data: TrainingData, team: DistributedContext
    ) -> float:
        """Restore the newest checkpoint.

        Returns:
            Loss of the untrained policy, as measured when the run began.

        Raises:
            ConfigError: The recordings changed since the run began.
        """
        checkpoint = find_checkpoint(run)
        policy, info = load_policy(checkpoint, self.policy.device)
        facts = data.facts(cfg)
        for key in ("train_places", "held_out_places"):
            if info.get(key) != facts[key]:
                raise ConfigError(
                    f"data: {cfg.data} no longer holds the recordings that {run} was started with; "
                    "restore them, or give another out=FOLDER"
                )
        first_loss = info.get("first_loss")
        if first_loss is None and team.is_main:  # a checkpoint of before this was stored
            first_loss = _training_loss(self.policy, data.training)
        self.policy.load_state_dict(policy.state_dict())
        try:
            states = restore(self.optimizer, self.policy, load_training(checkpoint))
        except ConfigError as err:
            raise ConfigError(
                f"{checkpoint}: damaged ({err}); remove this folder, and the same command resumes from "
                "the checkpoint before it"
            ) from err
        base = states.get("base")
        self.memories = Memories(
            team.share(states["policy"]), None if base is None else team.share(base)
        )
        self.step = int(info["step"])
        return first_loss or 0.0


def _learn(
    cfg: TrainConfig,
    run: Path,
    learner: _Learner,
    data: TrainingData,
    metrics: Metrics | None,
    facts: Mapping[str, Any],
    team: DistributedContext,
) -> None:
    """The training loop: until `cfg.steps`, or Ctrl-C."""
    began = time.monotonic()
    policy, optimizer, device = learner.policy, learner.optimizer, learner.policy.device
    objective = team.wrap_ddp(learner.objective)
    stream = SequenceStream(
        data.training,
        cfg.batch_size,
        cfg.seq_len,
        cfg.seed,
        mirror=cfg.mirror,
        workers=cfg.workers,
        share=(team.rank, team.size),
    )
    stream.skip(learner.step)
    bar = progress_bar(
        total=cfg.steps,
        initial=learner.step,
        title="training",
        unit="step",
        shown=cfg.progress and team.is_main,
    )
    stop = threading.Event()
    with first_signal(stop.set, signal.SIGINT), bar:
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
                        f"training: the loss is {total} at step {learner.step}; use a smaller lr"
                    )
                row = {"loss": total, **dict(zip(_LOGGED, parts, strict=True))}
                rates = {"gradient_norm": norm.item(), "lr": optimizer.param_groups[0]["lr"]}
                seconds = {"seconds": time.monotonic() - began}
                if metrics is not None:
                    metrics.write(learner.step, row | rates | seconds)
                bar.set_postfix(loss=f"{total:.3f}")
            stopping = team.any(stop.is_set())
            due = learner.step % cfg.checkpoint_every == 0 or learner.step == cfg.steps
            if due or stopping:
                states = {"policy": team.gather(learner.memories.policy)}
                if learner.memories.base is not None:
                    states["base"] = team.gather(learner.memories.base)
                if team.is_main:
                    tensors = training_tensors(optimizer, policy, states)
                    save_checkpoint(run, learner.step, policy, tensors, facts)
