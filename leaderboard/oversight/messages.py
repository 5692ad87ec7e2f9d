"""What debaters and judges are asked and answer: plain data, which has one digest and can be replayed.

Nothing in a request says who played: no names of agents or files, no kinds, seeds or digests of videos. The recordings
are called P1 and P2. For debaters P1 is the left one; for a judge it is the one that is shown first.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from leaderboard.oversight.claims import SIDES, Check, Claim, Side
from leaderboard.oversight.events import EventList

Name = Literal["P1", "P2"]
"""Name of a recording in a request."""

NAMES: tuple[Name, Name] = ("P1", "P2")

Form = Literal[
    "direct", "consultancy", "open_consultancy", "double_consultancy", "debate", "open_debate"
]
"""How debaters and judge take turns.

`direct`: nobody speaks. `consultancy`: one debater speaks for a side that a coin chose; open: for the side it chose
itself. `debate`: one debater for each side, at the same time in each round; open: the first chose its side.
`double_consultancy`: one for each side, who never see each other's speeches; one judge reads both.
"""

OPEN: tuple[Form, ...] = ("open_consultancy", "open_debate")
ONE_SPEAKER: tuple[Form, ...] = ("consultancy", "open_consultancy")

MOST_CLAIMS = 64
"""Most claims of a speech that is read at all."""


class Message(BaseModel):
    """A value of this module: frozen, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the value as canonical JSON."""
        return digest(self.model_dump(mode="json"))


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON value: sorted keys, no spaces, ASCII."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


class Protocol(Message):
    """A form of oversight with its numbers.

    Attributes:
        form: How debaters and judge take turns.
        rounds: Number of rounds; nobody sees a speech of the same round before speaking.
        claims: Most claims of a speech; further ones are dropped.
        words: Most words of a speech that are shown; it is cut, not asked to be short.
        checked: Share of the claims that are checked.
        prose: Whether the judge is shown the debaters' words, or their claims alone.
        frames: Number of key frames of each recording that the judge is shown; `all` for one a second and the last.
        lists: Whether the judge is given the event lists, as in the ceiling.
    """

    form: Form
    rounds: Annotated[int, Field(ge=1, le=10)] = 1
    claims: Annotated[int, Field(ge=0, le=MOST_CLAIMS)] = 3
    words: Annotated[int, Field(ge=0, le=1_000)] = 150
    checked: Annotated[float, Field(ge=0, le=1)] = 1.0
    prose: bool = True
    frames: Annotated[int, Field(ge=0, le=64)] | Literal["all"] = 0
    lists: bool = False


class FrameRef(Message):
    """A frame that is shown, by recording and state."""

    name: Name
    state: int


class Speech(Message):
    """What a debater says in a round.

    Attributes:
        argument: Its words, which nobody checks.
        claims: Its claims.
    """

    argument: Annotated[str, Field(max_length=100_000)] = ""
    claims: Annotated[tuple[Claim, ...], Field(max_length=MOST_CLAIMS)] = ()


class CheckedClaim(Message):
    """A claim, what telemetry says of it, and the side that it speaks for (None: beside the question)."""

    claim: Claim
    check: Check
    favours: Side | None


class Turn(Message):
    """A speech as it entered the transcript.

    Attributes:
        speaker: Side that the debater argues for.
        round: Number of the round, from 0.
        argument: Its words, cleaned and cut.
        claims: Its claims with their checks.
        dropped: Number of claims beyond the limit, and of those that it had made before.
    """

    speaker: Side
    round: int
    argument: str
    claims: tuple[CheckedClaim, ...]
    dropped: int = 0


class Transcript(Message):
    """All that was said about a pair under a protocol.

    Attributes:
        made_by: Digest of what it was made from: pair, protocol, debaters, repeat and seed.
        chosen: Side that the first debater chose in an open protocol.
        turns: Speeches by round.
    """

    made_by: str
    chosen: Side | None = None
    turns: tuple[Turn, ...] = ()


class DebaterRequest(Message):
    """What a debater is asked.

    Attributes:
        instruction: The task, as its player was given it.
        question: Question about the pair.
        argue_for: Recording that the debater is to argue for; None asks which one it would choose.
        round: Number of the round, from 0.
        rounds: Number of rounds.
        claims: Most claims that are taken.
        words: Most words that are shown.
        lists: Event lists of P1 and P2.
        turns: Earlier speeches that it may see.
        repeat: Number of the repetition, so that repeated answers are distinct.
    """

    instruction: str
    question: str
    argue_for: Name | None
    round: int
    rounds: int
    claims: int
    words: int
    lists: tuple[EventList, EventList]
    turns: tuple[Turn, ...]
    repeat: int


class ShownClaim(Message):
    """A claim as a judge sees it.

    Attributes:
        text: The claim in our words.
        check: What became of it.
        favours: Recording that it speaks for; None if it is off the question.
    """

    text: str
    check: Check
    favours: Name | None


class ShownTurn(Message):
    """A speech as a judge sees it; `argument` is empty where the protocol shows claims alone."""

    speaker: Name
    round: int
    argument: str
    claims: tuple[ShownClaim, ...]


class JudgeRequest(Message):
    """What a judge is asked.

    Attributes:
        instruction: The task, as its player was given it.
        question: Question about the pair.
        form: Form of the protocol.
        frames: Frames that are shown.
        lists: Event lists of P1 and P2; None where the judge is not given them.
        look: Chance that P1 is better by the judge's own look at the frames; None where it has none of its own.
        turns: What the debaters said.
        chosen: Recording that the first debater chose in an open protocol.
        nonce: Text that no debater knows; a verdict is valid only with it.
        repeat: Number of the repetition.
    """

    instruction: str
    question: str
    form: Form
    frames: tuple[FrameRef, ...]
    lists: tuple[EventList, EventList] | None
    look: float | None
    turns: tuple[ShownTurn, ...]
    chosen: Name | None
    nonce: str
    repeat: int


class Ruling(Message):
    """A judge's answer.

    Attributes:
        first: Chance that P1 is better; None if the answer could not be read.
        reply: The answer as it came, for the record.
        tokens_in: Tokens of the request; None if unknown.
        tokens_out: Tokens of the answer; None if unknown.
        cost: Price; None if unknown.
    """

    first: Annotated[float, Field(ge=0, le=1)] | None
    reply: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None


def name_of(side: Side, first: Side) -> Name:
    """Return what a side is called where `first` is shown first."""
    return "P1" if side == first else "P2"


def side_of(name: Name, first: Side) -> Side:
    """Return the side with a name where `first` is shown first."""
    return SIDES[(name == "P2") != (first == "right")]
