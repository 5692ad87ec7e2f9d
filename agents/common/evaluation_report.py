"""The held-out figures of a training run, beside baselines that never look."""

from __future__ import annotations

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
    """The policy's figures on held-out episodes beside baselines fitted on the training episodes.

    Returns:
        `policy` as from `evaluate`; `marginals` and `repeat_last` with the same losses and intervals,
        and `policy_better_by`: the difference in loss, with its interval over the same episodes.
    """
    policy_figures = evaluate(policy, held_out)
    report: dict[str, Any] = {"policy": policy_figures}
    frames = [len(e) for e in held_out]
    for name, baseline in (
        ("marginals", Marginals(training)),
        ("repeat_last", RepeatLast(training)),
    ):
        figures = baseline_loss(baseline, held_out)
        totals = [baseline_loss(baseline, [e]).total * len(e) for e in held_out]
        ours = [row["loss"] * row["frames"] for row in policy_figures["per_episode"]]
        better = [theirs - mine for theirs, mine in zip(totals, ours, strict=True)]
        report[name] = {
            "loss": figures.total,
            "loss_interval": episode_interval(totals, frames),
            "buttons": figures.buttons,
            "camera": figures.camera,
            "esc": figures.esc,
            "policy_better_by": sum(better) / sum(frames),
            "policy_better_by_interval": episode_interval(better, frames),
        }
    return report
