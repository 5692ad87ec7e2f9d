"""The choice of a machine's thresholds, on recorded episodes: events that are noticed against false alarms.

An event is a longest stretch of frames on which the label of a condition's head is what the condition asks for. The
condition gives an alarm when it has held for long enough, and is watched again once its state has ended by `at_most`, as
in the machine. An alarm during an event notices it; one on a frame that is known to belong to no event is false.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from agents.hybrid.machine import Condition
from basalt.core.intervals import episode_interval

CANDIDATES = 101
"""Number of thresholds that are tried: quantiles of the probability on all frames, and as many of that during events."""

EVEN = np.linspace(-8, 8, 65)
"""Log-odds that are tried besides, so that there are some between events and other frames."""

TINY = 1e-7
"""Probabilities nearer to 0 or 1 count as this one."""


class Scored(NamedTuple):
    """One episode as a condition sees it.

    Attributes:
        probability: Probability by the condition's head, float [n].
        holds: Label of the head, bool [n].
        known: bool [n], whether the label is known.
    """

    probability: NDArray[np.floating]
    holds: NDArray[np.bool_]
    known: NDArray[np.bool_]


class Threshold(BaseModel):
    """A condition of a machine, and what it would have noticed; optimistic where it was tuned on the same episodes.

    Attributes:
        state: Name of the state.
        when: `enter` or `leave`.
        condition: The condition.
        tuned: Whether the threshold was chosen on these episodes; otherwise the machine's file gave it.
        events: Number of events.
        noticed: Number of events that are noticed.
        interval: 95% bootstrap interval of the share that is noticed, over episodes; None if there are too few.
        false_alarms: Number of false alarms.
        episodes: Number of episodes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    when: str
    condition: Condition
    tuned: bool
    events: int
    noticed: int
    interval: tuple[float, float] | None
    false_alarms: int
    episodes: int

    def text(self) -> str:
        """The condition and its figures, for people."""
        of = "" if self.interval is None else " ({:.0%} to {:.0%})".format(*self.interval)
        return (
            f"{self.state}.{self.when}: {self.condition}{'' if self.tuned else ' (given)'}; notices {self.noticed} of "
            f"{self.events} events{of}, {self.false_alarms} false alarms in {self.episodes} episodes"
        )


class Watched:
    """One episode as it is watched for a condition.

    Args:
        condition: The condition; its threshold does not matter.
        at_most: Largest number of steps of its state.
        episode: The episode.
    """

    def __init__(self, condition: Condition, at_most: int, episode: Scored) -> None:
        rises = condition.comparison == ">="
        score = np.asarray(episode.probability, np.float64) * (1 if rises else -1)
        padded = np.concatenate([np.full(condition.hold - 1, -np.inf), score])
        self._hold, self._at_most = condition.hold, at_most
        self.score = np.lib.stride_tricks.sliding_window_view(padded, condition.hold).min(axis=1)
        """Smallest score of the last frames at each frame: the condition has held where this reaches the threshold."""
        wanted = episode.known & (episode.holds == rises)
        self.events = stretches(wanted)
        self._otherwise = episode.known & ~wanted

    def alarms(self, least: float) -> Iterator[int]:
        """Frames of the alarms at a threshold of the score."""
        held = np.flatnonzero(self.score >= least)
        start = 0
        while (at := np.searchsorted(held, start)) < len(held):
            yield int(held[at])
            start = int(held[at]) + self._at_most + self._hold

    def outcome(self, least: float) -> tuple[int, int]:
        """Numbers of noticed events and of false alarms at a threshold of the score."""
        alarms = np.array(list(self.alarms(least)), dtype=np.int64)
        noticed = sum(bool(((alarms >= a) & (alarms < b)).any()) for a, b in self.events)
        return noticed, int(self._otherwise[alarms].sum())


def stretches(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First frame and the one after the last of each longest stretch of flags, int64 [stretches, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def choose_threshold(
    condition: Condition, at_most: int, episodes: Sequence[Scored], false_alarm_cost: float = 1.0
) -> float:
    """The threshold with most noticed events, less the cost of false alarms.

    Among equals, the middle of the widest range of log-odds is taken, which depends least on these episodes.

    Args:
        condition: Condition whose threshold is to be chosen.
        at_most: Largest number of steps of its state.
        episodes: Episodes on which the head was not trained, with at least one event.
        false_alarm_cost: Number of missed events that one false alarm costs.
    """
    watched = [Watched(condition, at_most, one) for one in episodes]
    everywhere = np.concatenate([one.score for one in watched])
    during = np.concatenate([one.score[a:b] for one in watched for a, b in one.events])
    shares = np.linspace(0, 1, CANDIDATES)
    tried = [
        np.quantile(known, shares)
        for found in (everywhere, during)
        if len(known := found[np.isfinite(found)])
    ]
    even = 1 / (1 + np.exp(-EVEN))
    # For `<=` scores are negative; the last one is reached on no frame.
    further = np.append(even, 1.0) if condition.comparison == ">=" else np.append(-even, 0.0)
    candidates = np.unique(np.concatenate([*tried, further]))

    def gain(least: float) -> float:
        outcomes = [one.outcome(least) for one in watched]
        return sum(noticed - false_alarm_cost * false for noticed, false in outcomes)

    gains = np.array([gain(least) for least in candidates])
    probability = np.abs(candidates).clip(TINY, 1 - TINY)
    odds = np.log(probability / (1 - probability))
    rows = [np.arange(first, stop) for first, stop in stretches(gains == gains.max())]
    widest = max(rows, key=lambda row: abs(float(odds[row[-1]] - odds[row[0]])))
    middle = (odds[widest[0]] + odds[widest[-1]]) / 2
    return abs(float(candidates[widest[np.abs(odds[widest] - middle).argmin()]]))


def measure(
    state: str,
    when: str,
    condition: Condition,
    at_most: int,
    tuned: bool,
    episodes: Sequence[Scored],
) -> Threshold:
    """What a condition would have noticed in episodes.

    Args:
        state: Name of the state.
        when: `enter` or `leave`.
        condition: Condition whose threshold is a number.
        at_most: Largest number of steps of the state.
        tuned: Whether the threshold was chosen on these episodes.
        episodes: The episodes.
    """
    assert not isinstance(condition.threshold, str)
    least = condition.threshold if condition.comparison == ">=" else -condition.threshold
    watched = [Watched(condition, at_most, one) for one in episodes]
    outcomes = [one.outcome(least) for one in watched]
    noticed, events = [found for found, _ in outcomes], [len(one.events) for one in watched]
    interval = episode_interval(noticed, events)
    return Threshold(
        state=state,
        when=when,
        condition=condition,
        tuned=tuned,
        events=sum(events),
        noticed=sum(noticed),
        interval=None if interval is None else (interval[0], interval[1]),
        false_alarms=sum(false for _, false in outcomes),
        episodes=len(watched),
    )
