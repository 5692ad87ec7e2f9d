"""Answers of the published evaluation (BEDD, 2023), read from `human_answers.json`.

The file is a JSON list, newest first, of one object per answer; `banned_workers.json` is a list of objects
with `workerId`. Fields that the published importer needs are required; others are optional, and unknown
ones are ignored. Field names are the files' own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from basalt.core.comparisons import Winner
from basalt.core.tasks import TASKS, Task
from basalt.io.errors import StudyError, problem_list
from basalt.io.untrusted import parse_json, read_bounded

SHOWN_FAULTS = 20
"""Maximum number of a file's faults that are listed; the others are counted."""

_TASKS = {
    name: task
    for task in TASKS.values()
    for name in (task.name, task.env_id, f"MineRLBasalt{task.env_id}-v0")
}


MAX_BYTES = 32 * 2**20
"""Largest file of answers or banned workers that is read."""


class BeddError(StudyError):
    """A file of answers or banned workers that cannot be imported."""


def _unpacked(value: Any) -> Any:
    """Decode an object that the published server packs into a JSON string once or twice."""
    for _ in range(2):
        if isinstance(value, str):
            value = parse_json(value)
    return value


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]
"""A time in UTC; one without a zone is taken as UTC."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class BeddDirectAnswer(_Part):
    """A yes-or-no question about each player."""

    question: str
    player_1: bool = False
    player_2: bool = False


class BeddComparativeAnswer(_Part):
    """Which player did better at one thing; `na` or empty means no answer."""

    question: str
    answer: Literal["p1", "p2", "draw", "na", ""] = "na"


class BeddResponses(_Part):
    """Answers to the task's questions, and the rater's reason."""

    direct_question: tuple[BeddDirectAnswer, ...] = ()
    comparisons: tuple[BeddComparativeAnswer, ...] = ()
    justificationText: str = ""  # noqa: N815 (the file's name)


class EvalMetadata(_Part):
    """Data sent by the rater's page. Times are Unix milliseconds by the rater's clock."""

    win_player: Literal["p1", "p2", "draw", "na"]
    responses: BeddResponses = BeddResponses()
    start_time: int | None = None
    end_time: int | None = None
    VIDEO_EVENTS: tuple[dict[str, Any], ...] = ()


class Result(_Part):
    """The overall answer."""

    is_draw: StrictBool
    eval_metadata: Annotated[EvalMetadata, BeforeValidator(_unpacked)]

    @model_validator(mode="after")
    def _decided(self) -> "Result":
        if not self.is_draw and self.eval_metadata.win_player not in ("p1", "p2"):
            raise ValueError(
                f"win_player is {self.eval_metadata.win_player!r} although is_draw is false"
            )
        return self


class BeddEpisode(_Part):
    """One of the two videos; only the first needs a seed, as in the published importer."""

    agent_name: str = Field(min_length=1)
    seed: Annotated[str | None, Field(pattern=r"^\d{1,18}$")] = None


class BeddAnswer(_Part):
    """One element of `human_answers.json`.

    Attributes:
        worker_id: Crowd worker who answered.
        task: Name of the task, in any of its forms.
        episodes: Left (p1) and right (p2) episode.
        result: Answer.
        hash: Id of the match, if the file has one.
        created_at: Time when the match was made, by the server's clock, UTC.
        updated_at: Time when it was answered, by the server's clock, UTC.
        world: World of the episodes; only our own exports have it.
        world_version: Version of that world.
    """

    worker_id: str = Field(min_length=1)
    task: str
    episodes: tuple[BeddEpisode, BeddEpisode]
    result: Result
    hash: str | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    world: str | None = None
    world_version: str | None = None

    @field_validator("task")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _TASKS:
            known = ", ".join(task.env_id for task in TASKS.values())
            raise ValueError(f"expected one of {known}, got {value!r}")
        return value

    @model_validator(mode="after")
    def _a_pair(self) -> "BeddAnswer":
        left, right = self.episodes
        if left.seed is None:
            raise ValueError("episodes.0.seed is missing")
        if right.seed is not None and right.seed != left.seed:
            raise ValueError(f"expected episodes of one seed, got {left.seed} and {right.seed}")
        if left.agent_name == right.agent_name:
            raise ValueError(f"both episodes are by {left.agent_name!r}")
        if self.moment is None and self.result.eval_metadata.end_time is not None:
            raise ValueError("result.eval_metadata.end_time is not a valid time in milliseconds")
        return self

    @property
    def basalt_task(self) -> Task:
        """The task."""
        return _TASKS[self.task]

    @property
    def seed(self) -> int:
        """The seed of both episodes."""
        return int(self.episodes[0].seed or 0)

    @property
    def winner(self) -> Winner:
        """Side that did better; `is_draw` overrides the named player, as in the published importer."""
        if self.result.is_draw:
            return "draw"
        return "left" if self.result.eval_metadata.win_player == "p1" else "right"

    @property
    def moment(self) -> datetime | None:
        """Time of the answer by the most reliable clock in the file, UTC; None if there is none."""
        if self.updated_at is not None:
            return self.updated_at
        end = self.result.eval_metadata.end_time
        if end is not None:
            try:
                return datetime.fromtimestamp(end / 1000, UTC)
            except (OverflowError, ValueError, OSError):
                return None
        return self.created_at

    @property
    def seconds(self) -> float | None:
        """Seconds that the rater took; None if unknown."""
        data = self.result.eval_metadata
        if data.start_time is None or data.end_time is None or data.end_time < data.start_time:
            return None
        return (data.end_time - data.start_time) / 1000


def read_answers(path: Path) -> list[BeddAnswer]:
    """The answers of a file, oldest first (the file's order is reversed).

    Raises:
        BeddError: The file does not exist, is not JSON, or has answers that are not valid; all are listed.
    """
    answers: list[BeddAnswer] = []
    faults: list[str] = []
    for number, item in enumerate(_json_list(path), start=1):
        try:
            answers.append(BeddAnswer.model_validate(item))
        except ValidationError as err:
            faults += [f"answer {number}: {_fault(error)}" for error in err.errors()]
    counts = Counter(one.hash for one in answers if one.hash is not None)
    faults += [f"{times} answers have the hash {key}" for key, times in counts.items() if times > 1]
    versions = {(one.basalt_task.name, one.world_version) for one in answers}
    if len({one.world for one in answers}) > 1 or len(versions) > len(dict(versions)):
        faults.append(
            "the answers are about several worlds, or several versions of a task's world; import each on its own"
        )
    if not answers and not faults:
        faults.append("holds no answers")
    if faults:
        raise BeddError(problem_list(f"{path}: nothing was imported", faults, SHOWN_FAULTS))
    return answers[::-1]


def read_banned(path: Path) -> set[str]:
    """Ids of the banned workers.

    Raises:
        BeddError: The file does not exist, is not JSON, or has an element without `workerId`.
    """
    banned = set()
    for number, item in enumerate(_json_list(path), start=1):
        worker = item.get("workerId") if isinstance(item, dict) else None
        if not isinstance(worker, str) or not worker:
            raise BeddError(f"{path}: element {number} has no workerId")
        banned.add(worker)
    return banned


def answer_keys(answers: Sequence[BeddAnswer]) -> list[str]:
    """A key per answer that is the same at every import: its hash, or else its content.

    Equal answers without a hash are numbered, oldest first.
    """
    seen: Counter[str] = Counter()
    keys = []
    for one in answers:
        if one.hash is not None:
            keys.append(f"hash {one.hash}")
            continue
        content = json.dumps(one.model_dump(mode="json"), sort_keys=True)
        digest = sha256(content.encode()).hexdigest()
        seen[digest] += 1
        keys.append(f"content {digest} {seen[digest]}")
    return keys


def _json_list(path: Path) -> list[Any]:
    try:
        text = read_bounded(path, MAX_BYTES).decode()
        data = json.loads(text, parse_constant=_refused)
    except OSError as err:
        raise BeddError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, RecursionError) as err:
        raise BeddError(f"{path}: expected a JSON file ({err})") from err
    if "\\u0000" in text:
        raise BeddError(f"{path}: a text contains a NUL character (\\u0000); remove it")
    if not isinstance(data, list):
        raise BeddError(f"{path}: expected a JSON list")
    return data


def _refused(constant: str) -> None:
    # Python reads NaN and Infinity; JSON and PostgreSQL have neither.
    raise ValueError(f"{constant} is not valid JSON")


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
