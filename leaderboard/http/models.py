"""What the HTTP API takes and gives, as pydantic models; OpenAPI is made from them."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from basalt.core.comparisons import Winner
from basalt.core.tasks import TASKS
from leaderboard.judging.judgments import MAX_EVENTS, MAX_TEXT
from leaderboard.judging.raters import State

Number = Annotated[
    float | None, AfterValidator(lambda one: None if one is None or math.isnan(one) else one)
]
"""A float of which JSON knows no NaN: null instead."""


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Given(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class JoinRequest(_Taken):
    """How a rater joins; see :func:`leaderboard.judging.raters.join`."""

    invite: str | None = Field(None, max_length=100, description="token of an invite")
    consent: bool = Field(False, description="whether the rater agreed to the study's text")
    name: str | None = Field(None, max_length=100, description="for the admin's list; optional")
    platform: str | None = Field(None, max_length=20, description="prolific, mturk or other")
    participant: str | None = Field(None, max_length=100, description="the platform's id of them")


_QUESTIONS = frozenset(
    question
    for task in TASKS.values()
    for question in (*task.questions.direct, *task.questions.comparative)
)


def _official(question: str) -> str:
    if question not in _QUESTIONS:
        raise ValueError("not one of the tasks' questions")
    return question


Question = Annotated[str, Field(max_length=500), AfterValidator(_official)]
"""One of the tasks' own questions, word for word, as a study's details give them."""


class DirectAnswer(_Taken):
    """Whether each player did it; null where it was left open."""

    question: Question
    left: bool | None
    right: bool | None


class ComparativeAnswer(_Taken):
    """Which player it was; ``na`` where it does not apply, null where it was left open."""

    question: Question
    answer: Literal["left", "draw", "right", "na"] | None


class Responses(_Taken):
    """Answers to the task's own questions: of fixed forms, so that nobody's words are among them."""

    direct: list[DirectAnswer] = Field(default_factory=list, max_length=50)
    comparative: list[ComparativeAnswer] = Field(default_factory=list, max_length=50)


class AnswerRequest(_Taken):
    """An answer to a reserved pair; see :func:`leaderboard.judging.judgments.answer_pair`."""

    pair: str = Field(max_length=64, description="as served")
    winner: Winner
    justification: str = Field("", max_length=MAX_TEXT)
    responses: Responses | None = Field(None, description="to the task's questions")
    video_events: list[Any] = Field(default_factory=list, max_length=MAX_EVENTS)
    watched_left: float | None = Field(None, ge=0, le=1, description="share of it that was played")
    watched_right: float | None = Field(None, ge=0, le=1)


class LoginRequest(_Taken):
    """An admin's name and password."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=1000)


class Reason(_Taken):
    """Why an admin does something; kept with the event."""

    reason: str = Field(min_length=1, max_length=500)


class StudySummary(_Given):
    """A study in the list."""

    name: str
    world: str
    world_version: str
    tasks: list[str]
    takes_people: bool = Field(description="whether people judge in it")
    open_signup: bool


class Questions(_Given):
    """A task's text and its official questions."""

    title: str
    instruction: str
    direct: list[str] = Field(description="asked of each player")
    comparative: list[str] = Field(description="which player ...?")


class StudyDetails(StudySummary):
    """What raters are told and asked; see :class:`leaderboard.studies.settings.JudgingSettings`."""

    consent: str
    instructions: str
    qualification_pairs: int
    watch_share: float
    reason_characters: int
    undo_seconds: int
    questions: dict[str, Questions] = Field(description="by task")


class Joined(_Given):
    """A rater's secret, to be sent as bearer token, and standing."""

    secret: str
    rater: str = Field(description="pseudonym in exports")
    state: State


class Me(_Given):
    """Where a rater stands; see :class:`leaderboard.judging.raters.RaterStatus`."""

    rater: str
    state: State
    done: int
    total: int
    qualification_answered: int
    qualification_pairs: int
    undoable_until: datetime | None
    completion_code: str | None
    completion_url: str | None


class Pair(_Given):
    """A reserved pair: nothing tells who played."""

    pair: str
    task: str
    steps_left: int = Field(description="length in steps of 50 ms")
    steps_right: int
    left: str = Field(description="address of the video, from the server's root")
    right: str
    expires: datetime
    qualification: bool


class Feedback(_Given):
    """Told after an answer of the qualification."""

    right: bool
    expected: str
    explanation: str


class Answered(_Given):
    """A stored answer."""

    answer: str
    feedback: Feedback | None


class LoggedIn(_Given):
    """An admin's session."""

    secret: str


class Share(_Given):
    """A share with its 95 % interval; null of nothing."""

    share: Number
    low: float
    high: float
    count: int


class Quality(_Given):
    """See :class:`leaderboard.judging.quality.StudyQuality`."""

    judgments: int
    raters: int
    shared_pairs: int
    alpha: Number
    left: Share
    longer: Share
    repeated: Share
