"""Training of the stopping head, and the choice of its rule."""

import math
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from agents.common.optimization import (
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    schedule,
)
from agents.common.runs import Metrics, RunResult
from agents.ending.config import MAY_CHANGE, EndingConfig
from agents.ending.data import AT_ONCE, BalancedFrames, LabelledEpisode, load_labelled
from agents.ending.rule import Scored, StopOutcome, choose_rule
from basalt.core.intervals import rate_interval
from basalt.core.records import Record
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.interrupts import first_signal
from basalt.io.locks import sole_writer
from basalt.policies.augment import augment, generator
from basalt.policies.checkpoint import (
    choose_device,
    has_checkpoint,
    load_training,
    read_newest,
    write_checkpoint,
)
from basalt.policies.config import VPTConfig
from basalt.policies.ending import EndingCheckpoint, EndingNet, StopRule, load_ending
from basalt.policies.source import fingerprint, open_policy, trained_on
from basalt.probes.suite.concepts import auc_interval, column_auc


class RankedBy(BaseModel):
    """How well a number separates held-out frames in which ESC would succeed from others, without a screen open.

    Attributes:
        auc: Area under the ROC curve; 0.5 is chance.
        interval: 95% bootstrap interval over episodes; None if there are too few.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc: float
    interval: tuple[float, float] | None

    def text(self) -> str:
        """The area and its interval, for people."""
        low_high = "" if self.interval is None else " ({:.3f} to {:.3f})".format(*self.interval)
        return f"{self.auc:.3f}{low_high}"


class EndingReport(Record):
    """Result of the training of a stopping head: `report.json`.

    Attributes:
        head, brightness, step: The head, and two controls: darkness of the frame alone, and time alone.
        rule: The rule that was chosen.
        outcome: What it would have done to the held-out episodes, on which it was chosen.
        episodes: Number of held-out episodes.
        screen_frames: Number of training frames with a screen open; with none, screens are not recognised.
        trunk_places: Number of held-out worlds that the trunk was trained on; with any, the figures are optimistic.
    """

    FORMAT: ClassVar[str] = "basalt-ending-report"

    head: RankedBy
    brightness: RankedBy
    step: RankedBy
    rule: StopRule
    outcome: StopOutcome
    episodes: int
    screen_frames: int
    trunk_places: int = 0

    def lines(self) -> list[str]:
        """The report in lines of text."""
        found, rule = self.outcome, self.rule
        low, high = rate_interval(found.right, self.episodes)
        lines = [
            f"held-out AUC: head {self.head.text()}, darkness alone {self.brightness.text()}, "
            f"time alone {self.step.text()}",
            f"rule: weight {rule.weight:g}, threshold {rule.threshold:.2f}, from step {rule.min_step}"
            + ("" if rule.max_step is None else f", even odds from step {rule.max_step}"),
            f"held-out episodes: {found.right} of {self.episodes} ended in success ({low:.0%} to {high:.0%}; possible "
            f"in {found.possible}), {found.wrong} ended at a wrong moment, {found.never} never ended",
        ]
        if not self.screen_frames:
            lines.append(
                "no training frame has a screen open, so the head does not recognise screens"
            )
        if self.trunk_places:
            lines.append(
                f"the trunk was trained on {self.trunk_places} of the held-out worlds, so these figures are optimistic"
            )
        return lines


def ending_loss(
    done_logit: Tensor, screen_logit: Tensor, done: Tensor, screen: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropies in nats of both outputs, scalars; a frame with a screen open has no label of `done`."""
    counts = (~screen).float()
    each = F.binary_cross_entropy_with_logits(done_logit, done.float(), reduction="none")
    of_done = (each * counts).sum() / counts.sum().clamp(min=1)
    return of_done, F.binary_cross_entropy_with_logits(screen_logit, screen.float())


def train(cfg: EndingConfig) -> RunResult[EndingReport]:
    """Train a stopping head and choose its rule, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The data, the settings or the folder of the run cannot be used.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    torch.manual_seed(cfg.seed)
    trunk = open_policy(cfg.trunk, device, "trunk") if cfg.trunk else None
    preset = replace(
        VPTConfig.preset(cfg.size), frame_stack=1
    )  # one frame shows whether it is done
    config = preset if trunk is None else trunk.config
    net = EndingNet(config, trunk).to(device)
    training, held_out = load_labelled(cfg, net)
    run = Path(cfg.out)
    with sole_writer(run, "training run"):
        claim(
            run / "config.json",
            "training run",
            {"agent": "ending", **asdict(cfg)},
            may_change=MAY_CHANGE,
        )
        learner = _Learner(cfg, net, training, held_out)
        if has_checkpoint(run):
            learner.resume()
        report = learner.learn()
    return RunResult(run, learner.step, report is None, time.monotonic() - began, report)


class _Learner:
    """One training run.

    Args:
        cfg: Settings.
        net: Network to train.
        training: Episodes to learn from.
        held_out: Episodes to choose the rule on.

    Attributes:
        step: Number of optimizer steps done.
    """

    def __init__(
        self,
        cfg: EndingConfig,
        net: EndingNet,
        training: Sequence[LabelledEpisode],
        held_out: Sequence[LabelledEpisode],
    ) -> None:
        self._cfg, self._net, self._held_out = cfg, net, held_out
        self._run, self.step = Path(cfg.out), 0
        self._frames = BalancedFrames(training, cfg.batch_size, cfg.seed)
        self._screen_frames = sum(int(one.screen.sum()) for one in training)
        self._places = {
            name: tuple(sorted({one.episode.split_group for one in side}))
            for name, side in (("train_places", training), ("held_out_places", held_out))
        }
        self._trunk_places = trained_on(cfg.trunk, "trunk") if cfg.trunk else frozenset[str]()
        self._optimizer = make_optimizer(net, cfg.lr, cfg.weight_decay)

    def resume(self) -> None:
        """Restore the newest checkpoint that can be read.

        Raises:
            ConfigError: The recordings changed since the run began, or no checkpoint can be read.
        """
        _, (training, net, info) = read_newest(
            self._run,
            lambda folder: (load_training(folder), *load_ending(folder, self._net.device, "out")),
        )
        if any(getattr(info, name) != places for name, places in self._places.items()):
            raise ConfigError(
                f"data: {self._cfg.data} no longer holds the recordings that {self._run} was started with; restore "
                "them, or give another out=FOLDER"
            )
        self._net.load_state_dict(net.state_dict())
        restore_optimizer(self._optimizer, self._net, training, self._net.device)
        self.step = info.step

    def _save(self, rule: StopRule | None) -> None:
        cfg = self._cfg
        trunk = self._net.trunk
        info = EndingCheckpoint(
            step=self.step,
            encoder=self._net.config,
            trunk=cfg.trunk,
            trunk_fingerprint="" if trunk is None else fingerprint(trunk),
            task=cfg.task,
            rule=rule,
            **self._places,
        )
        tensors = optimizer_tensors(self._optimizer, self._net)
        write_checkpoint(self._run, self.step, info, self._net.state_dict(), tensors)

    def learn(self) -> EndingReport | None:
        """The training loop: until `cfg.steps` and the choice of the rule, or Ctrl-C, which returns None."""
        cfg = self._cfg
        bar = progress_bar(
            total=cfg.steps, initial=self.step, title="training", unit="step", shown=cfg.progress
        )
        stop, metrics, began = threading.Event(), Metrics(self._run, self.step), time.monotonic()
        self._net.train()
        with metrics, first_signal(stop.set, signal.SIGINT), bar:
            while self.step < cfg.steps:
                for group in self._optimizer.param_groups:
                    group["lr"] = lr = cfg.lr * schedule(self.step, cfg.warmup, cfg.steps)
                of_done, of_screen = self._losses(self.step)
                self._optimizer.zero_grad(set_to_none=True)
                (of_done + of_screen).backward()
                nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
                self._optimizer.step()
                self.step += 1
                bar.update()
                if self.step % cfg.log_every == 0 or self.step in (1, cfg.steps):
                    values = {"done": of_done.item(), "screen": of_screen.item()}
                    if not math.isfinite(sum(values.values())):
                        raise ConfigError(
                            f"training: the loss is {values} at step {self.step}; use a smaller lr"
                        )
                    metrics.write(self.step, **values, lr=lr, seconds=time.monotonic() - began)
                    bar.set_postfix(loss=f"{values['done']:.3f}")
                if stop.is_set():
                    self._save(None)
                    return None
                if self.step % cfg.checkpoint_every == 0 and self.step < cfg.steps:
                    self._save(None)
        report = self._report()
        self._save(report.rule)
        report.write(self._run / "report.json")
        return report

    def _losses(self, number: int) -> tuple[Tensor, Tensor]:
        device = self._net.device
        inputs, done, screen = (torch.from_numpy(x).to(device) for x in self._frames.batch(number))
        if self._net.trunk is None:
            inputs = self._augmented(inputs, number)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output = self._net(inputs)
        return ending_loss(output.done, output.screen, done, screen)

    def _augmented(self, frames: Tensor, number: int) -> Tensor:
        cfg = self._cfg
        draws = generator(cfg.seed, number)
        if cfg.mirror:
            flipped = torch.rand(len(frames), generator=draws).to(frames.device) < 0.5
            frames = torch.where(flipped[:, None, None, None], frames.flip(2), frames)
        return augment(frames[:, None], draws, shift=cfg.shift, colour=cfg.colour)[:, 0]

    def _report(self) -> EndingReport:
        self._net.eval()
        scored, dark = [], []
        for one in progress_bar(
            self._held_out, title="choosing the rule", unit="episode", shown=self._cfg.progress
        ):
            count = math.ceil(len(one.done) / AT_ONCE)
            parts = np.array_split(np.arange(len(one.done)), count)
            outputs = [self._net.log_odds(one.inputs(part)) for part in parts]
            done, screen = (np.concatenate(each) for each in zip(*outputs, strict=True))
            scored.append(Scored(done, screen, one.done))
            dark.append(-np.concatenate([one.frames(part).mean((1, 2, 3)) for part in parts]))
        rule, outcome = choose_rule(scored, self._cfg.min_step, self._cfg.max_step)
        seen = np.concatenate([~one.screen for one in self._held_out])
        success = np.concatenate([one.success for one in scored])[seen]
        owner = np.repeat(np.arange(len(scored)), [len(one.success) for one in scored])[seen]

        def ranked(columns: Sequence[NDArray[np.floating]]) -> RankedBy:
            values = np.concatenate(columns)[seen]
            interval = auc_interval(values, success, owner)
            return RankedBy(auc=column_auc(values, success), interval=interval)

        return EndingReport(
            head=ranked([one.done for one in scored]),
            brightness=ranked(dark),
            step=ranked([np.arange(len(one.done), dtype=np.float64) for one in scored]),
            rule=rule,
            outcome=outcome,
            episodes=len(scored),
            screen_frames=self._screen_frames,
            trunk_places=len(self._trunk_places & set(self._places["held_out_places"])),
        )
