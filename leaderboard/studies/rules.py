"""The rules of a study: what is compared, in which world, on which seeds, judged by whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.orm import Session

from basalt.core.comparisons import Source
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import StudyError
from leaderboard.store.database import Store, StoreError
from leaderboard.store.models import SOURCES, Study

DEMO_STEP_LIMIT = 400
"""Step limit of the demo's episodes: 20 seconds of play, so that the demo takes minutes."""

RESERVE_MINUTES = 30
"""Minutes that a pair stays reserved for a rater, as in the BEDD study."""

DELETED = "deleted:"
"""Prefix of the value that replaces the name of a deleted study, which no page or command shows."""

OFFICIAL = "official"
"""Value of `--study` for the study of the official seeds in the recordings' world."""


Version = Annotated[str, Field(min_length=1)]


class TaskRules(BaseModel):
    """Contents of a submission for one task: exactly one recording per seed.

    Attributes:
        seeds: Seeds of the episodes.
        step_limit: Step limit of the episodes, in steps of 50 ms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: tuple[int, ...] = Field(min_length=1)
    step_limit: int = Field(gt=0)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("expected distinct seeds, got one twice")
        if min(seeds) < 0 or max(seeds) >= 2**63:
            raise ValueError("expected seeds from 0 to 2**63 - 1")
        return seeds


class StudyRules(BaseModel):
    """The rules of a study, stored with it. Episodes of different worlds are never mixed.

    Attributes:
        world: Name of the world in which the episodes were played.
        world_version: Version of the world, or by task the versions that are known; the first submission
            for another task sets its version.
        tasks: Rules by task; a submission covers one task or more, each completely.
        ask_questions: Whether raters are also asked the tasks' questions (all optional).
        sources: Sources whose judgments are accepted.
        reserve_minutes: Minutes that a pair stays reserved for a rater.
        clips: Whether raters compare clips that `basalt feedback ask` queued, in place of submitted episodes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    world: str = Field(min_length=1)
    world_version: Version | dict[str, Version]
    tasks: dict[str, TaskRules] = Field(min_length=1)
    ask_questions: bool = False
    sources: tuple[Source, ...] = SOURCES
    reserve_minutes: int = Field(default=RESERVE_MINUTES, gt=0)
    clips: bool = False

    def version_of(self, task: str) -> str | None:
        """The version of a task's world; None if no submission has set it yet."""
        version = self.world_version
        return version if isinstance(version, str) else version.get(task)

    @property
    def version_text(self) -> str:
        """The version, or those of the tasks joined by ", "."""
        version = self.world_version
        return version if isinstance(version, str) else ", ".join(sorted(set(version.values())))

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: dict[str, TaskRules]) -> dict[str, TaskRules]:
        for name in tasks:
            if name not in TASKS:
                raise ValueError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
        return tasks


def demo_study(
    seeds: Mapping[str, Sequence[int]],
    world: str,
    world_version: str | Mapping[str, str],
    *,
    step_limit: int = DEMO_STEP_LIMIT,
) -> StudyRules:
    """Rules of a small study.

    Args:
        seeds: Seeds by name of the task.
        world: Name of the world, e.g. `luanti`.
        world_version: Version of the world as in the recordings, for all tasks or by task.
        step_limit: Step limit of the episodes.
    """
    return StudyRules(
        world=world,
        world_version=world_version if isinstance(world_version, str) else dict(world_version),
        tasks={
            get_task(task).name: TaskRules(seeds=tuple(numbers), step_limit=step_limit)
            for task, numbers in seeds.items()
        },
    )


def official_study(world: str, world_version: str | Mapping[str, str]) -> StudyRules:
    """Rules of the BASALT evaluation: each task's official seeds at full length, with all questions."""
    return StudyRules(
        world=world,
        world_version=world_version if isinstance(world_version, str) else dict(world_version),
        tasks={
            task.name: TaskRules(seeds=task.official_seeds, step_limit=task.step_limit)
            for task in TASKS.values()
            if task.official_seeds
        },
        ask_questions=True,
    )


CLIP_MINUTES = 10
"""Minutes that a pair of clips stays reserved for a rater: a clip takes seconds, and the next pair is reserved, too."""


def clip_study(
    task: str, seeds: Sequence[int], step_limit: int, world: str, world_version: str
) -> StudyRules:
    """Rules of a study of clips.

    Args:
        task: Name of the task.
        seeds: Seeds of the first episodes that clips were taken from; later ones may have others.
        step_limit: Step limit of those episodes.
        world: Name of the world.
        world_version: Version of the world.
    """
    return StudyRules(
        world=world,
        world_version=world_version,
        tasks={task: TaskRules(seeds=tuple(sorted(set(seeds))), step_limit=step_limit)},
        sources=("human",),
        reserve_minutes=CLIP_MINUTES,
        clips=True,
    )


def is_official(rules: StudyRules, official: StudyRules, versions: Mapping[str, str]) -> bool:
    """Whether a study's rules are the official ones for the tasks to be submitted, whatever its name.

    Args:
        rules: Rules of the study; its other tasks do not count.
        official: Rules from `official_study`.
        versions: Version of the world by task, of the tasks that are to be submitted.
    """
    fixed = {"world", "ask_questions", "sources"}
    return rules.model_dump(include=fixed) == official.model_dump(include=fixed) and all(
        rules.version_of(task) in (None, version)
        and rules.tasks.get(task) == official.tasks.get(task)
        for task, version in versions.items()
    )


@dataclass(frozen=True)
class StudyInfo:
    """A study as stored.

    Attributes:
        id: Opaque id.
        name: Unique name.
        rules: Rules of the study.
        created: Time when it was made, UTC.
    """

    id: str
    name: str
    rules: StudyRules
    created: datetime


def add_study(session: Session, name: str, rules: StudyRules) -> Study:
    """Add a study under a valid and free name, within a transaction."""
    study = Study(name=name, rules=rules.model_dump(mode="json"), created=datetime.now(UTC))
    session.add(study)
    session.flush()
    return study


def create_study(store: Store, name: str, rules: StudyRules) -> StudyInfo:
    """Add a study.

    Raises:
        StudyError: The name is taken or not valid.
    """
    name = checked_name(name, "study name")
    if name.startswith(DELETED):
        raise StudyError(f"study name: expected another beginning than {DELETED!r}")
    with store.write() as session:
        if session.scalar(sa.select(Study.id).where(Study.name == name)):
            raise StudyError(f"study {name!r} exists already; choose another name")
        study = add_study(session, name, rules)
        return _info(study)


def decide_versions(session: Session, study: StudyInfo, versions: Mapping[str, str]) -> StudyInfo:
    """Store the versions of tasks whose version is not set yet, within a transaction that holds the study.

    Args:
        session: Transaction that has called `lock_study`.
        study: Study of the tasks.
        versions: Version of the world by task.

    Raises:
        StudyError: A task's version was set to another one since the study was read.
    """
    row = session.get_one(Study, study.id, populate_existing=True)
    rules = StudyRules.model_validate(row.rules)
    for task, version in versions.items():
        if (known := rules.version_of(task) or version) != version:
            raise StudyError(
                f"study {study.name!r}: the version of {task} was set to {known} by another submission, "
                f"these recordings are of {version}; play it in that version"
            )
    if not isinstance(rules.world_version, str):
        decided = {**versions, **rules.world_version}
        row.rules = rules.model_copy(update={"world_version": decided}).model_dump(mode="json")
    return _info(row)


def lock_study(session: Session, study: StudyInfo) -> None:
    """Hold the study until the transaction ends; others that call this wait."""
    # On PostgreSQL the row's lock; SQLite's write transaction already keeps others out.
    session.execute(sa.select(Study.id).where(Study.id == study.id).with_for_update())


def free_study_name(store: Store, name: str) -> str:
    """`name` if no study has it yet, otherwise `name 2`, `name 3`, ..."""
    taken = {study.name for study in list_studies(store)}
    candidates = [name, *(f"{name} {number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def list_studies(store: Store) -> list[StudyInfo]:
    """All studies, the newest first, without deleted ones."""
    with store.read() as session:
        found = sa.select(Study).where(Study.name.not_like(f"{DELETED}%"))
        return [_info(row) for row in session.scalars(found.order_by(Study.created.desc()))]


def find_study(store: Store, name: str | None = None) -> StudyInfo:
    """The study of that name, or the newest one; one of clips only where there is no other.

    Raises:
        StudyError: There is no such study; the message lists the existing ones.
    """
    studies = list_studies(store)
    if not studies:
        raise StudyError(f"{store.url}: has no studies yet; run `make demo` to make one")
    if name is None:
        return next((study for study in studies if not study.rules.clips), studies[0])
    for study in studies:
        if study.name == name:
            return study
    names = ", ".join(repr(study.name) for study in studies)
    raise StudyError(f"there is no study named {name!r}; there are: {names}")


def get_study(store: Store, study_id: str) -> StudyInfo:
    """The study with that id.

    Raises:
        StudyError: There is no such study.
    """
    with store.read() as session:
        return read_study(session, study_id)


def read_study(session: Session, study_id: str) -> StudyInfo:
    """The study with that id, within a transaction.

    Raises:
        StudyError: There is no such study.
    """
    study = session.get(Study, study_id)
    if study is None:
        raise StudyError(f"there is no study with the id {study_id}")
    return _info(study)


def checked_name(name: str, what: str) -> str:
    """A valid name, without leading and trailing blanks.

    Raises:
        StudyError: The name is empty, longer than 64 characters, or not printable.
    """
    name = name.strip()
    if not name or len(name) > 64:
        raise StudyError(f"{what}: expected 1 to 64 characters, got {name[:80]!r}")
    if not name.isprintable():
        raise StudyError(f"{what} {name!r}: contains characters that cannot be printed")
    return name


def _info(study: Study) -> StudyInfo:
    try:
        rules = StudyRules.model_validate(study.rules)
    except ValidationError as err:
        raise StoreError(
            f"study {study.name!r}: this version cannot read its rules "
            f"({err.errors()[0]['msg']}); run: pip install --upgrade basalt-benchmark"
        ) from err
    return StudyInfo(study.id, study.name, rules, study.created)
