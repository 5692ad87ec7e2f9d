"""Claims: statements about a recording that telemetry can check, instead of quotations from a text.

A debater may write what it likes, but only a claim is ever verified, never the sentence around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from basalt.core.relevance import ENDED_BY_PLAYER, presence, relevant_facts
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.core.telemetry import Fact, Telemetry
from basalt.core.video_bounds import MAX_FRAMES
from basalt.io.errors import RecordingError

Side = Literal["left", "right"]
"""One of the two recordings of a pair."""

SIDES: tuple[Side, Side] = ("left", "right")

Op = Literal["is", "reaches", "never", "more_than_other"]
"""What a claim says of a fact.

`is`: it has the value in all states from start to end. `reaches`: in one of these states it has the value or, of a
number, at least the value. `never`: in no state of the recording it has the value or, of a number, at least the value.
`more_than_other`: in the last state it is larger than in the other recording's (true is larger than false).
"""

WHOLE: tuple[Op, ...] = ("never", "more_than_other")
"""Statements about whole recordings; their interval has to be the whole one."""

TOLERANCE = 10
"""Steps (0.5 s) by which start and end may each be off, in favour of the claim."""

VALUE_TOLERANCE = 0.05
"""Share by which the value of `is` may be off where a fact is not a whole number, in favour of the claim."""

LONGEST = 10 * STEPS_PER_SECOND
"""Steps of the longest interval; none is too long for statements about whole recordings."""

FIELDS = (
    "xpos", "ypos", "zpos", "yaw", "pitch", "health", "breath", "hotbar", "held", "gui_open", "on_ground", "in_liquid",
    "light", "daylight", "under_roof", "distance_walked", "dead",
)  # fmt: skip
"""Fields of telemetry that a claim may be about, besides facts."""

Check = Literal["true", "false", "unknown", "void", "unchecked"]
"""What became of a claim.

`unknown`: the world or the recording does not report the fact. `void`: the interval is empty, outside the recording or
too long, or the value is of another kind than the fact. `unchecked`: the protocol did not check it.
"""


def other(side: Side) -> Side:
    """Return the other side."""
    return "right" if side == "left" else "left"


class Claim(BaseModel):
    """A statement about one recording of a pair.

    Attributes:
        side: Recording that it is about.
        start: First state of the interval; state t is the one before step t.
        end: Last state of the interval, inclusive.
        fact: Name of a fact, of a field of telemetry (`FIELDS`), or `ENDED_BY_PLAYER`.
        op: What it says of the fact.
        value: Value that the fact has; None for `more_than_other`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    side: Side
    start: Annotated[int, Field(strict=True, ge=0, le=MAX_FRAMES)]
    end: Annotated[int, Field(strict=True, ge=0, le=MAX_FRAMES)]
    fact: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    op: Op
    value: bool | int | float | Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _has_its_value(self) -> Self:
        if (self.value is None) != (self.op == "more_than_other"):
            raise ValueError("expected a value, except with more_than_other")
        return self

    def text(self, names: Sequence[str] = SIDES) -> str:
        """The claim in words.

        Args:
            names: What the left and the right recording are called.
        """
        own = names[SIDES.index(self.side)]
        if self.op == "more_than_other":
            another = names[SIDES.index(other(self.side))]
            return f"{own}: in the end, {self.fact} is more than {another}'s"
        value = str(self.value).lower() if isinstance(self.value, bool) else f"{self.value!r}"
        if self.op == "never":
            return f"{own}: {self.fact} never {'is' if _is_equality(self.value) else 'reaches'} {value}"
        return f"{own}, states {self.start} to {self.end}: {self.fact} {self.op} {value}"

    def favours(self, task: str, question: str) -> Side | None:
        """The side that the claim speaks for if it is true; None if it is beside the question.

        Args:
            task: Name of the task.
            question: Question about the pair.
        """
        sign = relevant_facts(task, question).get(self.fact, 0) * self._says_there_is()
        return None if sign == 0 else self.side if sign > 0 else other(self.side)

    def _says_there_is(self) -> int:
        """1 if the claim says that the fact is present (true, above 0, or more), -1 if it says the opposite, else 0."""
        if self.value is None:
            return 1
        found = presence(self.value)
        if found < 0 and not isinstance(self.value, bool) and self.op != "is":
            return 0  # every count is at least 0
        return -found if self.op == "never" else found


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the referee knows of one recording.

    Attributes:
        states: Telemetry of all n + 1 states.
        ended: How the episode ended.

    Raises:
        RecordingError: There is no telemetry.
    """

    states: Sequence[Telemetry]
    ended: str
    _series: dict[str, Sequence[Fact | None]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.states:
            raise RecordingError(
                "telemetry: expected the states of an episode, got none; use recordings with telemetry"
            )

    @property
    def last(self) -> int:
        """Number of the last state."""
        return len(self.states) - 1

    def series(self, fact: str) -> Sequence[Fact | None]:
        """Values of a fact in all states, None where it is not reported."""
        if fact not in self._series:
            self._series[fact] = self._values(fact)
        return self._series[fact]

    def _values(self, fact: str) -> Sequence[Fact | None]:
        if fact == ENDED_BY_PLAYER:
            ended = None if self.ended == "unknown" else self.ended == "esc"
            return [*(False for _ in self.states[1:]), ended]
        if fact in FIELDS:
            return [getattr(one, fact) if one.is_observed(fact) else None for one in self.states]
        return [one.facts.get(fact) for one in self.states]


def check(claim: Claim, left: Evidence, right: Evidence) -> Check:
    """Check a claim against the telemetry of both recordings; the same evidence always gives the same result.

    Args:
        claim: The claim.
        left: Evidence of the left recording.
        right: Evidence of the right recording.
    """
    own, another = (left, right) if claim.side == "left" else (right, left)
    if _is_void(claim, own):
        return "void"
    values = own.series(claim.fact)
    if claim.op == "more_than_other":
        ours, theirs = values[-1], another.series(claim.fact)[-1]
        if ours is None or theirs is None:
            return "unknown"
        if isinstance(ours, str) or isinstance(theirs, str):
            return "void"
        return "true" if ours > theirs else "false"
    known = next((value for value in values if value is not None), None)
    if known is not None and _kind(known) != _kind(claim.value):
        return "void"
    if claim.op == "never":
        found = _any(claim, values)
        return {"true": "false", "false": "true"}.get(found, found)  # type: ignore[return-value]
    first, last = claim.start + TOLERANCE, claim.end - TOLERANCE
    if claim.op == "is" and first <= last:
        return _all(claim, values[first : last + 1])
    if claim.op == "is":  # so short that both ends may be at one state
        first, last = last, first
    else:
        first, last = claim.start - TOLERANCE, claim.end + TOLERANCE
    return _any(claim, values[max(0, first) : last + 1])


def _is_void(claim: Claim, own: Evidence) -> bool:
    if claim.start > claim.end or claim.end > own.last + TOLERANCE:
        return True
    if claim.op in WHOLE:
        return claim.start > TOLERANCE or claim.end < own.last - TOLERANCE
    return claim.end - claim.start > LONGEST


def _any(claim: Claim, values: Sequence[Fact | None]) -> Check:
    if any(value is not None and _holds(claim, value) for value in values):
        return "true"
    return "unknown" if None in values else "false"


def _all(claim: Claim, values: Sequence[Fact | None]) -> Check:
    if any(value is not None and not _holds(claim, value) for value in values):
        return "false"
    return "unknown" if None in values else "true"


def _holds(claim: Claim, value: Fact) -> bool:
    wanted = claim.value
    if wanted is None or isinstance(wanted, str) or isinstance(value, str) or _is_equality(wanted):
        return value == wanted
    if claim.op != "is":
        return value >= wanted
    if isinstance(value, float):
        return abs(value - wanted) <= VALUE_TOLERANCE * max(abs(value), abs(wanted))
    return value == wanted


def _is_equality(value: Fact | None) -> bool:
    """Whether a value can only be had, not exceeded."""
    return isinstance(value, bool | str)


def _kind(value: Fact | None) -> str:
    return (
        "number"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else type(value).__name__
    )
