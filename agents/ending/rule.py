"""The choice of the filter and the threshold: what would have happened to whole episodes."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from basalt.policies.ending import StopRule

WEIGHTS = (1.0, 0.3, 0.1, 0.05, 0.02)
"""Weights of the newest step in the exponential average that are tried."""

THRESHOLDS = 101
"""Number of thresholds that are tried for each weight: quantiles of the averages of at least even odds."""


class Scored(NamedTuple):
    """One episode as the rule sees it.

    Attributes:
        done: Log-odds that the task is done, float [n].
        screen: bool [n], a screen is open.
        success: bool [n], ESC would be a success.
    """

    done: NDArray[np.floating]
    screen: NDArray[np.bool_]
    success: NDArray[np.bool_]


class StopOutcome(BaseModel):
    """What a rule would have done to episodes.

    Attributes:
        right: Number of episodes that it ends in success.
        wrong: Number that it ends without.
        never: Number that it does not end.
        possible: Number that could have been ended in success at some step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: int
    wrong: int
    never: int
    possible: int


def averages(episode: Scored, weight: float) -> NDArray[np.float64]:
    """The filter's average after each step, as `basalt.policies.ending.StopFilter` computes it: float64 [n]."""
    steps = zip(episode.done.tolist(), episode.screen.tolist(), strict=True)
    found = accumulate(
        steps, lambda mean, step: mean if step[1] else mean + weight * (step[0] - mean), initial=0.0
    )
    return np.array(list(found)[1:])


def stop_step(episode: Scored, rule: StopRule, average: NDArray[np.float64]) -> int | None:
    """The step at which the rule ends the episode; None if it does not."""
    step = np.arange(len(average))
    needed = np.full(len(average), rule.threshold)
    if rule.max_step is not None:
        needed[step >= rule.max_step] = min(rule.threshold, 0.0)
    stops = (average >= needed) & (step >= rule.min_step) & ~episode.screen
    return int(stops.argmax()) if stops.any() else None


def judge(
    episodes: Sequence[Scored], rule: StopRule, means: Sequence[NDArray[np.float64]] | None = None
) -> StopOutcome:
    """What the rule would have done.

    Args:
        episodes: The episodes.
        rule: The rule.
        means: Their averages with the rule's weight, if they are known.
    """
    means = means or [averages(one, rule.weight) for one in episodes]
    steps = [stop_step(one, rule, mean) for one, mean in zip(episodes, means, strict=True)]
    ended = [
        bool(one.success[step])
        for one, step in zip(episodes, steps, strict=True)
        if step is not None
    ]
    return StopOutcome(
        right=sum(ended),
        wrong=len(ended) - sum(ended),
        never=len(episodes) - len(ended),
        possible=sum(bool(one.success.any()) for one in episodes),
    )


def choose_rule(
    episodes: Sequence[Scored], min_step: int = 0, max_step: int | None = None
) -> tuple[StopRule, StopOutcome]:
    """The weight and threshold that end most episodes in success, then fewest without.

    Among equals, the weight with most equal thresholds is taken, and the middle one of them: the widest plateau
    depends least on these episodes. No threshold is below even odds: where demonstrations end soon after their success,
    such a one looks as good, and an agent that finds nothing would reach it.

    Args:
        episodes: Episodes on which nothing was trained.
        min_step: Earliest step at which ESC may be pressed.
        max_step: Step from which even odds are enough.
    """
    tried: list[tuple[StopRule, StopOutcome]] = []
    for weight in WEIGHTS:
        means = [averages(one, weight) for one in episodes]
        pooled = np.concatenate(means)
        likely = pooled[pooled >= 0] if (pooled >= 0).any() else np.zeros(1)
        for threshold in np.quantile(likely, np.linspace(0, 1, THRESHOLDS)):
            rule = StopRule(
                weight=weight, threshold=float(threshold), min_step=min_step, max_step=max_step
            )
            tried.append((rule, judge(episodes, rule, means)))
    best = max((one.right, -one.wrong) for _, one in tried)
    equal = [(rule, one) for rule, one in tried if (one.right, -one.wrong) == best]
    plateaus = [[pair for pair in equal if pair[0].weight == weight] for weight in WEIGHTS]
    widest = max(plateaus, key=len)
    return widest[len(widest) // 2]
