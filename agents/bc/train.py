"""Behavioural cloning: imitate the recorded player from pixels, or from embeddings of them.

`_Learner.learn` is one plain loop over sequences with carried memory; `agents.bc.agent` plays a checkpoint.
"""

import copy
import math
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from agents.bc.config import MAY_CHANGE, TrainConfig, settled
from agents.bc.data import TrainingData
from agents.common.distributed import DistributedContext, join, launch
from agents.common.evaluation_report import TrainingReport, held_out_report
from agents.common.objective import Memories, Objective, choose_trained
from agents.common.optimization import (
    NotFiniteError,
    make_optimizer,
    restore,
    schedule,
    training_tensors,
)
from agents.common.runs import Metrics, upgrade_settings
from basalt.data.baselines import Marginals
from basalt.data.catalogue import find_manifest
from basalt.data.dataset import SequenceStream
from basalt.data.episodes import Episode
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
from basalt.io.locks import sole_writer
from basalt.policies.augment import augment, generator
from basalt.policies.checkpoint import (
    choose_device,
    find_checkpoint,
    has_checkpoint,
    load_policy,
    load_training,
    read_newest,
    save_checkpoint,
)
from basalt.policies.config import VPTConfig
from basalt.policies.imitation import (
    TensorBatch,
    evaluate,
    start_at_marginals,
    start_esc_at_marginals,
)
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import VPTPolicy

_LOGGED = ("loss", "buttons", "camera", "esc", "kl")

AUGMENTED_STEPS = 16
"""Number of optimizer steps for which a sequence that follows whole episodes keeps its augmentation."""

MEASURED_FRAMES = 5_000
"""Approximate number of frames on which the training loss is measured, before and after."""


class TrainResult(NamedTuple):
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


def train(cfg: TrainConfig, data: TrainingData | None = None) -> TrainResult:
    """Train a policy on recordings or embeddings, or resume the run in `cfg.out`.

    In processes that torchrun or srun started, each calls this; the main one writes, and all have its result.

    Args:
        cfg: Settings.
        data: Episodes to learn from; None loads those that the settings name.

    Raises:
        BasaltError: The data, the settings or the folder of the run cannot be used.
        SystemExit: They cannot be used in another of the processes, which says why.
    """
    began = time.monotonic()
    team = join(choose_device(cfg.device))
    with ExitStack() as held:
        cfg, policy, data = team.together(partial(_prepared, cfg, data, team, held))
        result: TrainResult = launch(_train, team, cfg.devices, cfg, policy, data)
    return result._replace(seconds=time.monotonic() - began)


def _prepared(
    cfg: TrainConfig, data: TrainingData | None, team: DistributedContext, held: ExitStack
) -> tuple[TrainConfig, VPTPolicy, TrainingData]:
    """The settings in full, the policy to train and the episodes. The main process holds and claims the run's folder."""
    if team.size > 1:
        if cfg.devices not in (1, team.size):
            raise ConfigError(
                f"devices: expected {team.size}, the number of processes that were started, got {cfg.devices}; leave it out"
            )
        cfg = replace(cfg, devices=team.size)
    embedded = find_manifest(cfg.data) is not None if data is None else bool(data.embedded_by)
    cfg = settled(cfg, embedded)
    torch.manual_seed(cfg.seed)
    if cfg.init:
        policy = open_policy(cfg.init, torch.device("cpu"), setting="init")
    else:
        policy = VPTPolicy(VPTConfig.preset(cfg.size))
    if data is None:
        data = TrainingData.load(cfg, policy.config.frame_size)
    if embedded and fingerprint(policy) != data.embedded_by:
        raise ConfigError(
            f"init: expected the policy that made the embeddings in {cfg.data}, got {cfg.init}; give "
            "that one, or embed again"
        )
    if team.is_main:
        run = Path(cfg.out)
        held.enter_context(sole_writer(run, "training run"))
        upgrade_settings(run / "config.json", TrainConfig)
        claim(run / "config.json", "training run", asdict(cfg), may_change=MAY_CHANGE)
    return cfg, policy, data


def _train(
    team: DistributedContext, cfg: TrainConfig, policy: VPTPolicy, data: TrainingData
) -> TrainResult | None:
    """One process of a training run; only the main one writes files and has a result."""
    began = time.monotonic()
    if team.size > 1:  # torch shares the memory of tensors that it sends to a process
        policy = copy.deepcopy(policy)
    learner = _Learner(cfg, policy, data, team)
    if has_checkpoint(learner.run):
        learner.resume()
    elif team.is_main:
        learner.first_loss = _training_loss(policy, data.training)
    learner.learn()
    if not team.is_main:
        return None
    report: TrainingReport | None = None
    if learner.step >= cfg.steps and data.held_out:
        report = held_out_report(policy, data.training, data.held_out)
        report.write(learner.run / "report.json")
    return TrainResult(
        run=learner.run,
        checkpoint=find_checkpoint(learner.run),
        step=learner.step,
        interrupted=learner.step < cfg.steps,
        first_loss=learner.first_loss,
        last_loss=_training_loss(policy, data.training),
        seconds=time.monotonic() - began,
        report=report,
    )


def _training_loss(policy: VPTPolicy, training: list[Episode]) -> float:
    """Loss on the first training episodes; the batches of a stream differ too much to show progress."""
    few = [training[0]]
    for episode in training[1:]:
        if sum(len(e) for e in few) >= MEASURED_FRAMES:
            break
        few.append(episode)
    return float(evaluate(policy, few)["loss"])


class _Learner:
    """One process of a training run.

    Untrained heads start at the action frequencies of the training data.

    Args:
        cfg: Settings.
        policy: Policy to train.
        data: Episodes.
        team: This process among those of the run.

    Attributes:
        run: Folder of the run.
        step: Number of optimizer steps done.
        memories: Memory of each sequence of this process, carried from batch to batch.
        first_loss: Loss of the untrained policy, measured in the main process only.
    """

    def __init__(
        self, cfg: TrainConfig, policy: VPTPolicy, data: TrainingData, team: DistributedContext
    ) -> None:
        self.cfg, self.policy, self.data, self.team = cfg, policy, data, team
        self.run, self.step, self.first_loss = Path(cfg.out), 0, 0.0
        base = copy.deepcopy(policy).to(team.device).requires_grad_(False) if cfg.kl else None
        marginals = Marginals(data.training)
        if not cfg.init:
            start_at_marginals(policy, marginals)
        elif not policy.esc_head.linear.weight.any():
            start_esc_at_marginals(policy, marginals)
        policy.to(team.device).train()
        choose_trained(policy, cfg.trainable)
        frames = sum(len(e) for e in data.training)
        presses = sum(int(e.esc.sum()) for e in data.training)
        esc_weight = min(max((frames - presses) / max(presses, 1), 1.0), cfg.esc_weight)
        self.objective = Objective(
            policy, base, cfg.trainable, cfg.kl, esc_weight, cfg.change_weight, team.mean
        )
        self.optimizer = make_optimizer(policy, cfg.lr, cfg.weight_decay)
        self.memories = self.objective.initial_memories(cfg.batch_size // team.size)

    def resume(self) -> None:
        """Restore the newest checkpoint that can be read.

        Raises:
            ConfigError: The recordings changed since the run began, or no checkpoint can be read.
        """
        _, (training, policy, info) = read_newest(
            self.run,
            lambda folder: (load_training(folder), *load_policy(folder, self.team.device)),
            quiet=not self.team.is_main,
        )
        facts = self.data.facts(self.cfg)
        for key in ("train_places", "held_out_places"):
            if list(getattr(info, key)) != facts[key]:
                raise ConfigError(
                    f"data: {self.cfg.data} no longer holds the recordings that {self.run} was started "
                    "with; restore them, or give another out=FOLDER"
                )
        if info.first_loss is not None:
            self.first_loss = info.first_loss
        elif self.team.is_main:  # a checkpoint of before this was stored
            self.first_loss = _training_loss(self.policy, self.data.training)
        self.policy.load_state_dict(policy.state_dict())
        states = restore(self.optimizer, self.policy, training)
        self.memories = Memories(**{name: self.team.share(each) for name, each in states.items()})
        self.step = info.step

    def save(self) -> None:
        """Write a checkpoint, in the main process."""
        named = self.memories._asdict().items()
        states = {name: self.team.gather(each) for name, each in named if each is not None}
        if self.team.is_main:
            tensors = training_tensors(self.optimizer, self.policy, states)
            facts = self.data.facts(self.cfg) | {"first_loss": self.first_loss}
            save_checkpoint(self.run, self.step, self.policy, tensors, facts)

    def _augmented(self, labels: TensorBatch) -> TensorBatch:
        """The batch with augmented frames.

        The draws depend on the step and the sequence only, so that a run resumed on any number of processes repeats them. Where a sequence is carried from batch to
        batch they change rarely, since a change in the middle of an episode looks like a motion; segments that end with the
        batch have draws of their own.
        """
        cfg, team = self.cfg, self.team
        if not (cfg.shift or cfg.colour):
            return labels
        whole = cfg.segment is None or cfg.segment > cfg.seq_len
        # The 0 belongs to the runs that were made with it.
        draws = generator(cfg.seed, self.step // (AUGMENTED_STEPS if whole else 1), 0)
        frames = augment(
            labels.inputs,
            draws,
            shift=cfg.shift,
            colour=cfg.colour,
            share=(team.rank, team.size),
        )
        return labels._replace(inputs=frames)

    def learn(self) -> None:
        """The training loop: until `cfg.steps`, or Ctrl-C."""
        cfg, team, began = self.cfg, self.team, time.monotonic()
        objective = team.wrap_ddp(self.objective)
        stream = SequenceStream(
            self.data.training,
            cfg.batch_size,
            cfg.seq_len,
            cfg.seed,
            mirror=cfg.mirror,
            segment=cfg.segment,
            window=cfg.shuffle_plays,
            workers=cfg.workers,
            share=(team.rank, team.size),
        )
        stream.skip(self.step)
        bar = progress_bar(
            total=cfg.steps,
            initial=self.step,
            title="training",
            unit="step",
            shown=cfg.progress and team.is_main,
        )
        stop, metrics = threading.Event(), Metrics(self.run, self.step, team.is_main)
        with metrics, first_signal(stop.set, signal.SIGINT), bar:
            stopping = False
            while self.step < cfg.steps and not stopping:
                labels = self._augmented(TensorBatch.of(next(stream), team.device))
                for group in self.optimizer.param_groups:
                    group["lr"] = lr = cfg.lr * schedule(self.step, cfg.warmup, cfg.steps)
                loss, divergence, self.memories = objective(labels, self.memories)
                self.optimizer.zero_grad(set_to_none=True)
                (loss.total + cfg.kl * divergence).backward()
                norm = nn.utils.clip_grad_norm_(self.policy.parameters(), cfg.grad_clip)
                self.optimizer.step()
                self.step += 1
                bar.update()
                if self.step % cfg.log_every == 0 or self.step in (1, cfg.steps):
                    parts = team.mean(torch.stack([x.detach() for x in (*loss, divergence)]))
                    values = dict(zip(_LOGGED, parts.tolist(), strict=True))
                    if not math.isfinite(values["loss"]):
                        raise NotFiniteError(
                            f"training: the loss is {values['loss']} at step {self.step}; use a smaller lr"
                        )
                    seconds = time.monotonic() - began
                    metrics.write(
                        self.step, **values, gradient_norm=norm.item(), lr=lr, seconds=seconds
                    )
                    bar.set_postfix(loss=f"{values['loss']:.3f}")
                stopping = team.any(stop.is_set())
                if self.step % cfg.checkpoint_every == 0 or self.step == cfg.steps or stopping:
                    self.save()
