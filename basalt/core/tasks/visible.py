"""What a viewer of a clip sees change, for synthetic teachers: bounded, and never a function of time.

A task's `visible_change` adds such parts. Each is float64 [n] for the n steps between n + 1 states, and stays the
same in sum if the player waits, so neither a longer clip nor a longer way scores more.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from basalt.core.tasks.facts import HARM_FACTS
from basalt.core.telemetry import Telemetry

Changes = NDArray[np.float64]

HARM = -2.0
"""Score of a new harm, once for each kind of `HARM_FACTS`."""


def level(states: Sequence[Telemetry], value: Callable[[Telemetry], float]) -> Changes:
    """Changes of a bounded value of a state; in sum that of the last state minus that of the first."""
    return np.diff(np.array([float(value(state)) for state in states]))


def first_time(
    states: Sequence[Telemetry], shown: Callable[[Telemetry], bool], score: float
) -> Changes:
    """A score once, at the step that first leads to a state that shows something; none if the first state does."""
    return _at(states, next((t for t, state in enumerate(states) if shown(state)), 0), score)


def ever(states: Sequence[Telemetry], shown: Callable[[Telemetry], bool], score: float) -> Changes:
    """A score once if any state shows something, also the first."""
    first = next((t for t, state in enumerate(states) if shown(state)), None)
    return _at(states, 0 if first is None else max(first, 1), score)


def at_end(
    states: Sequence[Telemetry], shown: Callable[[Telemetry], bool], score: float
) -> Changes:
    """A score at the last step if the last state shows something."""
    return _at(states, len(states) - 1 if shown(states[-1]) else 0, score)


def new_harm(states: Sequence[Telemetry]) -> Changes:
    """`HARM` for each kind of harm of which there is more than in the first state."""
    return sum((_more_of(states, name) for name in HARM_FACTS), np.zeros(len(states) - 1))


def _more_of(states: Sequence[Telemetry], name: str) -> Changes:
    before = float(states[0].facts.get(name, 0))
    return first_time(states, lambda state: float(state.facts.get(name, 0)) > before, HARM)


def _at(states: Sequence[Telemetry], state: int, score: float) -> Changes:
    """A score at the step that leads to a state; nothing for the first state, to which none leads."""
    found = np.zeros(len(states) - 1)
    if state > 0:
        found[state - 1] = score
    return found
