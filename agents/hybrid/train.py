"""Training of a hybrid agent: latents, heads, a report on held-out episodes, thresholds.

RUN/latents/         embeddings of all recordings; what takes long, and stays
RUN/encoder/         or the encoder of the heads' own, which takes long and stays too
RUN/checkpoints/     the heads and the machine with its thresholds
RUN/report.json
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from agents.ending.train import RankedBy
from agents.hybrid.checkpoint import HybridCheckpoint, played_runs
from agents.hybrid.config import HybridConfig
from agents.hybrid.data import LabelledEpisode, check_learnable, load_labelled, with_latents
from agents.hybrid.encoder import CONFIG, train_own, with_own_latents
from agents.hybrid.heads import LatentHeads, calibrate, calibration_error, fit_heads
from agents.hybrid.labels import check_name
from agents.hybrid.machine import TUNE, Condition, Machine, read_machine
from agents.hybrid.scripts import SCRIPTS
from agents.hybrid.tune import Scored, Threshold, choose_threshold, measure
from basalt.core.records import Record
from basalt.core.tasks import get_task
from basalt.data.episodes import split_episodes
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import choose_device, write_checkpoint
from basalt.policies.embed import EmbedConfig
from basalt.policies.source import fingerprint, open_policy, trained_on
from basalt.probes.suite.concepts import auc_interval, column_auc

CALIBRATION = 0.25
"""Share of the training groups on which the heads are calibrated instead of trained."""

LATENTS, ENCODER = "latents", "encoder"
"""Folders of the embeddings, and of the encoder of the heads' own, in a run."""

_Folders = Sequence[Sequence[LabelledEpisode]]


class HeadReport(BaseModel):
    """A head on held-out frames.

    Attributes:
        name: Name of its label.
        share: Share of the held-out frames with a known label on which the fact holds.
        head: The head.
        brightness, step: Two controls, each in the better direction: brightness of the frame alone, and time alone.
        calibration_error: Mean gap between predicted and observed frequency.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    share: float
    head: RankedBy | None
    brightness: RankedBy | None
    step: RankedBy | None
    calibration_error: float

    def line(self) -> str:
        """The head in a line of text."""
        aucs = [
            "not measurable" if one is None else one.text()
            for one in (self.head, self.brightness, self.step)
        ]
        return (
            f"{self.name}: AUC {aucs[0]}, brightness alone {aucs[1]}, time alone {aucs[2]}; calibration error "
            f"{self.calibration_error:.3f}; true on {self.share:.1%} of held-out frames"
        )


class HybridReport(Record):
    """Result of the training of a hybrid agent: `report.json`.

    Attributes:
        heads: The heads on held-out episodes.
        held_out_episodes: Number of these.
        trunk_places: Number of held-out worlds that the trunk was trained on; with any, the heads' figures are optimistic.
        thresholds: The machine's conditions on the episodes that thresholds were chosen on.
        tuned_on: Folders of these episodes; none if they are the held-out ones.
    """

    FORMAT: ClassVar[str] = "basalt-hybrid-report"

    heads: tuple[HeadReport, ...]
    held_out_episodes: int
    trunk_places: int
    thresholds: tuple[Threshold, ...]
    tuned_on: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report in lines of text."""
        lines = [f"heads on {self.held_out_episodes} held-out episodes:"]
        lines += [f"  {one.line()}" for one in self.heads]
        if self.trunk_places:
            lines.append(
                f"the trunk was trained on {self.trunk_places} of the held-out worlds, so these figures are optimistic"
            )
        where = ", ".join(self.tuned_on) or "the held-out episodes"
        lines.append(f"conditions, on the episodes that thresholds were chosen on ({where}):")
        return lines + [f"  {one.text()}" for one in self.thresholds]


@dataclass(frozen=True)
class HybridResult:
    """Result of a training run.

    Attributes:
        run: Folder of the run.
        seconds: Wall time of this call.
        report: The report.
        interrupted: Always False: Ctrl-C ends the command, and the same one resumes it.
    """

    run: Path
    seconds: float
    report: HybridReport
    interrupted: bool = False

    def lines(self) -> list[str]:
        """The result in lines of text."""
        return [f"hybrid agent in {self.seconds:.0f} s: {self.run}", *self.report.lines()]


def train(cfg: HybridConfig) -> HybridResult:
    """Train the heads and choose the thresholds; latents or an encoder that the folder of the run has are used again.

    Raises:
        BasaltError: The settings, the data or the folder of the run cannot be used.
    """
    began = time.monotonic()
    task, run = get_task(cfg.task), Path(cfg.out)
    machine = read_machine(cfg.machine, cfg.task)
    names = head_names(machine, cfg.heads)
    runs = played_runs(machine, cfg.walker)
    if cfg.encoder_steps and cfg.trunk:
        raise ConfigError(
            f"trunk: expected none, since heads with an encoder of their own (encoder_steps={cfg.encoder_steps}) read no "
            f"trunk, got {cfg.trunk!r}; leave out one of the two"
        )
    if not (cfg.encoder_steps or cfg.trunk or cfg.walker):
        raise ConfigError(
            "trunk: expected the policy whose latents the heads read, since there is no walker; give trunk=RUN, or "
            "encoder_steps=1200 for an encoder of their own"
        )
    trunk = None if cfg.encoder_steps else _Trunk.of(cfg)
    folders = (cfg.data, *cfg.rollouts)
    frames = (CONFIG.frame_size, cfg.cache_gb) if cfg.encoder_steps else ()
    data, tuning = (
        load_labelled(each, task, names, setting, cfg.progress, *frames)
        for each, setting in ((folders, "data"), (cfg.tune, "tune"))
    )
    split = _Split.of(list(chain(*data)), cfg)
    check_learnable(split.training, names)
    _check_tuning(list(chain(*tuning)), split)
    with sole_writer(run, "training run"):
        # The run is made again at each call, but for the latents, which know their policy, and the encoder, which knows
        # its labels.
        may_change = {one.name for one in fields(cfg)} - {"task"}
        claim(
            run / "config.json",
            "training run",
            {"agent": "hybrid", **asdict(cfg)},
            may_change=may_change,
        )
        fitted = (
            _fit_own(cfg, split, tuning)
            if trunk is None
            else _fit_on_trunk(cfg, trunk, data, tuning)
        )
        net, split = fitted.net, fitted.split
        tuned_on = fitted.tuning or split.held_out
        calibrate(net, *rows(split.calibration))
        scores = [_probabilities(net, one.latents) for one in tuned_on]
        machine, thresholds = tune(machine, names, tuned_on, scores, cfg.false_alarm_cost)
        report = HybridReport(
            heads=_measure(net, names, split.held_out, cfg.progress),
            held_out_episodes=len(split.held_out),
            trunk_places=0 if trunk is None else len(trunk.places & set(_places(split.held_out))),
            thresholds=thresholds,
            tuned_on=cfg.tune,
        )
        info = HybridCheckpoint(
            task=task.name,
            trunk="" if trunk is None else trunk.source,
            trunk_fingerprint="" if trunk is None else trunk.fingerprint,
            encoder=CONFIG if trunk is None else None,
            heads=names,
            width=net.axes.shape[0],
            components=net.axes.shape[1],
            hidden=0 if cfg.encoder_steps else cfg.hidden,
            machine=machine,
            runs=runs,
            train_places=_places([*split.training, *split.calibration]),
            held_out_places=_places(split.held_out),
            tune_places=_places(tuned_on),
        )
        write_checkpoint(run, 1, info, net.state_dict(), {})
        report.write(run / "report.json")
    return HybridResult(run, time.monotonic() - began, report)


class _Fitted(NamedTuple):
    """Heads that are not calibrated yet, and the episodes with the latents that they read.

    Attributes:
        net: The heads.
        split: Episodes of the data.
        tuning: Episodes of `tune`.
    """

    net: LatentHeads
    split: "_Split"
    tuning: list[LabelledEpisode]


class _Trunk(NamedTuple):
    """The policy whose latents the heads read: where it is, SHA-256 of its weights, groups that it was trained on."""

    source: str
    fingerprint: str
    places: frozenset[str]

    @classmethod
    def of(cls, cfg: HybridConfig) -> "_Trunk":
        source, setting = cfg.trunk or cfg.walker, "trunk" if cfg.trunk else "walker"
        # Each embedding opens it again.
        policy = open_policy(source, choose_device(cfg.device), setting)
        return cls(source, fingerprint(policy), trained_on(source, setting))


def _fit_on_trunk(cfg: HybridConfig, trunk: _Trunk, data: _Folders, tuning: _Folders) -> _Fitted:
    """Heads on frozen latents of a policy."""
    embedding = EmbedConfig(
        data=cfg.data, policy=trunk.source, out=str(Path(cfg.out) / LATENTS / "data"), task=cfg.task, batch_size=cfg.batch_size,
        workers=cfg.workers, device=cfg.device, progress=cfg.progress,
    )  # fmt: skip
    split = _Split.of(with_latents(data, (cfg.data, *cfg.rollouts), embedding), cfg)
    for_tuning = replace(embedding, out=str(Path(cfg.out) / LATENTS / "tune"))
    net = fit_heads(
        *rows(split.training),
        components=cfg.components,
        hidden=cfg.hidden,
        weight_decay=cfg.weight_decay,
        seed=cfg.seed,
    )
    return _Fitted(net, split, with_latents(tuning, cfg.tune, for_tuning))


def _fit_own(cfg: HybridConfig, split: "_Split", tuning: _Folders) -> _Fitted:
    """Heads with an encoder of their own."""
    net = train_own(
        Path(cfg.out) / ENCODER,
        split.training,
        steps=cfg.encoder_steps,
        seed=cfg.seed,
        device=choose_device(cfg.device),
        progress=cfg.progress,
    )

    def encoded(episodes: Sequence[LabelledEpisode]) -> list[LabelledEpisode]:
        return with_own_latents(net, episodes, cfg.progress)

    # They are not fitted again, so the latents of the training episodes are not needed.
    split = split._replace(calibration=encoded(split.calibration), held_out=encoded(split.held_out))
    tuned_on = encoded(list(chain(*tuning)))
    return _Fitted(net.cpu(), split, tuned_on)


def head_names(machine: Machine, further: Sequence[str]) -> tuple[str, ...]:
    """Names of the heads that a machine and its scripts need, and of further ones.

    Raises:
        ConfigError: There is no such label.
    """
    found: dict[str, str] = {
        condition.head: f"machine: states.{name}.{when}"
        for name, when, condition in machine.conditions()
    }
    for name, state in machine.states.items():
        if state.policy in SCRIPTS:
            found |= dict.fromkeys(SCRIPTS[state.policy].heads, f"machine: states.{name}.policy")
    found |= dict.fromkeys(machine.heads, "machine: heads")
    found |= dict.fromkeys(further, "heads")
    if not found:
        raise ConfigError("machine: expected a condition, since the walker alone needs no machine")
    for head, setting in found.items():
        check_name(head, setting)
    return tuple(sorted(found))


def tune(
    machine: Machine,
    heads: Sequence[str],
    episodes: Sequence[LabelledEpisode],
    probabilities: Sequence[NDArray[np.floating]],
    false_alarm_cost: float,
) -> tuple[Machine, tuple[Threshold, ...]]:
    """Choose the thresholds that a machine leaves open, and measure all of its conditions.

    Args:
        machine: The machine.
        heads: Names of the heads.
        episodes: Episodes on which the heads were not trained.
        probabilities: Probabilities by the heads in each of them, [n, heads].
        false_alarm_cost: Number of missed events that one false alarm costs.

    Raises:
        ConfigError: The episodes show no event of a condition.
    """
    chosen: dict[tuple[str, str], float] = {}
    scored: dict[tuple[str, str], list[Scored]] = {}
    for name, when, condition in machine.conditions():
        column = heads.index(condition.head)
        scored[name, when] = [
            Scored(probability[:, column], one.holds[:, column], one.known[:, column])
            for one, probability in zip(episodes, probabilities, strict=True)
        ]
        if condition.threshold == TUNE:
            rises = condition.comparison == ">="
            if not any((one.known & (one.holds == rises)).any() for one in scored[name, when]):
                raise ConfigError(
                    f"tune: expected episodes in which {condition.head} is {str(rises).lower()}, to choose "
                    f"states.{name}.{when}, got none in {len(episodes)}; give other folders, or a threshold in the machine"
                )
            chosen[name, when] = choose_threshold(
                condition, _at_most(machine, name, condition), scored[name, when], false_alarm_cost
            )
    done = machine.with_thresholds(chosen)
    measured = tuple(
        measure(
            name,
            when,
            condition,
            _at_most(done, name, condition),
            (name, when) in chosen,
            scored[name, when],
        )
        for name, when, condition in done.conditions()
    )
    return done, measured


def _at_most(machine: Machine, state: str, condition: Condition) -> int:
    """Steps for which a condition is not watched after it was met; only the first state may have no limit."""
    return machine.states[state].at_most or condition.hold


class _Split(NamedTuple):
    """Episodes by use; no world is on two sides."""

    training: list[LabelledEpisode]
    calibration: list[LabelledEpisode]
    held_out: list[LabelledEpisode]

    @classmethod
    def of(cls, episodes: Sequence[LabelledEpisode], cfg: HybridConfig) -> "_Split":
        by_episode = {id(one.episode): one for one in episodes}
        known, held_out = split_episodes([one.episode for one in episodes], cfg.held_out, cfg.seed)
        training, calibration = split_episodes(known, CALIBRATION, cfg.seed)
        return cls(
            *([by_episode[id(one)] for one in side] for side in (training, calibration, held_out))
        )


def rows(
    side: Sequence[LabelledEpisode],
) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_]]:
    """Latents [n, width], `holds` and `known` bool [n, heads] of all frames of some episodes."""
    return (
        np.concatenate([one.latents for one in side]),
        np.concatenate([one.holds for one in side]),
        np.concatenate([one.known for one in side]),
    )


def _check_tuning(episodes: Sequence[LabelledEpisode], split: _Split) -> None:
    seen = set(_places([*split.training, *split.calibration]))
    if known := sorted(seen & set(_places(episodes))):
        raise ConfigError(
            f"tune: expected worlds that the heads are not trained on, got {known[0]} in both; give rollouts on other seeds"
        )


def _places(episodes: Sequence[LabelledEpisode]) -> tuple[str, ...]:
    return tuple(sorted({one.episode.split_group for one in episodes}))


def _probabilities(net: LatentHeads, latents: NDArray[np.floating]) -> NDArray[np.float32]:
    return net.probabilities(torch.from_numpy(np.asarray(latents, np.float32)))


def _measure(
    net: LatentHeads,
    names: Sequence[str],
    held_out: Sequence[LabelledEpisode],
    progress: bool,
) -> tuple[HeadReport, ...]:
    """Each head on held-out episodes, beside brightness and time."""
    scores = np.concatenate([_probabilities(net, one.latents) for one in held_out])
    bar = progress_bar(held_out, title="brightness", unit="episode", shown=progress)
    bright = np.concatenate([one.episode.read().mean((1, 2, 3)) for one in bar])
    step = np.concatenate([one.episode.kept for one in held_out]).astype(np.float64)
    owner = np.repeat(np.arange(len(held_out)), [len(one.holds) for one in held_out])
    reports = []
    for column, name in enumerate(names):
        known = np.concatenate([one.known[:, column] for one in held_out])
        holds = np.concatenate([one.holds[:, column] for one in held_out])[known]
        score = scores[known, column]
        reports.append(
            HeadReport(
                name=name,
                share=float(holds.sum() / max(len(holds), 1)),
                head=_ranked(score, holds, owner[known]),
                brightness=_ranked(_better(bright[known], holds), holds, owner[known]),
                step=_ranked(_better(step[known], holds), holds, owner[known]),
                calibration_error=calibration_error(score, holds),
            )
        )
    return tuple(reports)


def _better(values: NDArray[np.floating], holds: NDArray[np.bool_]) -> NDArray[np.floating]:
    """The values, or their opposites where those separate better."""
    return -values if column_auc(values, holds) < 0.5 else values


def _ranked(
    values: NDArray[np.floating], holds: NDArray[np.bool_], owner: NDArray[np.int64]
) -> RankedBy | None:
    if holds.all() or not holds.any():
        return None
    return RankedBy(auc=column_auc(values, holds), interval=auc_interval(values, holds, owner))
