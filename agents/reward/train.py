"""Training of a reward model."""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.latents import EpisodeLatents, load_latents
from agents.common.optimization import (
    NotFiniteError,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    schedule,
)
from agents.common.runs import Metrics, RunResult
from agents.reward.answers import Split, load_split, place_of
from agents.reward.config import MAY_CHANGE, RewardConfig
from agents.reward.frames import Frames
from agents.reward.linear import choose_penalty, fit_linear
from agents.reward.model import LinearReward, RewardModel, RewardSizes
from agents.reward.preference import BOTH_BAD, log_likelihood
from agents.reward.report import Evaluator, Learned, RewardReport, known_ceiling
from agents.reward.saved import RewardCheckpoint, load_reward
from basalt.core.comparisons import Comparison
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.data.components import SAMPLE, principal_components
from basalt.io.claims import claim
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.interrupts import first_signal
from basalt.io.locks import sole_writer
from basalt.policies.checkpoint import (
    choose_device,
    has_checkpoint,
    load_training,
    read_newest,
    write_checkpoint,
)
from basalt.policies.source import trained_on

REFERENCES = 4_096
"""Largest number of training frames that are kept for the support gate and the units of rewards."""


def train(cfg: RewardConfig) -> RunResult[RewardReport]:
    """Train a reward model and test it on held-out worlds, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The answers, the recordings, the settings or the folder of the run cannot be used.
    """
    began = time.monotonic()
    device = choose_device(cfg.device)
    split = load_split(cfg)
    answers = (*split.training, *split.validation, *split.held_out)
    wanted = {side.episode for one in answers for side in (one.left, one.right)}
    episodes, trunk = load_latents(
        cfg.recordings, cfg.trunk, wanted=wanted, device=cfg.device, progress=cfg.progress
    )
    check_episodes(answers, episodes)
    seeds = (one.meta.seed for one in episodes.values())
    refuse_test_seeds(get_task(cfg.task), seeds, "training a reward model")
    run = Path(cfg.out)
    with sole_writer(run, "training run"):
        claim(
            run / "config.json",
            "training run",
            {"agent": "reward", **asdict(cfg)},
            may_change=MAY_CHANGE,
        )
        learner = _Learner(cfg, split, episodes, trunk, device)
        if has_checkpoint(run):
            learner.resume()
        report = learner.learn()
    return RunResult(run, learner.step, report is None, time.monotonic() - began, report)


def check_episodes(answers: Sequence[Comparison], episodes: Mapping[str, EpisodeLatents]) -> None:
    """Refuse answers whose episodes are not in the recordings, or are other episodes than the answers say.

    Raises:
        RecordingError: A recording is missing, or a clip is not of the episode that it names.
    """
    sides = {side: one for one in answers for side in (one.left, one.right)}
    missing = sorted({side.episode for side in sides if side.episode not in episodes})
    if missing:
        first = next(side for side in sides if side.episode == missing[0])
        raise RecordingError(
            f"recordings: expected all {len({side.episode for side in sides})} episodes that were compared, but {len(missing)} "
            f"are missing, the first: {first.agent} on seed {first.seed} ({missing[0][:12]}...); give their folders, too"
        )
    for side, one in sides.items():
        meta = episodes[side.episode].meta
        expected = (one.task, one.world, one.world_version, side.seed)
        found = (meta.task, meta.world, meta.world_version, meta.seed)
        if expected != found:
            raise RecordingError(
                f"recordings: expected {episodes[side.episode].recording.stem} to be of {expected}, as the comparison "
                f"{one.comparison_id} says, got {found}"
            )
        if side.stop is not None and side.stop > meta.steps:
            raise RecordingError(
                f"comparisons: {one.comparison_id} compares a clip up to step {side.stop} of {meta.steps} steps "
                f"({episodes[side.episode].recording.stem}); use the recordings that were compared"
            )


def digest_of(answers: Sequence[Comparison]) -> str:
    """SHA-256 of answers, in any order."""
    lines = sorted(f"{one.comparison_id} {one.winner} {one.left} {one.right}" for one in answers)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Learner:
    """One training run.

    Args:
        cfg: Settings.
        split: The answers.
        episodes: Latents of the episodes by the SHA-256 of their videos.
        trunk: Fingerprint of the policy that made them.
        device: Device of the model.

    Attributes:
        step: Number of optimizer steps done.
    """

    def __init__(
        self,
        cfg: RewardConfig,
        split: Split,
        episodes: Mapping[str, EpisodeLatents],
        trunk: str,
        device: torch.device,
    ) -> None:
        self._cfg, self._split, self._episodes = cfg, split, episodes
        self._run, self.step, self._trunk = Path(cfg.out), 0, trunk
        self._frames = Frames(episodes, cfg.frames)
        # The linear model chooses its penalty by cross-validation, and has no step to choose.
        linear = cfg.model == "linear"
        learn = (*split.training, *split.validation) if linear else split.training
        self._training, self._validation = self._frames.pairs(learn), self._frames.pairs(split.validation)  # fmt: skip
        self._training_places = [
            (place_of(one.task, one.left), place_of(one.task, one.right)) for one in learn
        ]
        self._rejects = bool((self._training.answers == BOTH_BAD).any())
        self._references = self._choose_references()
        torch.manual_seed(cfg.seed)
        self._model = self._new_model(learn).to(device)
        self._frames.project(self._model)
        self._optimizer = make_optimizer(self._model, cfg.lr, cfg.weight_decay)
        self._best_loss = torch.full((cfg.members,), math.inf)
        self._best_step = torch.zeros(cfg.members)
        self._best = self._weights()
        rng = np.random.default_rng([cfg.seed, 1])
        count = len(self._training)
        # The only member of an ensemble learns from all answers.
        self._bags = [
            rng.integers(count, size=count) if cfg.members > 1 else np.arange(count)
            for _ in range(cfg.members)
        ]

    def _choose_references(self) -> Tensor:
        """Rows of training frames for the support gate and the units of rewards, int64 [at most REFERENCES]."""
        clips = (self._training.left, self._training.right)
        rows = torch.cat([one.rows[one.mask] for one in clips]).unique()
        rng = np.random.default_rng([self._cfg.seed, 2])
        chosen = rng.permutation(len(rows))[:REFERENCES]
        return rows[torch.from_numpy(np.sort(chosen))]

    def _new_model(self, learn: Sequence[Comparison]) -> RewardModel:
        cfg = self._cfg
        names = sorted({side.episode for one in learn for side in (one.left, one.right)})
        values = [self._episodes[name].values for name in names]
        every = max(1, sum(map(len, values)) // SAMPLE)
        sample = np.concatenate([one[::every] for one in values])
        if not np.isfinite(sample).all():
            raise ConfigError("trunk: expected finite latents, got others; use another policy")
        components = min(cfg.components, sample.shape[1], max(1, len(sample) - 1))
        mean, basis = principal_components(sample, components)
        spread = ((sample.astype(np.float32) - mean) @ basis).std(0)
        if not spread.max() > 0:
            raise ConfigError("trunk: all latents are equal, so no clip is better; use another policy")  # fmt: skip
        sides = [side for one in learn for side in (one.left, one.right)]
        lengths = [
            self._episodes[side.episode].meta.steps if side.stop is None else side.stop - (side.start or 0)
            for side in sides
        ]  # fmt: skip
        model = RewardModel(
            RewardSizes(
                model=cfg.model,
                members=cfg.members,
                latents=sample.shape[1],
                components=components,
                references=len(self._references),
                width=cfg.width,
                dropout=cfg.dropout,
                window=min(cfg.frames, max(lengths)),
                stride=max(1, round(float(np.median(lengths)) / cfg.frames)),
                changes=cfg.changes,
            )
        )
        model.mean.copy_(torch.from_numpy(mean))
        # Whitened; components that hardly vary are not blown up.
        model.basis.copy_(torch.from_numpy(basis / np.maximum(spread, 1e-3 * spread.max())))
        if cfg.changes:
            squares = [
                model.features(torch.from_numpy(np.array(one)))[:, components:].square().mean(0)
                for one in values
            ]
            change = torch.stack(squares).mean(0).sqrt()
            model.change.copy_(change.clamp(min=1e-3 * float(change.max()) or 1.0))
        return model

    # ---- checkpoints ----

    def _info(self, finished: bool, temperature: float | None = None) -> RewardCheckpoint:
        cfg, split = self._cfg, self._split
        first = split.training[0]
        return RewardCheckpoint(
            step=self.step,
            sizes=self._model.sizes,
            trunk=cfg.trunk,
            trunk_fingerprint=self._trunk,
            task=cfg.task,
            question=cfg.question,
            world=first.world,
            world_version=first.world_version,
            sources=tuple(sorted({one.source for one in split.training})),
            flip_rate=cfg.flip_rate,
            answers=digest_of([*split.training, *split.validation, *split.held_out]),
            train_places=tuple(sorted({*split.places("training"), *split.places("validation")})),
            held_out_places=split.places("held_out"),
            temperature=temperature,
            finished=finished,
        )

    def _save(self, finished: bool, temperature: float | None = None) -> None:
        tensors = optimizer_tensors(self._optimizer, self._model)
        tensors |= {f"best/{name}": value for name, value in self._best.items()}
        tensors |= {"best_loss": self._best_loss, "best_step": self._best_step}
        info = self._info(finished, temperature)
        write_checkpoint(self._run, self.step, info, self._model.state_dict(), tensors)

    def resume(self) -> None:
        """Restore the newest checkpoint that can be read.

        Raises:
            ConfigError: The answers or the trunk changed since the run began, or no checkpoint can be read.
        """
        device = self._model.device
        _, (tensors, model, info) = read_newest(
            self._run, lambda folder: (load_training(folder), *load_reward(folder, device, "out"))
        )
        ours = self._info(finished=False)
        for name in ("answers", "trunk_fingerprint", "train_places", "held_out_places", "sizes"):
            if getattr(info, name) != getattr(ours, name):
                raise ConfigError(
                    f"{self._run}: was started with other {name.replace('_', ' ')}; restore the files of answers, the recordings "
                    "and the trunk, or give another out=FOLDER"
                )
        self._model.load_state_dict(model.state_dict())
        restore_optimizer(self._optimizer, self._model, tensors, device)
        self._best = {
            name.removeprefix("best/"): value for name, value in tensors.items() if name.startswith("best/")
        }  # fmt: skip
        self._best_loss, self._best_step = tensors["best_loss"], tensors["best_step"]
        self.step = info.step

    def _weights(self) -> dict[str, Tensor]:
        """A copy of what is learned, by name."""
        return {
            name: value.detach().cpu().clone() for name, value in self._model.named_parameters()
        }

    # ---- learning ----

    def learn(self) -> RewardReport | None:
        """Learn and report; None after Ctrl-C."""
        if self._cfg.model == "linear":
            best = self._fit()
        elif not self._optimize():
            return None
        else:
            best = tuple(self._best_step.tolist())
        self._model.load_state_dict(self._best, strict=False)
        self._model.eval()
        self._settle()
        report = self._report(best)
        self._save(finished=True, temperature=report.everything.temperature)
        report.write(self._run / "report.json")
        return report

    def _fit(self) -> tuple[float, ...]:
        """Fit the members of a linear model; returns the penalty."""
        cfg, pairs = self._cfg, self._training
        left, right = self._frames.means(pairs.left), self._frames.means(pairs.right)
        penalty = choose_penalty(
            left, right, pairs.answers, self._training_places, flip_rate=cfg.flip_rate, seed=cfg.seed
        )  # fmt: skip
        self.step = 1
        bar = progress_bar(self._bags, title="members", unit="member", shown=cfg.progress)
        for number, bag in enumerate(bar):
            counts = torch.from_numpy(np.bincount(bag, minlength=len(pairs)))
            fit = fit_linear(
                left, right, pairs.answers, penalty=penalty, flip_rate=cfg.flip_rate, counts=counts
            )
            member = self._model.members[number]
            assert isinstance(member, LinearReward)
            with torch.no_grad():
                member.head.weight.copy_(fit.weight[None])
                self._model.log_tie[number] = fit.log_tie
                self._model.cut[number] = 0.0 if fit.cut is None else fit.cut
        self._best = self._weights()
        self._refuse_nan(sum(float(value.abs().sum()) for value in self._best.values()))
        return (penalty,)

    def _optimize(self) -> bool:
        """The training loop, until `cfg.steps` or Ctrl-C, which returns False."""
        cfg = self._cfg
        bar = progress_bar(
            total=cfg.steps, initial=self.step, title="training", unit="step", shown=cfg.progress
        )
        stop, metrics, began = threading.Event(), Metrics(self._run, self.step), time.monotonic()
        with metrics, first_signal(stop.set, signal.SIGINT), bar:
            while self.step < cfg.steps:
                for group in self._optimizer.param_groups:
                    group["lr"] = lr = cfg.lr * schedule(self.step, cfg.warmup, cfg.steps)
                loss = self._loss(self.step)
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
                self._optimizer.step()
                self.step += 1
                bar.update()
                if self.step % cfg.log_every == 0 or self.step in (1, cfg.steps):
                    self._refuse_nan(loss.item())
                    validation = self._validate()
                    values = {"loss": loss.item() / cfg.members, "validation": validation}
                    metrics.write(self.step, **values, lr=lr, seconds=time.monotonic() - began)
                    bar.set_postfix(validation=f"{validation:.3f}")
                if stop.is_set() and self.step < cfg.steps:
                    self._save(finished=False)
                    return False
                if self.step % cfg.checkpoint_every == 0 and self.step < cfg.steps:
                    self._save(finished=False)
        return True

    def _refuse_nan(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise NotFiniteError(
                f"training: the loss is {loss} at step {self.step}; use a smaller lr, or another trunk"
            )

    def _loss(self, number: int) -> Tensor:
        """Loss of a batch, summed over members, each with pairs of its own. It depends on the number and the seed only."""
        cfg, losses = self._cfg, []
        self._model.train()
        torch.manual_seed(int(np.random.SeedSequence([cfg.seed, 3, number]).generate_state(1)[0]))
        for index, bag in enumerate(self._bags):
            rng = np.random.default_rng([cfg.seed, 4, number, index])
            pairs = self._training.at(torch.from_numpy(rng.choice(bag, size=cfg.batch_size)))
            left, right = (
                self._model.members[index](*self._frames.of(side, self._model.device)).clip
                for side in (pairs.left, pairs.right)
            )
            losses.append(-self._likelihood(left, right, pairs.answers, index).mean())
        return torch.stack(losses).sum()

    def _likelihood(
        self, left: Tensor, right: Tensor, answers: Tensor, member: int | slice
    ) -> Tensor:
        cut = self._model.cut[member] if self._rejects else None
        tie = self._model.log_tie[member]
        return log_likelihood(
            left, right, answers.to(left.device), tie, cut, self._cfg.flip_rate
        )  # fmt: skip

    @torch.no_grad()
    def _validate(self) -> float:
        """Keep the weights of members whose loss on the validation worlds is their smallest so far; returns the mean loss."""
        self._model.eval()
        pairs = self._validation
        # Rejections are only scored where the training answers had some.
        counts = torch.ones(len(pairs), dtype=torch.bool)
        if not self._rejects:
            counts = pairs.answers != BOTH_BAD
        pairs = pairs.at(counts.nonzero()[:, 0])
        left, right = (
            self._frames.scores(self._model, side).to(self._model.device)
            for side in (pairs.left, pairs.right)
        )
        losses = -self._likelihood(left, right, pairs.answers, slice(None)).mean(1).cpu()
        weights = self._weights()
        for index in (losses < self._best_loss).nonzero()[:, 0].tolist():
            self._best_loss[index], self._best_step[index] = losses[index], self.step
            for name, value in weights.items():
                if name.startswith(f"members.{index}."):
                    self._best[name] = value
            for name in ("log_tie", "cut"):
                self._best[name][index] = weights[name][index]
        return float(losses.mean())

    # ---- after learning ----

    @torch.no_grad()
    def _settle(self) -> None:
        """Units of rewards and support gate, from training frames."""
        names = sorted(self._episodes)
        places = {name: place for place, name in enumerate(names)}
        ends = np.cumsum([self._episodes[name].meta.steps for name in names])
        owners = np.searchsorted(ends, self._references.numpy(), side="right")
        groups = sorted({f"{one.meta.task}:{one.meta.seed}" for one in self._episodes.values()})
        group_of = {
            places[name]: groups.index(f"{self._episodes[name].meta.task}:{self._episodes[name].meta.seed}")
            for name in names
        }  # fmt: skip
        scores = torch.zeros(self._cfg.members, len(self._references))
        for owner in np.unique(owners).tolist():
            inside = torch.from_numpy(owners == owner)
            start = 0 if owner == 0 else int(ends[owner - 1])
            x = self._frames.episode(names[owner]).to(self._model.device)
            found = self._model.step_scores(x).cpu()
            scores[:, inside] = found[:, self._references[inside] - start]
        device = self._model.device
        self._model.settle(
            self._frames.values[self._references].to(device),
            torch.tensor([group_of[owner] for owner in owners.tolist()]).to(device),
            scores.to(device),
        )

    def _report(self, best: tuple[float, ...]) -> RewardReport:
        cfg, split, model = self._cfg, self._split, self._model
        components = model.sizes.components
        learned = Learned.of(self._frames, self._training, components, cfg.flip_rate, cfg.seed)
        evaluator = Evaluator(
            model,
            self._frames,
            self._episodes,
            flip_rate=cfg.flip_rate,
            learned=learned,
            progress=cfg.progress,
        )
        everything, uniform = evaluator.both(split.held_out)
        answers = (*split.training, *split.validation, *split.held_out)
        ceiling, source = known_ceiling(cfg.comparisons, answers)
        held_out = self._frames.pairs(split.held_out)
        rows = torch.cat([one.rows[one.mask] for one in (held_out.left, held_out.right)]).unique()
        distances = [
            model.support.distance(
                self._frames.values[part, : model.sizes.components].to(model.device)
            ).cpu()
            for part in rows.split(REFERENCES)
        ]
        acceptable = ((model.cut.detach() - model.centre) / model.scale).mean()
        known = trained_on(cfg.trunk, "trunk")
        return RewardReport(
            task=cfg.task,
            model=cfg.model,
            members=cfg.members,
            synthetic=any(one.source == "synthetic" for one in answers),
            training=len(split.training),
            validation=len(split.validation),
            held_out=len(split.held_out),
            straddling=split.straddling,
            best=best,
            everything=everything,
            uniform=uniform,
            ceiling=ceiling,
            ceiling_of=source,
            tie=float(model.log_tie.detach().exp().mean()),
            acceptable=float(acceptable) if self._rejects else None,
            outside=float((torch.cat(distances) > 1).float().mean()),
            trunk_places=len(known & set(split.places("held_out"))),
        )
