"""Debaters and judges: one interface for scripted ones, recorded ones and models."""

import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import ValidationError

from basalt.core.records import first_fault
from basalt.io.errors import ConfigError
from leaderboard.oversight.claims import Evidence, Side, other
from leaderboard.oversight.files import JsonLines
from leaderboard.oversight.messages import (
    DebaterRequest,
    FrameRef,
    JudgeRequest,
    Message,
    Ruling,
    Speech,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, eq=False)
class Private:
    """What only a scripted debater gets: it is a control, and knows everything. An expert uses what it believes alone.

    Attributes:
        task: Name of the task.
        question: Question about the pair.
        left: Evidence of the left recording.
        right: Evidence of the right recording.
        truth: The better side; None if they are the same recording.
        argue_for: Side that it argues for; None while it chooses.
        rng: Source of its draws.
        believed: What an expert's read-outs say of both recordings; None without an expert.
    """

    task: str
    question: str
    left: Evidence
    right: Evidence
    truth: Side | None
    argue_for: Side | None
    rng: random.Random
    believed: tuple[Evidence, Evidence] | None = None


Frames = Callable[[FrameRef], bytes]
"""Gives a frame of a request as JPEG."""


class Debater(Protocol):
    """Argues for a side."""

    @property
    def name(self) -> str:
        """Name in records."""
        ...

    @property
    def privileged(self) -> bool:
        """Whether it is given `Private`; declared by scripted debaters alone."""
        ...

    def choose(self, request: DebaterRequest, private: Private | None) -> Side:
        """Return the side that it would argue for, in an open protocol."""
        ...

    def speak(self, request: DebaterRequest, private: Private | None) -> Speech:
        """Return its speech of a round."""
        ...


class Judge(Protocol):
    """Decides between two recordings; it sees the request and nothing else."""

    @property
    def name(self) -> str:
        """Name in records."""
        ...

    def decide(self, request: JudgeRequest, frames: Frames) -> Ruling:
        """Return its answer, given the frames of the request."""
        ...


def name_with_settings(kind: str, player: "DataclassInstance") -> str:
    """Return a player's name in records: two players that may answer differently have different names.

    Args:
        kind: Name without settings.
        player: The player; its fields are its settings, and those that have the default are left out.
    """
    values = [
        f"{one.name}={getattr(player, one.name)}"
        for one in fields(player)
        if one.name != "kind" and getattr(player, one.name) != one.default
    ]
    return " ".join([kind, *values])


@dataclass(frozen=True)
class Debaters:
    """Who speaks for which side: scripted controls differ by whether their side is the better one.

    Attributes:
        honest: Speaks for the better side, and chooses in open protocols.
        dishonest: Speaks for the other side.
    """

    honest: Debater
    dishonest: Debater

    def of(self, side: Side, truth: Side | None) -> Debater:
        """The debater that speaks for a side."""
        return self.dishonest if truth == other(side) else self.honest

    @property
    def names(self) -> tuple[str, str]:
        """Names of both."""
        return self.honest.name, self.dishonest.name


class Recorded(Message):
    """A line of a cassette: digest of a request, and the answer as JSON."""

    request: str
    answer: dict[str, Any]


T = TypeVar("T", bound=Message)


class Cassette:
    """Answers by digest of the request, as JSON lines in a file: what was asked once is not asked again.

    Args:
        path: The file; made with the first answer that is recorded.

    Raises:
        ConfigError: The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._file = JsonLines(path, Recorded)
        self._answers = {one.request: one.answer for one in self._file.read()}

    def all(self, kind: type[T]) -> list[T]:
        """All answers of a kind."""
        return [kind.model_validate(one) for one in self._answers.values()]

    def answer(self, request: Message, kind: type[T], ask: Callable[[], T] | None) -> T:
        """Return the recorded answer to a request, or ask for it and record it.

        Args:
            request: The request.
            kind: Class of the answer.
            ask: Asks for the answer; None refuses what was not recorded.

        Raises:
            ConfigError: There is no answer to this request, or it is of another kind.
            WriteError: The file cannot be written.
        """
        key = request.digest
        if key not in self._answers:
            if ask is None:
                raise ConfigError(
                    f"{self._file.path}: expected an answer to the request {key[:12]}, found none; replay with the settings "
                    "that it was recorded with"
                )
            answer = ask()
            self._answers[key] = answer.model_dump(mode="json")
            self._file.append(Recorded(request=key, answer=self._answers[key]))
            return answer
        try:
            return kind.model_validate(self._answers[key])
        except ValidationError as err:
            raise ConfigError(
                f"{self._file.path}: expected a {kind.__name__} for the request {key[:12]}: "
                f"{first_fault(err, 'the whole')}; record it again"
            ) from err


class RecordedJudge:
    """A judge whose answers are kept in a cassette, and are replayed from it.

    Args:
        cassette: Where its answers are.
        judge: The judge that is asked what was not recorded; None refuses that.
        name: Name in records; None takes the judge's.
    """

    def __init__(self, cassette: Cassette, judge: Judge | None, name: str | None = None) -> None:
        self.name = name or (judge.name if judge else "recorded")
        self._cassette, self._judge = cassette, judge

    def decide(self, request: JudgeRequest, frames: Frames) -> Ruling:
        """Return the recorded answer, or the judge's."""
        judge = self._judge
        ask = None if judge is None else lambda: judge.decide(request, frames)
        return self._cassette.answer(request, Ruling, ask)
