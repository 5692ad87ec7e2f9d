"""Held-out metrics of a training run beside baselines that do not look at frames."""

from collections.abc import Sequence
from typing import Any

from basalt.core.intervals import episode_interval
from basalt.data.baselines import Marginals, RepeatLast, baseline_loss
from basalt.data.episodes import Episode
from basalt.policies.imitation import evaluate
from basalt.policies.vpt import VPTPolicy


def held_out_report(
    policy: VPTPolicy, training: Sequence[Episode], held_out: Sequence[Episode]
) -> dict[str, Any]:
    """Evaluate a policy on held-out episodes beside baselines fitted on the training episodes.

    Returns:
        `policy`: the metrics of `evaluate`. `marginals` and `repeat_last`: the same losses and intervals,
        and `policy_better_by`, the difference in loss, with its interval over the same episodes.
    """
    policy_metrics = evaluate(policy, held_out)
    report: dict[str, Any] = {"policy": policy_metrics}
    frames = [len(e) for e in held_out]
    for name, baseline in (
        ("marginals", Marginals(training)),
        ("repeat_last", RepeatLast(training)),
    ):
        metrics = baseline_loss(baseline, held_out)
        totals = [baseline_loss(baseline, [e]).total * len(e) for e in held_out]
        ours = [row["loss"] * row["frames"] for row in policy_metrics["per_episode"]]
        better = [theirs - mine for theirs, mine in zip(totals, ours, strict=True)]
        report[name] = {
            "loss": metrics.total,
            "loss_interval": episode_interval(totals, frames),
            "buttons": metrics.buttons,
            "camera": metrics.camera,
            "esc": metrics.esc,
            "policy_better_by": sum(better) / sum(frames),
            "policy_better_by_interval": episode_interval(better, frames),
        }
    return report
