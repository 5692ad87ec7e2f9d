"""What happened in a recording, as a list that debaters are given, and the frames that a judge is shown."""

from collections.abc import Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.telemetry import Fact
from leaderboard.oversight.claims import Evidence

LISTED_FIELDS = ("health", "in_liquid", "under_roof", "dead")
"""Fields of telemetry whose changes are listed, besides those of all facts."""

MERGED = STEPS_PER_SECOND
"""Changes of one fact that follow each other within this number of steps are one event."""

MOST_EVENTS = 200
"""Longest list; of a longer one, the events in the middle are left out and counted."""


class Event(BaseModel):
    """A fact that changed.

    Attributes:
        start: First state with another value than before.
        end: State of the last change that belongs to the event.
        fact: Name of the fact.
        old: Value before.
        new: Value from `end` on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: int
    end: int
    fact: str
    old: Fact
    new: Fact


class EventList(BaseModel):
    """What the referee knows of one recording, in order.

    Attributes:
        last: Number of the last state.
        ended: How the episode ended.
        first: Values in the first state, of all that is listed.
        events: What changed, by start.
        left_out: Number of events that are left out of a long list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    last: int
    ended: str
    first: dict[str, Fact]
    events: tuple[Event, ...]
    left_out: int = 0

    def lines(self) -> list[str]:
        """The list in words."""
        first = ", ".join(f"{name} {value}" for name, value in self.first.items())
        lines = [f"[state 0] {first}"] if first else []
        for number, one in enumerate(self.events):
            if self.left_out and number == MOST_EVENTS // 2:
                lines.append(f"({self.left_out} events left out)")
            lines.append(f"[state {one.start}..{one.end}] {one.fact}: {one.old} -> {one.new}")
        return [*lines, f"[state {self.last}] ended: {self.ended}"]


def event_list(evidence: Evidence) -> EventList:
    """List what happened in a recording.

    Numbers that are not whole change in nearly every state, so each of them has one event from the first state to the
    last. A change that is taken back within `MERGED` steps is left out.

    Args:
        evidence: The recording's telemetry and end.
    """
    names = [*LISTED_FIELDS, *sorted({name for one in evidence.states for name in one.facts})]
    first: dict[str, Fact] = {}
    found: list[Event] = []
    for name in names:
        values = evidence.series(name)
        known = [(step, value) for step, value in enumerate(values) if value is not None]
        if not known:
            continue
        if values[0] is not None:
            first[name] = values[0]
        is_counted = all(not isinstance(value, float) or value.is_integer() for _, value in known)
        found += _changes(name, known) if is_counted else _whole(name, known)
    found.sort(key=lambda one: (one.start, one.end, one.fact))
    half, left_out = MOST_EVENTS // 2, max(0, len(found) - MOST_EVENTS)
    return EventList(
        last=evidence.last,
        ended=evidence.ended,
        first=first,
        events=tuple(found[:half] + found[half + left_out :]),
        left_out=left_out,
    )


def _changes(name: str, known: Sequence[tuple[int, Fact]]) -> list[Event]:
    events: list[Event] = []
    for (_, old), (step, new) in pairwise(known):
        if old == new:
            continue
        if events and step - events[-1].end <= MERGED:
            events[-1] = events[-1].model_copy(update={"end": step, "new": new})
        else:
            events.append(Event(start=step, end=step, fact=name, old=old, new=new))
    return [one for one in events if one.old != one.new]


def _whole(name: str, known: Sequence[tuple[int, Fact]]) -> list[Event]:
    (start, old), (end, new) = known[0], known[-1]
    return [Event(start=start, end=end, fact=name, old=old, new=new)] if old != new else []


def key_steps(last: int, count: int) -> tuple[int, ...]:
    """Return the states whose frames a judge is shown: by rule, so that no debater chooses them.

    The last one always, then the first, then others at equal steps between them.

    Args:
        last: Number of the last state.
        count: Number of frames; 0 for none. A short recording has fewer.
    """
    if count <= 1:
        return (last,)[:count]
    return tuple(dict.fromkeys(round(n * last / (count - 1)) for n in range(count)))
