"""The training loop of what improves a policy by a loss of its own: it ends at the last good step.

A step is good if its loss is finite and the divergence from the start is within the limit. Batches depend on the step and the seed
only, so a run that was killed repeats the steps since its last checkpoint and ends at the same weights.
"""

import copy
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.objective import choose_trained
from agents.common.optimization import (
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    schedule,
)
from agents.common.runs import Metrics, RunResult
from agents.preferences.config import MAY_CHANGE, ImproveConfig
from agents.preferences.likelihood import PROBED, trunk_divergence
from basalt.core.records import Record
from basalt.io.claims import claim
from basalt.io.console import note, progress_bar
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_policy,
    load_training,
    read_newest,
    write_checkpoint,
)
from basalt.policies.vpt import VPTPolicy

GRADIENT_NORM = 1.0
"""Largest gradient norm."""


class ImproveReport(Record):
    """How a run ended: `report.json`.

    Attributes:
        agent: Name of the algorithm.
        step: Number of optimizer steps that the policy has had.
        ended: Why the run ended before its last step; empty if it did not.
        divergence: Divergence from the start in nats a frame, on frames of held-out worlds where there are some.
        figures: Further figures of the algorithm by name.
    """

    FORMAT: ClassVar[str] = "basalt-improvement"

    agent: str
    step: int
    ended: str
    divergence: float
    figures: dict[str, float]

    def lines(self) -> list[str]:
        """The report in lines of text."""
        lines = [f"{self.divergence:.4f} nats a frame from the start"]
        lines += [f"{name}: {value:.4g}" for name, value in self.figures.items()]
        return lines + ([f"ended early: {self.ended}"] if self.ended else [])


class Method(ABC):
    """What a run minimises.

    Attributes:
        name: Name of the algorithm.
        network: What is saved; its parameters that take gradients are trained.
        facts: What the run learns from, compared when it is resumed: fields of its checkpoints.
    """

    name: ClassVar[str]
    network: nn.Module
    facts: Mapping[str, Any]

    @abstractmethod
    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, a scalar, and metrics of it; the batch depends on `rng` only."""

    @abstractmethod
    def divergence(self) -> float:
        """Divergence from the start in nats a frame, on fixed frames."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Figures for the report."""

    @abstractmethod
    def record(self, step: int, ended: str) -> Record:
        """What a checkpoint is of, `self.facts` and `ended` included."""

    @abstractmethod
    def load(self, folder: Path) -> tuple[nn.Module, Record]:
        """The network and the record of a checkpoint."""


class HeadsMethod(Method):
    """A method that trains the heads of a policy on its frozen latents, with a copy of the start as reference.

    Args:
        policy: Policy to train.
        probed: Latents of frames on which the divergence is measured, float [n, width].
        facts: What the run learns from.
        device: Device to train on.
    """

    network: VPTPolicy

    def __init__(
        self, policy: VPTPolicy, probed: Tensor, facts: Mapping[str, Any], device: torch.device
    ) -> None:
        self.network, self.facts, self.device = policy.to(device), facts, device
        self.base = copy.deepcopy(policy).requires_grad_(False)
        choose_trained(policy, "heads")
        policy.esc_head.requires_grad_(False)
        self._probed = probed[:: max(1, len(probed) // PROBED)].float().numpy()

    def divergence(self) -> float:
        """KL(policy || start) of buttons and camera in nats a frame."""
        return trunk_divergence(self.network, self.base, [self._probed])

    def record(self, step: int, ended: str) -> Record:
        """A checkpoint of a policy."""
        facts: dict[str, Any] = {**self.facts, "agent": self.name, "ended": ended}
        return Checkpoint(step=step, policy=self.network.config, **facts)

    def load(self, folder: Path) -> tuple[nn.Module, Record]:
        """The policy of a checkpoint, and its facts."""
        return load_policy(folder, self.device)


def improve(cfg: ImproveConfig, method: Method) -> RunResult[ImproveReport]:
    """Train until `cfg.steps`, the limit of divergence, a loss that is not finite, or Ctrl-C; or resume the run in `cfg.out`.

    Raises:
        ConfigError: The folder was made with other settings, or what the run learns from changed since it began.
    """
    began, run = time.monotonic(), Path(cfg.out)
    with sole_writer(run, "training run"):
        settings = {"agent": method.name, **asdict(cfg)}
        claim(run / "config.json", "training run", settings, may_change=MAY_CHANGE)
        learner = _Learner(cfg, method)
        if has_checkpoint(run):
            learner.resume()
        finished = learner.learn()
        report = None
        if finished:
            method.network.eval()
            report = ImproveReport(
                agent=method.name,
                step=learner.step,
                ended=learner.ended,
                divergence=method.divergence(),
                figures=method.figures(),
            )
            report.write(run / "report.json")
    return RunResult(run, learner.step, not finished, time.monotonic() - began, report)


class _Learner:
    """One training run.

    Attributes:
        step: Number of optimizer steps that the network has had.
        ended: Why the run ended early; empty if it did not.
    """

    def __init__(self, cfg: ImproveConfig, method: Method) -> None:
        self._cfg, self._method, self._run = cfg, method, Path(cfg.out)
        self.step, self.ended = 0, ""
        self._optimizer = make_optimizer(method.network, cfg.lr, weight_decay=0.0)

    def _trained(self) -> dict[str, Tensor]:
        """A copy of what is trained, by name."""
        named = self._method.network.named_parameters()
        return {name: one.detach().clone() for name, one in named if one.requires_grad}

    def resume(self) -> None:
        """Restore the newest checkpoint that can be read.

        Raises:
            ConfigError: What the run learns from changed since it began, or no checkpoint can be read.
        """
        _, (tensors, network, record) = read_newest(
            self._run, lambda folder: (load_training(folder), *self._method.load(folder))
        )
        facts = record.model_dump(mode="json")
        for name, value in self._method.facts.items():
            if facts.get(name) != (list(value) if isinstance(value, tuple) else value):
                raise ConfigError(
                    f"{self._run}: was started with other {name.replace('_', ' ')}; restore the files of answers, the recordings "
                    "and the start, or give another out=FOLDER"
                )
        self._method.network.load_state_dict(network.state_dict())
        device = next(self._method.network.parameters()).device
        restore_optimizer(self._optimizer, self._method.network, tensors, device)
        self.step, self.ended = facts["step"], facts["ended"]

    def _save(self) -> None:
        network = self._method.network
        record = self._method.record(self.step, self.ended)
        tensors = optimizer_tensors(self._optimizer, network)
        write_checkpoint(self._run, self.step, record, network.state_dict(), tensors)

    def learn(self) -> bool:
        """The training loop; returns whether the run is finished."""
        cfg, network = self._cfg, self._method.network
        if self.ended or self.step >= cfg.steps:
            return True
        good, good_step = self._trained(), self.step
        bar = progress_bar(
            total=cfg.steps, initial=self.step, title="training", unit="step", shown=cfg.progress
        )
        stop, metrics, began = threading.Event(), Metrics(self._run, self.step), time.monotonic()
        with metrics, first_signal(stop.set, signal.SIGINT), bar:
            while self.step < cfg.steps:
                for group in self._optimizer.param_groups:
                    group["lr"] = lr = cfg.lr * schedule(self.step, cfg.warmup, cfg.steps)
                loss, values = self._method.loss(np.random.default_rng([cfg.seed, self.step]))
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
                self._optimizer.step()
                self.step += 1
                bar.update()
                saves = self.step % cfg.checkpoint_every == 0 or stop.is_set()
                last = self.step == cfg.steps
                if self.step % cfg.log_every and self.step > 1 and not (saves or last):
                    continue
                divergence = self._method.divergence()
                self.ended = self._reason(loss.item(), divergence)
                if self.ended:
                    network.load_state_dict(good, strict=False)
                    self.step = good_step
                    self._save()
                    note(f"{self._run}: {self.ended}")
                    return True
                good, good_step = self._trained(), self.step
                seconds = time.monotonic() - began
                metrics.write(
                    self.step, loss=loss.item(), divergence=divergence, **values, lr=lr, seconds=seconds
                )  # fmt: skip
                bar.set_postfix(loss=f"{loss.item():.3f}", kl=f"{divergence:.3f}")
                if saves or last:
                    self._save()
                if stop.is_set():
                    return last
        return True

    def _reason(self, loss: float, divergence: float) -> str:
        """Why a step is not good; empty if it is."""
        if not math.isfinite(loss) or not math.isfinite(divergence):
            return f"the loss was {loss} at step {self.step}; use a smaller lr"
        if divergence > self._cfg.kl_limit:
            return (
                f"the divergence was {divergence:.3f} nats a frame at step {self.step}, above kl_limit="
                f"{self._cfg.kl_limit:g}"
            )
        return ""
