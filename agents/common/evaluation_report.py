"""Held-out metrics of a training run beside baselines that do not look at frames: `report.json`."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from basalt.core.intervals import episode_interval
from basalt.core.records import Record
from basalt.data.baselines import Marginals, RepeatLast, baseline_loss
from basalt.data.episodes import Episode
from basalt.policies.imitation import evaluate
from basalt.policies.vpt import VPTPolicy

Interval = tuple[float, float] | None
"""95% interval over episodes; None below three."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EpisodeLoss(_Part):
    """Loss of one held-out episode.

    Attributes:
        name: Name of the episode.
        frames: Number of its frames.
        loss: Mean loss in nats per frame.
    """

    name: str
    frames: int
    loss: float


class _Losses(_Part):
    loss: float
    loss_interval: Interval
    buttons: float
    camera: float
    esc: float


class PolicyMetrics(_Losses):
    """Metrics of the policy on the held-out episodes; `basalt.policies.imitation.evaluate` explains them."""

    buttons_accuracy: float
    camera_accuracy: float
    esc_expected: float
    esc_in_ending: float
    frames: int
    episodes: int
    per_episode: tuple[EpisodeLoss, ...]


class BaselineMetrics(_Losses):
    """Metrics of a baseline on the same episodes.

    Attributes:
        policy_better_by: Loss of the baseline minus loss of the policy, in nats per frame.
        policy_better_by_interval: Interval of that difference over the same episodes.
    """

    policy_better_by: float
    policy_better_by_interval: Interval


class TrainingReport(Record):
    """Held-out metrics of a training run.

    Attributes:
        policy: Metrics of the policy.
        marginals: Baseline that always predicts the action frequencies of the training episodes.
        repeat_last: Baseline that repeats the last action.
    """

    FORMAT: ClassVar[str] = "basalt-training-report"

    policy: PolicyMetrics
    marginals: BaselineMetrics
    repeat_last: BaselineMetrics

    def by_player(self) -> dict[str, PolicyMetrics | BaselineMetrics]:
        """The metrics by name: `policy`, then the baselines."""
        return {"policy": self.policy} | self.baselines()

    def baselines(self) -> dict[str, BaselineMetrics]:
        """The metrics of the baselines by name."""
        return {"marginals": self.marginals, "repeat_last": self.repeat_last}

    def lines(self) -> list[str]:
        """The report in lines of text."""
        lines = []
        for name, metrics in self.by_player().items():
            interval = metrics.loss_interval
            shown = "" if interval is None else f"  95% {interval[0]:.3f} to {interval[1]:.3f}"
            lines.append(f"held-out loss  {name:<12} {metrics.loss:.3f}{shown}")
        for name, baseline in self.baselines().items():
            by = baseline.policy_better_by
            better = "better" if by > 0 else "worse"
            lines.append(f"policy {better} than {name} by {abs(by):.3f} nats per frame")
        return lines


def held_out_report(
    policy: VPTPolicy, training: Sequence[Episode], held_out: Sequence[Episode]
) -> TrainingReport:
    """Evaluate a policy on held-out episodes beside baselines fitted on the training episodes."""
    metrics = PolicyMetrics.model_validate(evaluate(policy, held_out))
    frames = [len(e) for e in held_out]

    def interval(values: list[float]) -> Interval:
        found = episode_interval(values, frames)
        return None if found is None else (found[0], found[1])

    def measured(baseline: Marginals | RepeatLast) -> BaselineMetrics:
        loss = baseline_loss(baseline, held_out)
        totals = [baseline_loss(baseline, [e]).total * len(e) for e in held_out]
        ours = [row.loss * row.frames for row in metrics.per_episode]
        better = [theirs - mine for theirs, mine in zip(totals, ours, strict=True)]
        return BaselineMetrics(
            loss=loss.total,
            loss_interval=interval(totals),
            buttons=loss.buttons,
            camera=loss.camera,
            esc=loss.esc,
            policy_better_by=sum(better) / sum(frames),
            policy_better_by_interval=interval(better),
        )

    return TrainingReport(
        policy=metrics,
        marginals=measured(Marginals(training)),
        repeat_last=measured(RepeatLast(training)),
    )
