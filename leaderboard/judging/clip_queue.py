"""Pairs of clips for raters: a study's queue of questions, and which one a rater sees next.

The lowest open number comes first. Hidden among the questions are repeats of the rater's own answers with the sides
swapped, gold questions with a known answer, and questions that one other rater has answered, all by the study's
settings (`check_share`, `check_kinds`, `overlap_share`).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.core.comparisons import MIRRORED, Side, Winner
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import StudyError
from leaderboard.judging.raters import (
    RaterStatus,
    denied,
    ending_of,
    read_rater_status,
)
from leaderboard.store.database import Store
from leaderboard.store.models import (
    Clip,
    ClipAnswer,
    ClipQuestion,
    ClipShowing,
    Rater,
    gold_as_shown,
    new_id,
    pair_key,
)
from leaderboard.studies.events import banned_raters, withdrawn_answers
from leaderboard.studies.rules import StudyInfo, lock_study
from leaderboard.studies.settings import Ending, JudgingSettings, read_settings

DECIDED = ("left", "right")
"""Answers that are worth a repeat."""

CHECK_WEIGHTS = {"repeat": 2, "gold": 1}
"""How often each kind of check is drawn; with a `check_share` of 0.15: 10% repeats, 5% gold."""

CLIP_SETTINGS = JudgingSettings(
    check_share=0.15,
    check_kinds=("gold", "repeat"),
    overlap_share=0.15,
    skips_allowed=None,
    watch_share=0.0,
)
"""Settings of a new study of clips."""

AHEAD = 2
"""Pairs that are reserved for a rater at a time: the one on screen, and the next one, which loads meanwhile."""

REPEAT_AFTER = 3
"""A rater's latest answers that are not repeated yet."""


@dataclass(frozen=True)
class Question:
    """A question to put into a study's queue.

    Attributes:
        task: Name of the task.
        first: First clip.
        second: Second clip; which one is on the left is drawn each time the pair is shown.
        selector: Rule that chose the pair; None for gold.
        selection_probability: Chance with which that rule takes this pair from its candidates; None if unknown.
        round: Round of a loop that asks, from 0; None outside a loop.
        gold: Known answer with the first clip on the left, for a check of raters; None for an open question.
    """

    task: str
    first: Side
    second: Side
    selector: str | None = None
    selection_probability: float | None = None
    round: int | None = None
    gold: str | None = None


@dataclass(frozen=True)
class ServedClips:
    """A pair of clips as its rater sees it: it reveals neither who played nor whether it is a check.

    Attributes:
        assignment_id: Opaque id; the answer names it.
        task: Name of the task.
        seconds: Length of the longer clip.
        expires: Time until which the pair is reserved for this rater, UTC.
    """

    assignment_id: str
    task: str
    seconds: float
    expires: datetime


@dataclass(frozen=True)
class QueueState:
    """How far a queue is answered.

    Attributes:
        asked: Number of questions, gold ones left out.
        answered: Number of questions with at least one answer that counts.
    """

    asked: int
    answered: int

    @property
    def missing(self) -> int:
        """Number of questions without an answer that counts."""
        return self.asked - self.answered


def known_clips(store: Store, study: StudyInfo) -> dict[Side, str]:
    """Names in the media folder of the clips that a study has, by where they are."""
    with store.read() as session:
        rows = session.scalars(sa.select(Clip).where(Clip.study_id == study.id))
        return {side_of(one): one.media_name for one in rows}


def add_clips(store: Store, study: StudyInfo, videos: Mapping[Side, str]) -> None:
    """Add clips whose videos are in the media folder; clips that a study has already are left as they are.

    Args:
        store: Leaderboard.
        study: Study of clips.
        videos: SHA-256 of each clip's video.

    Raises:
        StudyError: The study is not one of clips.
    """
    require_clips(study)
    with store.write() as session:
        lock_study(session, study)
        present = _clip_ids(session, study)
        session.add_all(
            Clip(
                study_id=study.id,
                agent=side.agent,
                seed=side.seed,
                episode_sha256=side.episode,
                start=side.start,
                stop=side.stop,
                video_sha256=sha256,
            )
            for side, sha256 in videos.items()
            if side not in present
        )


def add_questions(store: Store, study: StudyInfo, questions: Iterable[Question]) -> list[Question]:
    """Put questions at the end of a study's queue, all or none; a pair that was asked before is left out.

    Args:
        store: Leaderboard.
        study: Study of clips, which has the clips.
        questions: Questions in the order of asking.

    Returns:
        The questions that were added.

    Raises:
        StudyError: The study is not one of clips, or of another task, or has not got a clip.
    """
    require_clips(study)
    now = datetime.now(UTC)
    with store.write() as session:
        lock_study(session, study)
        clips = _clip_ids(session, study)
        pairs = set(
            session.scalars(sa.select(ClipQuestion.pair).where(ClipQuestion.study_id == study.id))
        )
        added = []
        for one in questions:
            if one.task not in study.rules.tasks:
                raise StudyError(
                    f"study {study.name!r}: asks about {', '.join(study.rules.tasks)}, not {one.task}"
                )
            if one.first not in clips or one.second not in clips:
                raise StudyError(f"study {study.name!r}: a clip of a question is missing")
            first, second = clips[one.first], clips[one.second]
            if (pair := pair_key(first, second)) in pairs:
                continue
            pairs.add(pair)
            session.add(
                ClipQuestion(
                    study_id=study.id,
                    task=one.task,
                    first_clip_id=first,
                    second_clip_id=second,
                    pair=pair,
                    round=one.round,
                    selector=one.selector,
                    selection_probability=one.selection_probability,
                    gold=one.gold,
                    created=now,
                )
            )
            session.flush()  # one by one: the numbers are the order of asking
            added.append(one)
        return added


def queue_state(store: Store, study: StudyInfo, of_round: int | None = None) -> QueueState:
    """How far a study's queue is answered.

    Args:
        store: Leaderboard.
        study: Study of clips.
        of_round: Round of a loop; None for the whole queue.
    """
    with store.read() as session:
        asked = sa.select(ClipQuestion.id).where(
            ClipQuestion.study_id == study.id, ClipQuestion.gold.is_(None)
        )
        if of_round is not None:
            asked = asked.where(ClipQuestion.round == of_round)
        numbers = set(session.scalars(asked))
        answered = {one.question for one in counted_answers(session, study.id)}
        return QueueState(len(numbers), len(numbers & answered))


@dataclass(frozen=True)
class GivenAnswer:
    """An answer about clips that was not dropped.

    Attributes:
        id: Id of the answer.
        question: Id of the question.
        gold: Known answer of a gold question, sides as shown; None for others.
        left: Id of the left clip.
        right: Id of the right clip.
        swapped: Whether the question's second clip was on the left.
        rater: Id of the rater.
        winner: Answer, sides as shown.
        repeats: Id of the rater's earlier answer that it repeats, or None.
        seconds: Time that the rater took.
    """

    id: str
    question: str
    gold: Winner | None
    left: str
    right: str
    swapped: bool
    rater: str
    winner: Winner
    repeats: str | None
    seconds: float

    @property
    def is_check(self) -> bool:
        """Whether it answers a gold question or a repeat."""
        return self.gold is not None or self.repeats is not None

    @property
    def verdict(self) -> str:
        """The answer regardless of sides: `first` or `second` for a winner."""
        unswapped = MIRRORED[self.winner] if self.swapped else self.winner
        return {"left": "first", "right": "second"}.get(unswapped, unswapped)


def given_answers(session: Session, study_id: str) -> list[GivenAnswer]:
    """The answers of a study that were not dropped, in the order they were given."""
    rows = session.execute(
        sa.select(
            ClipAnswer.id,
            ClipAnswer.rater_id,
            ClipAnswer.winner,
            ClipAnswer.seconds,
            ClipShowing.left_clip_id,
            ClipShowing.right_clip_id,
            ClipShowing.repeats,
            ClipQuestion.id.label("question"),
            ClipQuestion.gold,
            ClipQuestion.first_clip_id,
        )
        .join(ClipShowing, ClipAnswer.showing_id == ClipShowing.id)
        .join(ClipQuestion, ClipShowing.question_id == ClipQuestion.id)
        .where(ClipAnswer.study_id == study_id, ClipAnswer.dropped == "")
        .order_by(ClipAnswer.number)
    )
    return [
        GivenAnswer(
            id=one.id,
            question=one.question,
            gold=gold_as_shown(one.gold, swapped=one.left_clip_id != one.first_clip_id),
            left=one.left_clip_id,
            right=one.right_clip_id,
            swapped=one.left_clip_id != one.first_clip_id,
            rater=one.rater_id,
            winner=one.winner,
            repeats=one.repeats,
            seconds=one.seconds,
        )
        for one in rows
    ]


def counted_answers(session: Session, study_id: str) -> list[GivenAnswer]:
    """The answers of a study that count, in the order they were given: not withdrawn, not a banned rater's."""
    banned, gone = banned_raters(session, study_id), withdrawn_answers(session, study_id)
    return [
        one
        for one in given_answers(session, study_id)
        if one.rater not in banned and one.id not in gone
    ]


def next_clips(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    now: datetime | None = None,
    rng: random.Random | None = None,
) -> list[ServedClips]:
    """Reserve the next pairs for a rater, `AHEAD` of them if there are as many; unanswered ones come first.

    A pair that a rater has answered is served to that rater again only as a repeat, or where the answer was dropped
    and nothing else is left. Two raters never hold the same question at the same time.

    Args:
        store: Leaderboard.
        study: Study of clips.
        rater_id: Id from `leaderboard.judging.raters.register_rater` or `join`.
        now: Current time; tests set it.
        rng: Source of random numbers; tests set it.

    Returns:
        The pair to show and the one after it; fewer when the queue is nearly answered.

    Raises:
        AccessDeniedError: This rater may not judge; see `leaderboard.judging.raters.rater_status`.
        StudyError: The study is not one of clips, or the rater is unknown.
    """
    now = now or datetime.now(UTC)
    require_clips(study)
    with store.write() as session:
        lock_study(session, study)
        if session.get(Rater, rater_id) is None:
            raise StudyError("unknown rater; open the page again", "unknown_rater")
        settings = read_settings(session, study.id)
        status = read_rater_status(session, study, rater_id, settings)
        if status.state == "done":
            return []
        if status.state == "qualify":
            raise StudyError(
                "studies of clips have no practice pairs; an admin can set their number to 0",
                "not_ready",
            )
        if status.state != "judge":
            raise denied(status.state)
        desk = _Desk(session, study, rater_id, settings, rng or random.SystemRandom(), now)
        for one in desk.own:
            one.expires = desk.expires
        wanted = AHEAD if status.limit is None else min(AHEAD, status.limit - status.answered)
        while len(desk.own) < wanted and desk.reserve_next():
            pass
        return [_served(session, one) for one in desk.own[:wanted]]


def reservation(study: StudyInfo, rater_id: str, now: datetime) -> dict[str, Any]:
    """Columns of a showing that is reserved for a rater from now on."""
    return {
        "id": new_id(),
        "study_id": study.id,
        "rater_id": rater_id,
        "created": now,
        "expires": now + timedelta(minutes=study.rules.reserve_minutes),
    }


class _Desk:
    """What a rater may be shown next, within a transaction that has locked the study."""

    def __init__(
        self,
        session: Session,
        study: StudyInfo,
        rater_id: str,
        settings: JudgingSettings,
        rng: random.Random,
        now: datetime,
    ) -> None:
        self.session = session
        self.settings = settings
        self.rng = rng
        self.rater_id = rater_id
        self.study = study
        self.now = now
        self.expires = now + timedelta(minutes=study.rules.reserve_minutes)
        self.answers = counted_answers(session, study.id)
        reserved = session.scalars(
            sa.select(ClipShowing)
            .outerjoin(ClipAnswer, ClipAnswer.showing_id == ClipShowing.id)
            .where(
                ClipShowing.study_id == study.id,
                ClipShowing.expires > now,
                ClipAnswer.number.is_(None),
            )
            .order_by(ClipShowing.number)
        ).all()
        self.own = [one for one in reserved if one.rater_id == rater_id]
        self.others = {one.question_id for one in reserved if one.rater_id != rater_id}

    def reserve_next(self) -> bool:
        """Reserve the next question, or a check in its place; False if no question is left."""
        question = self._ordinary()
        if question is None:  # checks are hidden among questions, never alone
            return False
        is_checked = self.rng.random() < self.settings.check_share
        # Both are always looked for, so that the time does not reveal which one is served.
        check = self._check() if self.settings.check_share else None
        shown = self._shown(question)
        sides = check if is_checked and check is not None else shown
        showing = ClipShowing(**reservation(self.study, self.rater_id, self.now), **sides)
        self.session.add(showing)
        self.session.flush()
        self.own.append(showing)
        return True

    def _ordinary(self) -> sa.Row[int, str, str, str] | None:
        """The first question that nobody has answered, or sometimes one that one other rater has."""
        raters: dict[str, set[str]] = {}
        for one in self.answers:
            if not one.is_check:
                raters.setdefault(one.question, set()).add(one.rater)
        queue = self._questions(ClipQuestion.gold.is_(None))
        free = [one for one in queue if one.id not in self.others | self._mine]
        if self.rng.random() < self.settings.overlap_share:
            for question in free:
                given = raters.get(question.id, set())
                if len(given) == 1 and self.rater_id not in given:
                    return question
        # An answer that was dropped leaves its question open; its rater sees it again last of all.
        dropped = set(
            self.session.scalars(
                sa.select(ClipShowing.question_id)
                .join(ClipAnswer, ClipAnswer.showing_id == ClipShowing.id)
                .where(
                    ClipAnswer.study_id == self.study.id,
                    ClipAnswer.rater_id == self.rater_id,
                    ClipAnswer.dropped != "",
                )
            )
        )
        unanswered = [one for one in free if one.id not in raters]
        return min(unanswered, key=lambda one: (one.id in dropped, one.number), default=None)

    def _check(self) -> dict[str, str] | None:
        """The sides of a check, of a kind drawn by its weight; None if no check of that kind can be made."""
        kinds = [kind for kind in self.settings.check_kinds if kind in CHECK_WEIGHTS]
        if not kinds:
            return None
        kind = self.rng.choices(kinds, [CHECK_WEIGHTS[one] for one in kinds])[0]
        return self._gold() if kind == "gold" else self._repeat()

    def _gold(self) -> dict[str, str] | None:
        """A gold question that the rater has not answered."""
        seen = {one.question for one in self.answers if one.rater == self.rater_id} | self._mine
        free = [
            one for one in self._questions(ClipQuestion.gold.is_not(None)) if one.id not in seen
        ]
        return self._shown(self.rng.choice(free)) if free else None

    def _repeat(self) -> dict[str, str] | None:
        """A question that the rater has decided, except the latest, with the sides swapped."""
        given = [one for one in self.answers if one.rater == self.rater_id]
        repeated = {one.repeats for one in given} | {one.repeats for one in self.own}
        first = [one for one in given if not one.is_check][:-REPEAT_AFTER]
        free = [one for one in first if one.winner in DECIDED and one.id not in repeated]
        if not free:
            return None
        one = self.rng.choice(free)
        return {
            "question_id": one.question,
            "left_clip_id": one.right,
            "right_clip_id": one.left,
            "repeats": one.id,
        }

    def _shown(self, question: sa.Row[int, str, str, str]) -> dict[str, str]:
        """A question with its sides in random order."""
        left, right = self.rng.sample((question.first_clip_id, question.second_clip_id), 2)
        return {"question_id": question.id, "left_clip_id": left, "right_clip_id": right}

    def _questions(self, which: sa.ColumnElement[bool]) -> Sequence[sa.Row[int, str, str, str]]:
        return self.session.execute(
            sa.select(
                ClipQuestion.number,
                ClipQuestion.id,
                ClipQuestion.first_clip_id,
                ClipQuestion.second_clip_id,
            )
            .where(ClipQuestion.study_id == self.study.id, which)
            .order_by(ClipQuestion.number)
        ).all()

    @property
    def _mine(self) -> set[str]:
        return {one.question_id for one in self.own}


@dataclass(frozen=True)
class ClipRaterView:
    """A rater's place in a study of clips, with everything to show beside the pair.

    Attributes:
        settings: Settings of the study.
        status: State of the rater.
        missing: Number of questions that nobody has answered. While there are attention checks, raters must not learn
            it: an answer to a check leaves it as it was.
        asked: Number of questions in the queue.
        undoable: Id of the last answer that can be withdrawn; None without such an answer.
        undoable_until: Time until which it can, UTC.
        ending: Code of the rater's outcome, and the address to return to; None while there is no outcome.
    """

    settings: JudgingSettings
    status: RaterStatus
    missing: int
    asked: int
    undoable: str | None
    undoable_until: datetime | None
    ending: Ending | None


def clip_rater_view(
    store: Store, study: StudyInfo, rater_id: str
) -> tuple[ClipRaterView, list[ServedClips]]:
    """The rater's place in a study of clips, and the next pairs; none if the rater is done or may not judge.

    Raises:
        StudyError: The study is not one of clips, or the rater is unknown.
    """
    with store.read() as session:
        settings = read_settings(session, study.id)
        status = read_rater_status(session, study, rater_id, settings)
        last = last_clip_answer(session, study.id, rater_id)
    serves = status.joined and status.state in ("judge", "qualify")
    pairs = next_clips(store, study, rater_id) if serves else []
    undoable = None if last is None else last.id
    until = None if last is None else last.created + timedelta(seconds=settings.undo_seconds)
    ending = ending_of(store, study, rater_id, settings, status)
    queue = queue_state(store, study)
    view = ClipRaterView(settings, status, queue.missing, queue.asked, undoable, until, ending)
    return view, pairs


def last_clip_answer(session: Session, study_id: str, rater_id: str) -> ClipAnswer | None:
    """The rater's last answer that was not withdrawn."""
    return session.scalar(
        sa.select(ClipAnswer)
        .where(
            ClipAnswer.study_id == study_id,
            ClipAnswer.rater_id == rater_id,
            ClipAnswer.id.not_in(withdrawn_answers(session, study_id, rater_id)),
        )
        .order_by(ClipAnswer.number.desc())
        .limit(1)
    )


def require_clips(study: StudyInfo) -> None:
    """Refuse a study of episodes.

    Raises:
        StudyError: The study compares episodes.
    """
    if not study.rules.clips:
        raise StudyError(f"study {study.name!r} compares episodes; expected a study of clips")


def side_of(clip: Clip) -> Side:
    """Where a clip is."""
    return Side(clip.agent, clip.seed, clip.episode_sha256, clip.start, clip.stop)


def _clip_ids(session: Session, study: StudyInfo) -> dict[Side, str]:
    rows = session.scalars(sa.select(Clip).where(Clip.study_id == study.id))
    return {side_of(one): one.id for one in rows}


def _served(session: Session, showing: ClipShowing) -> ServedClips:
    steps = max(one.steps for one in (showing.left, showing.right))
    return ServedClips(showing.id, showing.question.task, steps / STEPS_PER_SECOND, showing.expires)
