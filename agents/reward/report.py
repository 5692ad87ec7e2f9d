"""The report of a reward model: held-out accuracy beside the raters' ceiling and controls, and calibration."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from agents.common.latents import EpisodeLatents
from agents.reward.answers import decided, place_of
from agents.reward.config import ModelKind
from agents.reward.frames import Clips, Frames, Pairs
from agents.reward.linear import LinearFit, fit_linear
from agents.reward.metrics import (
    Bin,
    calibration_error,
    chances_of,
    fitted_temperature,
    hits,
    mean_loss,
    pair_interval,
    reliability_diagram,
)
from agents.reward.model import RewardModel
from agents.teachers.labels import FILE, LabelSet
from basalt.core.comparisons import Comparison, Side
from basalt.core.controls import Control, balance_control, clip_brightness, control, controls
from basalt.core.intervals import rate_interval
from basalt.core.records import Record
from basalt.core.reliability import reliability
from basalt.io.console import progress_bar

LEARNED_PENALTY = 1e-2
"""Penalty of the linear controls."""


class HeldOutMetrics(BaseModel):
    """How well a reward model predicts decided answers about worlds that it has not seen.

    Attributes:
        pairs: Number of answers.
        accuracy: Share of them that it predicts.
        interval: 95% bootstrap interval of the accuracy over worlds; None below three.
        loss: Mean negative log-probability in nats; even odds have 0.693.
        loss_interval: Its interval.
        calibration_error: Expected calibration error.
        temperature: Number to divide differences of scores by for the smallest loss; 1 is calibrated, above 1 too sure.
        calibration_error_after: Calibration error with that temperature, fitted on the same answers.
        diagram: Reliability diagram, before the temperature.
        controls: What predicts the same answers without looking at what was done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pairs: int
    accuracy: float
    interval: tuple[float, float] | None
    loss: float
    loss_interval: tuple[float, float] | None
    calibration_error: float
    temperature: float
    calibration_error_after: float
    diagram: tuple[Bin, ...]
    controls: tuple[Control, ...]


class RewardReport(Record):
    """Result of the training of a reward model: `report.json`.

    Attributes:
        task: Name of the task.
        model: What scores a step.
        members: Number of models in the ensemble.
        synthetic: Whether the answers are those of a program.
        training, validation, held_out: Number of answers by use, draws and rejections included.
        straddling: Number of answers that were left out, since their clips are of worlds on two sides of the split.
        best: Step of each member that was kept; of `linear` the penalty that was chosen.
        everything: Test on all held-out answers.
        uniform: Test on those about uniform pairs, an unbiased sample; None if there are no others, or no such ones.
        ceiling: Largest accuracy that a model can reach on these answers; None if not known.
        ceiling_of: Where the ceiling comes from.
        tie: Davidson's v, mean over members; clips of equal score are a draw with chance v / (2 + v).
        acceptable: Acceptable score of a clip in units of its reward, mean over members; None without rejections.
        outside: Share of the held-out frames that the support gate calls unlike the training frames.
        trunk_places: Number of held-out worlds that the trunk was trained on; with any, the figures are optimistic.
    """

    FORMAT: ClassVar[str] = "basalt-reward-report"

    task: str
    model: ModelKind
    members: int
    synthetic: bool
    training: int
    validation: int
    held_out: int
    straddling: int
    best: tuple[float, ...]
    everything: HeldOutMetrics
    uniform: HeldOutMetrics | None
    ceiling: float | None
    ceiling_of: str
    tie: float
    acceptable: float | None
    outside: float
    trunk_places: int = 0

    def lines(self) -> list[str]:
        """The report as a table."""
        found = self.everything
        lines = [
            f"answers: {self.training} to learn from, {self.validation} for validation, {self.held_out} held out, "
            f"{self.straddling} left out (clips of worlds on both sides of the split)",
            *table(self.everything, self.uniform, f"reward model ({self.model})"),
            f"{'ceiling':<24}  " + ("not known" if self.ceiling is None else f"{self.ceiling:.1%}")
            + (f" ({self.ceiling_of})" if self.ceiling_of else ""),
            f"loss {found.loss:.3f} nats (even odds: 0.693), calibration error {found.calibration_error:.3f}, temperature "
            f"{found.temperature:.2f} (with it: {found.calibration_error_after:.3f})",
            f"equal clips are a draw with chance {self.tie / (2 + self.tie):.0%}; {self.outside:.1%} of the held-out frames are "
            "unlike the training frames",
        ]  # fmt: skip
        if self.synthetic:
            lines.append("the answers are those of a synthetic teacher, not of people")
        if self.ceiling is not None and found.interval and found.interval[0] > self.ceiling:
            lines.append(
                "the accuracy is above the ceiling: look for a leak, such as answers about one episode under two names"
            )
        if self.trunk_places:
            lines.append(
                f"the trunk was trained on {self.trunk_places} of the held-out worlds, so these figures are optimistic"
            )
        return lines


def table(everything: HeldOutMetrics, uniform: HeldOutMetrics | None, title: str) -> list[str]:
    """Accuracies of a model and of the controls, a line each, on all answers and on those about uniform pairs."""
    columns = [one for one in (everything, uniform) if one is not None]
    heads = [f"all {everything.pairs}"] + ([f"uniform {uniform.pairs}"] if uniform else [])
    rows = [("held-out accuracy", heads)]
    rows.append((title, [_share(one.accuracy, one.interval) for one in columns]))
    for number, first in enumerate(everything.controls):
        cells = [
            _share(one.controls[number].accuracy, one.controls[number].interval) for one in columns
        ]
        rows.append((f"  {first.name} alone" if first.name != SHUFFLED else f"  {SHUFFLED}", cells))
    return ["  ".join([f"{name:<24}", *(f"{cell:<24}" for cell in cells)]).rstrip() for name, cells in rows]  # fmt: skip


def _share(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.1%}" + ("" if interval is None else " ({:.1%} to {:.1%})".format(*interval))


def known_ceiling(files: Sequence[str], answers: Sequence[Comparison]) -> tuple[float | None, str]:
    """The largest accuracy that a model can reach on answers, and where that is known from."""
    if (found := reliability(answers).ceiling) is not None:
        return found, "agreement between raters"
    beside = Path(files[0]).parent / FILE
    if len(files) == 1 and beside.is_file():
        teacher = LabelSet.read(beside)
        if teacher.truth is not None:
            return teacher.truth, f"how often the teacher {teacher.teacher_name!r} is right"
    return None, "needs answers by two raters to the same pairs"


SHUFFLED = "shuffled answers"
"""Control: what the same kind of model learns from answers without meaning."""


class Learned(NamedTuple):
    """Controls that are learned from the training answers.

    Attributes:
        last: Linear model of the last step of each clip.
        mean: Linear model of the mean of each clip.
        shuffled: The same, of answers in random order.
    """

    last: LinearFit
    mean: LinearFit
    shuffled: LinearFit

    @classmethod
    def of(
        cls, frames: Frames, training: Pairs, components: int, flip_rate: float, seed: int
    ) -> "Learned":
        """Fit the controls.

        Args:
            frames: Frames of the clips.
            training: Pairs to learn from.
            components: Number of components of a frame; its changes are not used.
            flip_rate: Share of the answers that name the wrong side.
            seed: Seed of the shuffling.
        """
        answers = training.answers
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(answers)))
        mean, last = (
            tuple(read(side)[:, :components] for side in (training.left, training.right))
            for read in (frames.means, frames.last)
        )

        def fit(sides: Sequence[torch.Tensor], answered: torch.Tensor) -> LinearFit:
            left, right = sides
            return fit_linear(left, right, answered, penalty=LEARNED_PENALTY, flip_rate=flip_rate)

        return cls(fit(last, answers), fit(mean, answers), fit(mean, answers[order]))


class Evaluator:
    """Tests a reward model on answers.

    Args:
        model: The model, in evaluation mode.
        frames: Frames of the clips.
        episodes: Episodes of the clips by the SHA-256 of their videos.
        flip_rate: Share of the answers that name the wrong side.
        learned: Controls that were learned from the training answers; None leaves them out.
        progress: Whether to show a progress bar.
    """

    def __init__(
        self,
        model: RewardModel,
        frames: Frames,
        episodes: Mapping[str, EpisodeLatents],
        *,
        flip_rate: float,
        learned: Learned | None,
        progress: bool = True,
    ) -> None:
        self._model, self._frames, self._episodes = model, frames, episodes
        self._flip_rate, self._learned, self._progress = flip_rate, learned, progress
        self._brightness: dict[Side, float] = {}

    def both(self, answers: Sequence[Comparison]) -> tuple[HeldOutMetrics, HeldOutMetrics | None]:
        """Tests on all answers, and on those about uniform pairs where there are others too."""
        everything = decided(answers)
        uniform = [one for one in everything if one.selector == "uniform"]
        if len(uniform) in (0, len(everything)):
            return self.of(everything), None
        return self.of(everything), self.of(uniform)

    def of(self, answers: Sequence[Comparison]) -> HeldOutMetrics:
        """Test on decided answers, at least one."""
        pairs = self._frames.pairs(answers)
        won = np.array([one.winner == "left" for one in answers])
        places = [
            [place_of(one.task, side) for one, side in zip(answers, sides, strict=True)]
            for sides in ([one.left for one in answers], [one.right for one in answers])
        ]
        scores = [
            self._frames.scores(self._model, side).mean(0) for side in (pairs.left, pairs.right)
        ]
        differences = (scores[0] - scores[1]).numpy()
        chances = chances_of(differences, flip_rate=self._flip_rate)
        temperature = fitted_temperature(differences, won, self._flip_rate)
        after = chances_of(differences, temperature, self._flip_rate)
        right, losses = hits(chances, won), np.array([mean_loss([p], [w]) for p, w in zip(chances, won, strict=True)])  # fmt: skip
        diagram = reliability_diagram(chances, won)
        return HeldOutMetrics(
            pairs=len(answers),
            accuracy=float(right.mean()),
            interval=pair_interval(right, *places),
            loss=float(losses.mean()),
            loss_interval=pair_interval(losses, *places),
            calibration_error=calibration_error(diagram),
            temperature=temperature,
            calibration_error_after=calibration_error(reliability_diagram(after, won)),
            diagram=diagram,
            controls=(
                *controls(answers, self._brightness_of(answers)),
                control("side", np.ones(len(won)), won),
                balance_control("player", answers, lambda side: side.agent),
                *self._learned_controls(pairs, won, places),
            ),
        )

    def _brightness_of(self, answers: Sequence[Comparison]) -> dict[Side, float]:
        missing: dict[str, set[Side]] = defaultdict(set)
        for one in answers:
            for side in (one.left, one.right):
                if side not in self._brightness:
                    missing[side.episode].add(side)
        bar = progress_bar(missing.items(), title="brightness", unit="episode", shown=self._progress and bool(missing))  # fmt: skip
        for episode, sides in bar:
            video = self._episodes[episode].recording.video_path
            self._brightness |= clip_brightness(video, list(sides))
        return self._brightness

    def _learned_controls(
        self, pairs: Pairs, won: NDArray[np.bool_], places: Sequence[Sequence[str]]
    ) -> list[Control]:
        if self._learned is None:
            return []

        def tested(name: str, fit: LinearFit, sides: Sequence[torch.Tensor]) -> Control:
            left, right = (side.double() @ fit.weight for side in sides)
            right_way = hits(chances_of((left - right).numpy()), won)
            total = float(right_way.sum())
            interval = pair_interval(right_way, *places)
            low, high = interval or rate_interval(math.floor(total), len(won))
            return Control(name=name, accuracy=total / len(won), interval=(low, high), pairs=len(won))  # fmt: skip

        components = self._model.sizes.components

        def of(read: str) -> list[torch.Tensor]:
            clips: tuple[Clips, Clips] = (pairs.left, pairs.right)
            return [getattr(self._frames, read)(side)[:, :components] for side in clips]

        mean = of("means")
        found = [tested("last frame", self._learned.last, of("last"))]
        if self._model.sizes.model != "linear" or self._model.sizes.changes:  # else it is the model
            found.append(tested("mean latent", self._learned.mean, mean))
        return [*found, tested(SHUFFLED, self._learned.shuffled, mean)]
