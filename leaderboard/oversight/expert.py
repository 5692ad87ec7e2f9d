"""An expert that sees: what read-outs of a frozen policy's latents say of recordings, and a debater that believes them.

The read-outs are fitted, and the file is written, by `basalt probe readout`; here it is only read. The debater knows no
telemetry: it argues with what the read-outs believe, and is wrong as often as they are.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from basalt.core.records import Record
from basalt.core.relevance import presence, relevant_facts
from basalt.core.telemetry import Fact
from basalt.core.video_bounds import MAX_FRAMES
from basalt.io.errors import ConfigError
from leaderboard.oversight.claims import SIDES, WHOLE, Evidence, Side
from leaderboard.oversight.debaters import Pools, Scripted, on_question
from leaderboard.oversight.pairs import Pair
from leaderboard.oversight.players import Private

EXPERT = "expert"
"""Name of the debater."""

State = Annotated[int, Field(strict=True, ge=0, le=MAX_FRAMES)]


class FactRates(BaseModel):
    """How often the read-out of a fact is right, on recordings that it was not fitted to.

    Attributes:
        seen: Share of the states in which it says that the fact is there, of those in which it is.
        imagined: The same of those in which it is not.
        states: Number of states.
        share: Share of the states in which the fact is there.
        is_number: Whether telemetry has it as a number; then it is there where it is above 0, and is believed to be 0 or 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seen: Annotated[float, Field(ge=0, le=1)] | None
    imagined: Annotated[float, Field(ge=0, le=1)] | None
    states: int
    share: float
    is_number: bool = False


class Described(BaseModel):
    """What the read-outs say of a recording.

    Attributes:
        last: Number of the last state.
        changes: By fact: the states from which on it is believed to be otherwise than before. Before the first of them it is not
            there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    last: State
    changes: dict[str, tuple[State, ...]]

    @model_validator(mode="after")
    def _is_in_order(self) -> "Described":
        for fact, states in self.changes.items():
            if list(states) != sorted(set(states)) or (states and states[-1] > self.last):
                raise ValueError(f"{fact}: expected states of the recording, in order")
        return self


class Readouts(Record):
    """What `basalt probe readout` writes.

    Attributes:
        task: Task of the recordings.
        policy: SHA-256 of the weights of the policy that saw them.
        seeds: Worlds of the recordings that the read-outs were fitted to; pairs of these are refused.
        fitted: Number of these recordings.
        rates: How often each read-out is right, by fact.
        recordings: What they say, by the SHA-256 of a recording's video.
    """

    FORMAT: ClassVar[str] = "basalt-readouts"
    MAX_BYTES: ClassVar[int] = 256 * 2**20

    task: str
    policy: str
    seeds: tuple[int, ...]
    fitted: int
    rates: dict[str, FactRates]
    recordings: dict[str, Described]

    def lines(self) -> list[str]:
        """How often they are right, in lines of text."""
        lines = [
            f"{self.task}: read-outs of {len(self.rates)} facts, fitted to {self.fitted} recordings of {len(self.seeds)} "
            f"worlds; {len(self.recordings)} recordings of other worlds described",
            f"{'fact':<24}{'there':>8}{'seen':>8}{'imagined':>10}",
        ]
        for fact, one in self.rates.items():
            seen, imagined = (
                "-" if share is None else f"{share:.3f}" for share in (one.seen, one.imagined)
            )
            lines.append(f"{fact:<24}{one.share:>8.3f}{seen:>8}{imagined:>10}")
        return lines

    def believed(self, pair: Pair) -> tuple[Evidence, Evidence]:
        """What they say of both recordings of a pair.

        Raises:
            ConfigError: They were fitted to recordings of the same world, or do not describe a recording.
        """
        if pair.task != self.task or pair.seed in self.seeds:
            raise ConfigError(
                f"expert: expected read-outs of {pair.task} that have not seen the world {pair.seed}, got ones of {self.task} "
                "that were fitted to it; fit them to other recordings"
                if pair.task == self.task
                else f"expert: expected read-outs of {pair.task}, got ones of {self.task}"
            )
        left, right = (
            self._of(video, pair.evidence(side)) for video, side in zip(pair.videos, SIDES, strict=True)
        )  # fmt: skip
        return left, right

    def _of(self, video: str, known: Evidence) -> Evidence:
        if video not in self.recordings or self.recordings[video].last < known.last:
            raise ConfigError(
                f"expert: expected read-outs of the recording {video[:12]}, found none; describe these recordings with "
                "basalt probe readout"
            )
        numbers = frozenset(fact for fact, one in self.rates.items() if one.is_number)
        return Believed(
            (), "unknown", described=self.recordings[video], end=known.last, numbers=numbers
        )


@dataclass(frozen=True, eq=False)
class Believed(Evidence):
    """What read-outs say of one recording, in the place of telemetry; other facts are not known.

    Attributes:
        described: What they say.
        end: Number of the recording's last state; a recording may be shown cut.
        numbers: Facts that are numbers.
    """

    described: Described = field(default_factory=lambda: Described(last=0, changes={}))
    end: int = 0
    numbers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """It needs no telemetry."""

    @property
    def last(self) -> int:
        """Number of the last state."""
        return self.end

    def _values(self, fact: str) -> Sequence[Fact | None]:
        changes = self.described.changes.get(fact)
        if changes is None:
            return [None] * (self.end + 1)
        values: list[Fact] = []
        for state in range(self.end + 1):
            is_there = bisect_right(changes, state) % 2 == 1
            values.append(int(is_there) if fact in self.numbers else is_there)
        return values


@dataclass(frozen=True)
class Expert(Scripted):
    """A debater that believes read-outs: its claims speak for its side and are true as far as it knows.

    It speaks about whole recordings only. Of a part of one, something true can be said for either side.

    Attributes:
        digest: First digits of the SHA-256 of the read-outs' file.
    """

    digest: str = ""

    def choose(self, request: object, private: Private | None) -> Side:
        """Return the side that did better as far as it knows; drawn where it sees no difference."""
        assert private is not None and private.believed is not None
        facts = relevant_facts(private.task, private.question)
        for count in (_in_the_end, _ever, _share):
            for fact, sign in facts.items():
                left, right = (count(one.series(fact)) for one in private.believed)
                if left != right:
                    return "left" if (left > right) == (sign > 0) else "right"
        return private.rng.choice(SIDES)

    def pools(self, known: Private) -> Pools:
        """Claims that it believes, and none that it does not."""
        assert known.believed is not None and known.argue_for is not None
        left, right = known.believed
        believed, _ = on_question(known.task, known.question, left, right, known.argue_for)
        return tuple(one for one in believed if one.op in WHOLE), ()


def _in_the_end(values: Sequence[Fact | None]) -> float:
    return float(_is_there(values[-1]))


def _ever(values: Sequence[Fact | None]) -> float:
    return float(any(map(_is_there, values)))


def _share(values: Sequence[Fact | None]) -> float:
    return sum(map(_is_there, values)) / len(values)


def _is_there(value: Fact | None) -> bool:
    return value is not None and presence(value) > 0
