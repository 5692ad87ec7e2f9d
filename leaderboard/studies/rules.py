"""The rules of a study: what is compared, in which world, on which seeds, judged by whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from basalt.core.comparisons import Source
from basalt.core.tasks import TASKS, get_task
from basalt.io.errors import StudyError
from leaderboard.store.database import Store, StoreError
from leaderboard.store.models import SOURCES, Study

DEMO_STEP_LIMIT = 400
"""Steps after which the demo cuts an episode: 20 seconds of play, so that it ends in minutes."""

RESERVE_MINUTES = 30
"""How long a pair stays reserved for a rater, as in the BEDD study."""

OFFICIAL = "official"
"""What `--study` calls the study of the official seeds in the recordings' world."""


Version = Annotated[str, Field(min_length=1)]


class TaskRules(BaseModel):
    """What a submission must bring for one task: exactly one recording a seed.

    Attributes:
        seeds: the episodes' seeds.
        step_limit: the limit they are played under, in steps of 50 ms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: tuple[int, ...] = Field(min_length=1)
    step_limit: int = Field(gt=0)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is named twice")
        if min(seeds) < 0 or max(seeds) >= 2**63:
            raise ValueError("seeds are whole numbers from 0 to 2**63 - 1")
        return seeds


class StudyRules(BaseModel):
    """The rules of a study, kept with it. One world in one version: worlds are never mixed.

    Attributes:
        world: name of the world in which the episodes were played.
        world_version: its version, or that of each task whose version is known; the first submission of another
            task decides its version.
        tasks: rules of each task by its name; a submission covers one task or more, each whole.
        ask_questions: whether raters are also asked the tasks' own questions (all optional).
        sources: who may judge.
        reserve_minutes: how long a pair stays reserved for a rater.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    world: str = Field(min_length=1)
    world_version: Version | dict[str, Version]
    tasks: dict[str, TaskRules] = Field(min_length=1)
    ask_questions: bool = False
    sources: tuple[Source, ...] = SOURCES
    reserve_minutes: int = Field(default=RESERVE_MINUTES, gt=0)

    def version_of(self, task: str) -> str | None:
        """Return the version of a task's world, None where no submission has decided it yet."""
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
    """Rules of a small study of one's own.

    Args:
        seeds: the seeds of each task by the task's name.
        world: the world's name, e.g. ``luanti``.
        world_version: its version as the recordings give it, for all tasks or by task.
        step_limit: where episodes are cut, in steps.
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


@dataclass(frozen=True)
class StudyInfo:
    """A study as stored.

    Attributes:
        id: its opaque id.
        name: its unique name.
        rules: its rules.
        created: when, UTC.
    """

    id: str
    name: str
    rules: StudyRules
    created: datetime


def create_study(store: Store, name: str, rules: StudyRules) -> StudyInfo:
    """Add a study.

    Raises:
        StudyError: the name is taken or cannot be shown.
    """
    name = checked_name(name, "study name")
    with store.write() as session:
        if session.scalar(sa.select(Study.id).where(Study.name == name)):
            raise StudyError(f"study {name!r} exists already; choose another name")
        study = Study(name=name, rules=rules.model_dump(mode="json"), created=datetime.now(UTC))
        session.add(study)
        session.flush()
        return _info(study)


def decide_versions(store: Store, study: StudyInfo, versions: Mapping[str, str]) -> StudyInfo:
    """Write down the versions of tasks whose version no submission has decided yet."""
    known = study.rules.world_version
    if isinstance(known, str) or versions.keys() <= known.keys():
        return study
    rules = study.rules.model_copy(update={"world_version": {**versions, **known}})
    with store.write() as session:
        row = session.get_one(Study, study.id)
        row.rules = rules.model_dump(mode="json")
        return _info(row)


def free_study_name(store: Store, name: str) -> str:
    """``name`` if no study has it yet, else ``name 2``, ``name 3``, ..."""
    taken = {study.name for study in list_studies(store)}
    candidates = [name, *(f"{name} {number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def list_studies(store: Store) -> list[StudyInfo]:
    """All studies, the newest first."""
    with store.read() as session:
        return [
            _info(row) for row in session.scalars(sa.select(Study).order_by(Study.created.desc()))
        ]


def find_study(store: Store, name: str | None = None) -> StudyInfo:
    """The study of that name, or the newest one.

    Raises:
        StudyError: there is none; the message lists those there are.
    """
    studies = list_studies(store)
    if not studies:
        raise StudyError(f"{store.url}: holds no study yet; `make demo` makes one")
    if name is None:
        return studies[0]
    for study in studies:
        if study.name == name:
            return study
    names = ", ".join(repr(study.name) for study in studies)
    raise StudyError(f"no study is named {name!r}; there are: {names}")


def get_study(store: Store, study_id: str) -> StudyInfo:
    """The study with that id.

    Raises:
        StudyError: there is none.
    """
    with store.read() as session:
        study = session.get(Study, study_id)
        if study is None:
            raise StudyError(f"no study has the id {study_id}")
        return _info(study)


def checked_name(name: str, what: str) -> str:
    """A name that can be shown to people, without outer blanks.

    Raises:
        StudyError: empty, longer than 64 characters, or with characters that do not print.
    """
    name = name.strip()
    if not name or len(name) > 64:
        raise StudyError(f"{what} {name[:80]!r}: needs 1 to 64 characters")
    if not name.isprintable():
        raise StudyError(f"{what} {name!r}: has characters that cannot be printed")
    return name


def _info(study: Study) -> StudyInfo:
    try:
        rules = StudyRules.model_validate(study.rules)
    except ValidationError as err:
        raise StoreError(
            f"study {study.name!r}: its rules are not of this version "
            f"({err.errors()[0]['msg']}); pip install --upgrade basalt-benchmark"
        ) from err
    return StudyInfo(study.id, study.name, rules, study.created)
