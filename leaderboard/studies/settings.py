"""How a study is judged: who may join, what raters read and answer, how they are checked.

Unlike a study's rules (`leaderboard.studies.rules.StudyRules`), settings may change while the study runs.
Each change is an audit event, so the settings of any time are known.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.orm import Session

from basalt.core.records import first_fault
from basalt.core.tasks import Questions, get_task
from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import Event
from leaderboard.studies.access import AdminIdentity, changes, command_line_admin, hash_secret
from leaderboard.studies.events import add_event
from leaderboard.studies.rules import (
    OFFICIAL,
    StudyInfo,
    create_study,
    decide_versions,
    free_study_name,
    is_official,
    list_studies,
    lock_study,
    official_study,
)

CheckKind = Literal["gold", "repeat", "self"]

Outcome = Literal["completed", "screened_out", "failed_checks", "no_consent", "closed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""Ways in which a study ends for a person: all pairs judged; the qualification failed; banned; no consent given; the
study full, paused or ended."""

PROLIFIC_RETURN = "https://app.prolific.com/submissions/complete?cc={code}"
"""Address to which Prolific's participants return, by Prolific's documentation; not tried on the live service."""

_CODE = r"^[A-Za-z0-9_-]*$"
_ADDRESS = r"^(https://\S+)?$"
_LINE = r"^[^\x00-\x1f]*$"


class Ending(BaseModel):
    """What a person gets at the end of a study, for a crowd platform.

    Attributes:
        code: The platform's code of this outcome; empty for none.
        url: Address to return to, with `{code}`; empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(default="", max_length=100, pattern=_CODE)
    url: str = Field(default="", max_length=500, pattern=_ADDRESS)

    @property
    def address(self) -> str:
        """The address with the code filled in; empty for none."""
        return self.url.replace("{code}", self.code)


OneQuestion = Annotated[str, Field(min_length=1, max_length=300, pattern=_LINE)]


class OwnQuestions(BaseModel):
    """A study's own questions, which all are optional for raters.

    Attributes:
        direct: Questions who did something: left, both, right or neither.
        comparative: Questions who did better at something: left, draw, right or not applicable.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    direct: tuple[OneQuestion, ...] = Field(default=(), max_length=20)
    comparative: tuple[OneQuestion, ...] = Field(default=(), max_length=20)


class JudgingSettings(BaseModel):
    """The settings of a study.

    Attributes:
        open_signup: Whether anybody may judge; otherwise an invite is required.
        signed_ids: Whether a participant's id counts only with the signature that a personal link has
            (`leaderboard.judging.participants`); otherwise anyone who knows an id can pose as that participant.
        title: Name of the study as raters see it; empty shows none.
        organiser: Person or institution that runs the study, for raters; empty shows none.
        contact: How raters reach the organiser, e.g. an e-mail address; empty shows none.
        minutes: Expected time of a rater in the whole study, in minutes, which raters see; None shows none.
        pay: What a rater gets, in words; empty shows none.
        consent: Text that a rater must agree to first; empty for none. Raters are asked again when it
            changes.
        instructions: Instructions for raters in Markdown; empty for the app's own.
        qualification_pairs: Number of gold pairs that a rater answers before judging; 0 for none.
        qualification_right: Number of right answers among them that passes.
        check_share: Share of served pairs that are attention checks, 0 to 0.5.
        check_kinds: Kinds of attention check: `gold` pairs, `repeat` (a pair answered before, sides
            swapped), `self` (a video against itself).
        overlap_share: Share of served pairs that another rater has judged once already, to measure
            agreement.
        ban_after_failed_checks: Number of failed checks (gold and self) after which a rater is banned;
            None never bans. Answering a repeated pair differently is counted, but never bans.
        pairs_per_rater: Number of pairs that a rater answers, attention checks included; None for all. Skipped
            pairs do not count.
        skips_allowed: Number of pairs that a rater may skip, attention checks and practice pairs included; None
            for any number.
        answers_per_minute: Maximum number of answers per minute from one rater.
        watch_share: Share of each video that must be played before an answer other than `skip`; below 1,
            because a player may stop a frame early.
        reason_characters: Minimum length of the justification; 0 makes it optional. The original study
            required 100.
        questions: Questions of the study's own, asked in place of the tasks'; None asks the tasks' where the rules say so.
        target_per_pair: Number of comparisons wanted of each pair of agents in each task; None for no target.
        target_per_agent: Number of comparisons wanted of each agent in each task; None for no target.
        stop_width: Width of a 95% interval; when every interval of a rating is narrower, nobody new may begin, and who
            has begun continues. None never stops. `basalt leaderboard plan` says how many judgments a width needs.
        language: Tag of the language of the raters' pages, see `eval_ui.texts`; one without texts is English.
        scale: Answers to "who did better": `side`, or `strength`, which asks also whether the winner is much or
            slightly better.
        undo_seconds: Number of seconds in which a rater may withdraw the last answer.
        platform: Crowd platform that raters come from, e.g. `prolific`, whose return address is then known; empty
            for none.
        completion_code: Crowd platform's code, shown when a rater is done; empty makes one for each
            rater, which `leaderboard.judging.raters.rater_of_code` recognises.
        completion_url: Address to send the rater to, with `{code}`; empty for none, or the platform's.
        endings: Codes and addresses of the other outcomes.
        paused: Whether nobody may begin or get another pair now; answers to open pairs are still taken.
        ended: Whether the study has ended: nobody may begin or get another pair, and raters see the results.
        show_results: Whether raters see the score tables, the episodes and players' names while the study
            runs; otherwise only admins do. While there are attention checks, only admins do anyway.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    open_signup: bool = True
    signed_ids: bool = False
    title: str = Field(default="", max_length=100, pattern=_LINE)
    organiser: str = Field(default="", max_length=100, pattern=_LINE)
    contact: str = Field(default="", max_length=200, pattern=_LINE)
    minutes: int | None = Field(default=None, gt=0, le=1000)
    pay: str = Field(default="", max_length=100, pattern=_LINE)
    consent: str = Field(default="", max_length=20_000)
    instructions: str = Field(default="", max_length=20_000)
    qualification_pairs: int = Field(default=0, ge=0, le=50)
    qualification_right: int = Field(default=0, ge=0)
    check_share: float = Field(default=0.0, ge=0.0, le=0.5)
    check_kinds: tuple[CheckKind, ...] = ("gold", "repeat", "self")
    overlap_share: float = Field(default=0.0, ge=0.0, le=1.0)
    ban_after_failed_checks: int | None = Field(default=None, gt=0)
    pairs_per_rater: int | None = Field(default=None, gt=0)
    skips_allowed: int | None = Field(default=10, ge=0)
    answers_per_minute: int = Field(default=60, gt=0)
    watch_share: float = Field(default=0.9, ge=0.0, le=1.0)
    reason_characters: int = Field(default=0, ge=0, le=1000)
    questions: OwnQuestions | None = None
    target_per_pair: int | None = Field(default=None, gt=0)
    target_per_agent: int | None = Field(default=None, gt=0)
    stop_width: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    language: str = Field(
        default="en", pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35
    )
    scale: Literal["side", "strength"] = "side"
    undo_seconds: int = Field(default=60, ge=0, le=3600)
    platform: Literal["", "prolific", "mturk", "other"] = ""
    completion_code: str = Field(default="", max_length=100, pattern=_CODE)
    completion_url: str = Field(default="", max_length=500, pattern=_ADDRESS)
    endings: dict[Literal["screened_out", "failed_checks", "no_consent", "closed"], Ending] = {}
    paused: bool = False
    ended: bool = False
    show_results: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "JudgingSettings":
        if self.qualification_right > self.qualification_pairs:
            raise ValueError("expected qualification_right to be at most qualification_pairs")
        return self

    @property
    def raters_see_results(self) -> bool:
        """Whether raters see the tables now: until the end their counts would reveal which answers were attention checks."""
        return self.ended or (self.show_results and not self.check_share)

    def ending(self, outcome: Outcome) -> Ending:
        """The code and the address of an outcome; the address of the platform where none is given."""
        if outcome == "completed":
            found = Ending(code=self.completion_code, url=self.completion_url)
        else:
            found = self.endings.get(outcome, Ending())
        if self.platform == "prolific" and found.code and not found.url:
            return found.model_copy(update={"url": PROLIFIC_RETURN})
        return found

    @property
    def missing(self) -> list[str]:
        """What the platform needs before raters can be invited, in words."""
        if self.platform != "prolific":
            return []
        possible: dict[Outcome, object] = {
            "completed": True,
            "screened_out": self.qualification_pairs,
            "failed_checks": self.ban_after_failed_checks,
            "no_consent": self.consent,
            "closed": self.stop_width,
        }
        return [
            f"the code for {OUTCOME_NAMES[outcome]} (Prolific takes only codes of its own study)"
            for outcome, happens in possible.items()
            if happens and not self.ending(outcome).code
        ]

    @property
    def consent_sha256(self) -> str | None:
        """Hash of the consent text; None if there is none."""
        return hash_secret(self.consent) if self.consent else None


def asked_questions(study: StudyInfo, settings: JudgingSettings, task: str) -> Questions:
    """The questions that raters are asked about a pair of a task, besides which player did better."""
    if settings.questions is not None:
        return Questions(settings.questions.direct, settings.questions.comparative)
    return get_task(task).questions if study.rules.ask_questions else Questions((), ())


OUTCOME_NAMES: dict[Outcome, str] = {
    "completed": "completed",
    "screened_out": "screened out (qualification failed)",
    "failed_checks": "failed checks (banned)",
    "no_consent": "no consent",
    "closed": "study full, paused or ended",
}
"""Names of the outcomes, as admins see them."""

OFFICIAL_SETTINGS = JudgingSettings(open_signup=False, overlap_share=0.1, show_results=False)
"""Settings of a new official study: by invitation, videos watched, results hidden from raters."""


def get_settings(store: Store, study: StudyInfo) -> JudgingSettings:
    """The current settings of a study; the defaults until an admin changes them."""
    with store.read() as session:
        return read_settings(session, study.id)


@changes
def change_settings(
    store: Store, study: StudyInfo, admin: AdminIdentity, **changes: object
) -> JudgingSettings:
    """Change some settings of a study; returns all of them.

    Args:
        store: Leaderboard.
        study: Study whose settings change.
        admin: Admin who changes them.
        changes: New values by field of `JudgingSettings`.

    Raises:
        StudyError: A field is unknown, a value is not valid, or they contradict each other; nothing is
            changed.
    """
    with store.write() as session:
        present = read_settings(session, study.id)
        changed = changed_settings(present, changes)
        if changed != present:
            add_event(
                session, study.id, "settings", admin.name, data=changed.model_dump(mode="json")
            )
    return changed


def changed_settings(present: JudgingSettings, changes: Mapping[str, object]) -> JudgingSettings:
    """Settings with some new values, which are not stored.

    Args:
        present: Settings to start from.
        changes: New values by field.

    Raises:
        StudyError: A field is unknown, a value is not valid, or they contradict each other.
    """
    try:
        return JudgingSettings.model_validate(present.model_dump() | dict(changes))
    except ValidationError as err:
        raise StudyError(first_fault(err, "settings")) from err


def read_settings(session: Session, study_id: str) -> JudgingSettings:
    """The settings, within a transaction.

    Raises:
        StudyError: The settings were written by another version.
    """
    data = session.scalar(
        sa.select(Event.data)
        .where(Event.study_id == study_id, Event.kind == "settings")
        .order_by(Event.number.desc())
        .limit(1)
    )
    try:
        return JudgingSettings.model_validate(data or {})
    except ValidationError as err:
        raise StudyError(
            f"this version cannot read the study's settings ({err.errors()[0]['msg']}); "
            "run: pip install --upgrade basalt-benchmark"
        ) from err


def official_name(world: str, versions: Mapping[str, str]) -> str:
    """The name of a new official study, after the version of its first task."""
    return f"{OFFICIAL} {world} {next(iter(versions.values()))}"


def open_official_study(store: Store, world: str, versions: Mapping[str, str]) -> StudyInfo:
    """The official study of a world, made if necessary: by invitation, results hidden from raters.

    An existing study counts by its rules, whatever its name.

    Args:
        store: Leaderboard.
        world: Name of the world.
        versions: Version of the world by task, of the tasks that are to be submitted.
    """
    rules = official_study(world, versions)
    for study in list_studies(store):
        if is_official(study.rules, rules, versions):
            with store.write() as session:
                lock_study(session, study)
                return decide_versions(session, study, versions)
    study = create_study(store, free_study_name(store, official_name(world, versions)), rules)
    change_settings(store, study, command_line_admin(), **OFFICIAL_SETTINGS.model_dump())
    return study
