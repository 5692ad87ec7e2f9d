"""Requests and responses of the HTTP API as pydantic models; OpenAPI is made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from basalt.core.comparisons import Strength, Winner
from basalt.core.tasks import TASKS
from basalt.io.untrusted import unfit
from leaderboard.judging.judgments import MAX_EVENTS, MAX_TEXT, AnswerRefusedError, Feedback
from leaderboard.judging.participants import Platform
from leaderboard.judging.raters import State
from leaderboard.store.models import SkipReason
from leaderboard.studies.settings import Outcome, OwnQuestions


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        if fault := unfit(value):
            raise ValueError(fault)
        return value


class _Given(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class JoinRequest(_Taken):
    """How a rater joins, see `leaderboard.judging.raters.join`."""

    invite: str | None = Field(None, max_length=100, description="token of an invite")
    consent: bool = Field(False, description="whether the rater agreed to the consent text")
    name: str | None = Field(None, max_length=100, description="for the admin's list; optional")
    platform: Platform | None = None
    participant: str | None = Field(
        None, max_length=100, description="the person's id on the platform"
    )
    platform_study: str | None = Field(None, max_length=100, description="STUDY_ID, hitId")
    platform_session: str | None = Field(
        None, max_length=100, description="SESSION_ID, assignmentId"
    )
    signature: str | None = Field(
        None, max_length=100, description="of the participant's id, where the study requires it"
    )


Question = Annotated[str, Field(max_length=500)]
"""One of the study's questions, word for word as in its details; `known_questions` holds them against the study."""


class DirectAnswer(_Taken):
    """Whether each player did it; null if left open."""

    question: Question
    left: bool | None
    right: bool | None


class ComparativeAnswer(_Taken):
    """Which player it was; `na` if it does not apply, null if left open."""

    question: Question
    answer: Literal["left", "draw", "right", "na"] | None


class Responses(_Taken):
    """Answers to the task's questions, in fixed forms so that they contain no free text."""

    direct: list[DirectAnswer] = Field(default_factory=list, max_length=50)
    comparative: list[ComparativeAnswer] = Field(default_factory=list, max_length=50)


_OFFICIAL = frozenset(
    question
    for task in TASKS.values()
    for question in (*task.questions.direct, *task.questions.comparative)
)


def require_known_questions(responses: Responses, own: OwnQuestions | None) -> None:
    """Refuse answers to other questions than the tasks' and the study's own: they would be free texts.

    Args:
        responses: Answers of a rater.
        own: The study's own questions.

    Raises:
        AnswerRefusedError: A question is another text.
    """
    known = _OFFICIAL | ({*own.direct, *own.comparative} if own else set())
    direct = [one.question for one in responses.direct]
    for question in (*direct, *(one.question for one in responses.comparative)):
        if question not in known:
            raise AnswerRefusedError(
                "question: expected one of the study's questions, word for word"
            )


class AnswerRequest(_Taken):
    """An answer to a reserved pair, see `leaderboard.judging.judgments.answer_pair`."""

    pair: str = Field(max_length=64, description="id of the served pair")
    winner: Winner
    skip_reason: SkipReason | None = Field(None, description="why, with the winner `skip`")
    strength: Strength | None = Field(
        None, description="how much better the winner is, where the study's scale is `strength`"
    )
    justification: str = Field("", max_length=MAX_TEXT)
    responses: Responses | None = Field(None, description="answers to the task's questions")
    video_events: list[Any] = Field(default_factory=list, max_length=MAX_EVENTS)
    watched_left: float | None = Field(
        None, ge=0, le=1, description="share of the video that was played"
    )
    watched_right: float | None = Field(None, ge=0, le=1)


class LoginRequest(_Taken):
    """An admin's name and password."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=1000)


class Reason(_Taken):
    """Reason for an admin's action; stored with the audit event."""

    reason: str = Field(min_length=1, max_length=500)


class Refusal(_Given):
    """Why a request is refused."""

    detail: str


class StudySummary(_Given):
    """A study in the list."""

    name: str
    world: str
    world_version: str
    tasks: list[str]
    takes_people: bool = Field(description="whether the study accepts judgments by people")
    open_signup: bool


class TaskQuestions(_Given):
    """A task's text and its official questions."""

    title: str
    instruction: str
    direct: list[str] = Field(description="questions about each player")
    comparative: list[str] = Field(description="questions that compare the players")


class StudyDetails(StudySummary):
    """Instructions, consent text and questions, see `leaderboard.studies.settings.JudgingSettings`."""

    consent: str
    instructions: str
    qualification_pairs: int
    watch_share: float
    reason_characters: int
    scale: Literal["side", "strength"]
    undo_seconds: int
    questions: dict[str, TaskQuestions] = Field(description="by task")


class Joined(_Given):
    """A rater's secret, to be sent as bearer token, and state."""

    secret: str
    rater: str = Field(description="pseudonym, as in exports")
    state: State


class Me(_Given):
    """State and progress of a rater, see `leaderboard.judging.raters.RaterStatus`."""

    rater: str
    state: State
    done: int = Field(description="pairs judged; skipped ones do not count")
    total: int
    skipped: int
    skips_left: int | None = Field(
        description="pairs that may still be skipped; null for any number"
    )
    qualification_answered: int
    qualification_pairs: int
    undoable_until: datetime | None
    held: bool = Field(description="held for review: no completion code yet")
    outcome: Outcome | None = Field(
        description="how the study ended for the rater; null if it has not"
    )
    completion_code: str | None = Field(description="code of that outcome")
    completion_url: str | None = Field(description="address to return to, with the code")


class Pair(_Given):
    """A reserved pair; it does not reveal who played."""

    pair: str
    task: str
    steps_left: int = Field(description="length in steps of 50 ms")
    steps_right: int
    left: str = Field(description="link to the video, relative to the server's root")
    right: str
    expires: datetime
    qualification: bool


class Answered(_Given):
    """A stored answer."""

    answer: str
    feedback: Feedback | None


class LoggedIn(_Given):
    """An admin's session."""

    secret: str
