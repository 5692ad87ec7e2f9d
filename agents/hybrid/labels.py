"""What heads learn: yes-or-no facts about each frame, from the telemetry of its recording.

A label is the name of a fact, such as `in_cave`, or `soon_` and such a name: the fact does not hold yet, and will
within `AHEAD` steps.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.core.recording import Recording
from basalt.core.registry import did_you_mean
from basalt.core.tasks.make_waterfall import MIN_FALL
from basalt.core.telemetry import Telemetry
from basalt.io.errors import ConfigError
from basalt.probes.suite.concepts import CONCEPTS

AHEAD = 40
"""Number of steps that labels look ahead: two seconds."""

STUCK_BELOW = 0.5
"""A player that moves fewer horizontal nodes in `AHEAD` steps, and holds forward in most of them, is stuck."""

SOON = "soon_"

Flags = NDArray[np.bool_]


class Label(NamedTuple):
    """A label at each of n frames.

    Attributes:
        holds: bool [n]; False where it is not known.
        known: bool [n]; near the end of an episode, what is ahead is not.
    """

    holds: Flags
    known: Flags


def _fact(name: str, least: float = 1.0) -> Callable[[Sequence[Telemetry]], Flags | None]:
    def flags(states: Sequence[Telemetry]) -> Flags | None:
        if name not in states[0].facts:
            return None
        return np.array([float(state.facts[name]) >= least for state in states[:-1]])

    return flags


FACTS: dict[str, Callable[[Sequence[Telemetry]], Flags | None]] = {
    "mouth_in_view": _fact("mouth_in_view"),
    "water_poured": _fact("water_poured"),
    "water_in_view": _fact("water_in_view"),
    "water_falling_in_view": _fact("water_falling_in_view"),
    "fall_is_high": _fact("fall_height", MIN_FALL),
    "dead": lambda states: np.array([state.dead for state in states[:-1]]),
}
"""Facts that are labels besides `basalt.probes.suite.concepts.CONCEPTS`: flags of n frames from n + 1 states, or None
where the world does not report the fact."""

STUCK = "stuck"


def names() -> list[str]:
    """Names of all labels, without those that look ahead."""
    return [*dict.fromkeys((*CONCEPTS, *FACTS)), STUCK]


def check_name(name: str, setting: str) -> None:
    """Refuse a name that is not a label's.

    Raises:
        ConfigError: There is no such label.
    """
    if name.removeprefix(SOON) not in names():
        raise ConfigError(
            f"{setting}: unknown head {name!r}; {did_you_mean(name.removeprefix(SOON), names())}available: "
            f"{', '.join(names())}, and each of them with {SOON} before it"
        )


def label(name: str, recording: Recording) -> Label | None:
    """A label at each frame of a recording; None where its telemetry does not show it.

    Args:
        name: Name of the label.
        recording: Recording with telemetry and metadata.
    """
    assert recording.meta is not None
    states = recording.telemetry()
    if name == STUCK:
        return _stuck(recording, states)
    fact = name.removeprefix(SOON)
    if fact == STUCK:
        now = _stuck(recording, states).holds
    else:
        found = (
            FACTS[fact](states) if fact in FACTS else CONCEPTS[fact](states, recording.meta.ended)
        )
        if found is None:
            return None
        now = found
    return _soon(now) if name.startswith(SOON) else Label(now, np.ones(len(now), bool))


def _soon(now: Flags) -> Label:
    """Where a fact does not hold yet but will within `AHEAD` frames."""
    steps = np.arange(len(now))
    times = np.flatnonzero(now)
    following = np.append(times, np.iinfo(np.int64).max)[np.searchsorted(times, steps)]
    holds = ~now & (following - steps <= AHEAD)
    return Label(holds, now | holds | (steps + AHEAD < len(now)))


def _stuck(recording: Recording, states: Sequence[Telemetry]) -> Label:
    """Where the player does not get anywhere in the next `AHEAD` frames, although it walks forward."""
    places = np.array([(state.xpos, state.zpos) for state in states])
    held = np.concatenate([[0], np.cumsum(recording.actions().column("forward"), dtype=np.int64)])
    n = len(states) - 1
    whole = max(n + 1 - AHEAD, 0)  # frames with as many behind them
    moved = np.linalg.norm(places[AHEAD:] - places[:whole], axis=1)
    holds, known = np.zeros(n, bool), np.arange(n) < whole
    holds[:whole] = (moved < STUCK_BELOW) & (held[AHEAD:] - held[:whole] > AHEAD / 2)
    return Label(holds, known)
