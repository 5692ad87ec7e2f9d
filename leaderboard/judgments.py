"""Pairs to judge and the answers to them.

A rater is served a pair of episodes of the same task and seed, blind and in random order, reserved
until it expires; the answer is added once and never changed. Where nobody has judged yet, the
telemetry judge stands in, under its own source.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from basalt.errors import StudyError
from basalt.recording import Recording
from basalt.scoring import Outcome, outcome, telemetry_judge
from basalt.tasks import get_task
from leaderboard.models import (
    WINNERS,
    Assignment,
    Episode,
    Judgment,
    Rater,
    Study,
    new_id,
    pair_key,
)
from leaderboard.store import Store
from leaderboard.study import StudyInfo, checked_name

MAX_TEXT = 10_000
"""Characters of a justification; longer ones are refused."""

MAX_EVENTS = 1_000
"""Video events of one answer; more are refused."""


class AnswerRefusedError(StudyError):
    """An answer that was not stored, and why."""


@dataclass(frozen=True)
class ServedPair:
    """A pair as its rater sees it: nothing tells who played.

    Attributes:
        assignment_id: opaque; the answer names it.
        task: the task's name.
        seed: the seed both were played on.
        steps: lengths of the left and the right episode, in steps of 50 ms.
        expires: until when it is reserved for this rater, UTC.
    """

    assignment_id: str
    task: str
    seed: int
    steps: tuple[int, int]
    expires: datetime


@dataclass(frozen=True)
class Progress:
    """How far a rater is.

    Attributes:
        done: pairs this rater has answered, skipped ones included.
        total: pairs of the study.
    """

    done: int
    total: int


def register_rater(store: Store, token: str, name: str | None = None) -> str:
    """The id of the rater who holds a secret; added when the secret is new, renamed when a name is given.

    Only the secret's hash is stored.

    Raises:
        StudyError: the name cannot be shown.
    """
    name = checked_name(name, "name") if name else None
    digest = hashlib.sha256(token.encode()).hexdigest()
    with store.read() as session:
        rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == digest))
    if rater is not None and name in (None, rater.name):
        return rater.id
    with store.write() as session:
        rater = session.scalar(sa.select(Rater).where(Rater.token_sha256 == digest))
        if rater is None:
            rater = Rater(id=new_id(), token_sha256=digest, created=datetime.now(UTC))
            session.add(rater)
        rater.name = name or rater.name
        session.flush()
        return rater.id


def next_pair(
    store: Store,
    study: StudyInfo,
    rater_id: str,
    *,
    now: datetime | None = None,
    rng: random.Random | None = None,
) -> ServedPair | None:
    """Reserve the next pair for a rater; asked again before the answer, it is the same pair.

    Never a pair the rater has answered; among the others those with the fewest judgments by people
    first, a pair that another rater has reserved counting as judged, equal ones in random order.

    Args:
        store: the leaderboard.
        study: the study.
        rater_id: from :func:`register_rater`.
        now: the time, for tests.
        rng: random numbers, for tests.

    Returns:
        The pair, or None when the rater has judged all there are.

    Raises:
        StudyError: the study does not take judgments by people, or the rater is unknown.
    """
    now = now or datetime.now(UTC)
    rng = rng or random.SystemRandom()
    _require_source(study, "human")
    with store.write() as session:
        _lock_study(session, study)
        if session.get(Rater, rater_id) is None:
            raise StudyError("this rater is not known here; open the judging page again")
        assignment = session.scalar(
            _unanswered(study, now).where(Assignment.rater_id == rater_id).limit(1)
        )
        if assignment is None:
            pair = _choose(session, study, rater_id, now, rng)
            if pair is None:
                return None
            left, right = rng.sample(pair, 2)
            assignment = Assignment(
                id=new_id(),
                study_id=study.id,
                rater_id=rater_id,
                left_episode_id=left.id,
                right_episode_id=right.id,
                pair=pair_key(left.id, right.id),
                created=now,
                expires=now + timedelta(minutes=study.rules.reserve_minutes),
            )
            session.add(assignment)
            session.flush()
        return _served(session, assignment)


def answer_pair(
    store: Store,
    assignment_id: str,
    rater_id: str,
    winner: str,
    *,
    justification: str = "",
    responses: Mapping[str, Any] | None = None,
    video_events: Sequence[Any] = (),
    now: datetime | None = None,
) -> str:
    """Store a rater's answer; it is durable when this returns. The same answer again counts once.

    Args:
        store: the leaderboard.
        assignment_id: of the served pair.
        rater_id: who answers; must be whom the pair was served to.
        winner: one of :data:`leaderboard.models.WINNERS`.
        justification: why, in the rater's words.
        responses: answers to the task's questions.
        video_events: what the player reported (first play, quarters).
        now: the time, for tests.

    Returns:
        The judgment's id.

    Raises:
        AnswerRefusedError: unknown, foreign or expired, answered differently before, or malformed.
    """
    now = now or datetime.now(UTC)
    if winner not in WINNERS:
        raise AnswerRefusedError(f"answer {winner!r}: not one of {', '.join(WINNERS)}")
    if len(justification) > MAX_TEXT:
        raise AnswerRefusedError(f"the reason is longer than {MAX_TEXT} characters; shorten it")
    if len(video_events) > MAX_EVENTS:
        raise AnswerRefusedError(f"more than {MAX_EVENTS} video events")
    with store.write() as session:
        assignment = session.get(Assignment, assignment_id, with_for_update=True)
        if assignment is None:
            raise AnswerRefusedError("this pair was never served; the answer was not stored")
        if assignment.rater_id != rater_id:
            raise AnswerRefusedError(
                "this pair was served to someone else; the answer was not stored"
            )
        earlier = session.scalar(sa.select(Judgment).where(Judgment.assignment_id == assignment_id))
        if earlier is not None:
            if earlier.winner != winner:
                raise AnswerRefusedError("this pair was answered before; the first answer stands")
            return earlier.id
        if now >= assignment.expires:
            raise AnswerRefusedError(
                f"the pair was reserved until {assignment.expires:%H:%M} UTC; "
                "the answer came later and was not stored"
            )
        judgment = Judgment(
            id=new_id(),
            study_id=assignment.study_id,
            assignment_id=assignment_id,
            rater_id=rater_id,
            left_episode_id=assignment.left_episode_id,
            right_episode_id=assignment.right_episode_id,
            pair=assignment.pair,
            winner=winner,
            source="human",
            responses=dict(responses or {}),
            justification=justification.strip(),
            video_events=list(video_events),
            seconds=(now - assignment.created).total_seconds(),
            created=now,
        )
        session.add(judgment)
        session.flush()
        return judgment.id


def progress(store: Store, study: StudyInfo, rater_id: str) -> Progress:
    """How many pairs of the study the rater has answered, and how many there are."""
    with store.read() as session:
        total = len(_pairs(session, study))
        done = session.scalar(
            sa.select(sa.func.count())
            .select_from(Judgment)
            .where(Judgment.study_id == study.id, Judgment.rater_id == rater_id)
        )
    return Progress(done or 0, total)


def served_video(
    store: Store, assignment_id: str, side: str, *, now: datetime | None = None
) -> Path:
    """The video file of one side of a served pair, as long as the pair is reserved.

    Raises:
        StudyError: no such pair or side, or its time is over.
    """
    with store.read() as session:
        assignment = session.get(Assignment, assignment_id)
        if assignment is None or side not in ("left", "right"):
            raise StudyError("no such video")
        if (now or datetime.now(UTC)) >= assignment.expires:
            raise StudyError("this pair is no longer reserved; load the page again")
        episode = session.get_one(
            Episode,
            assignment.left_episode_id if side == "left" else assignment.right_episode_id,
        )
        return store.media / f"{episode.media_name}.mp4"


def judge_by_telemetry(store: Store, study: StudyInfo) -> int:
    """Let the telemetry judge answer every pair it has not answered; returns how many it added.

    A stand-in where no person has judged: its judgments carry the source ``telemetry`` and are never
    mixed with people's unless asked. The rule that decided stands in the justification.

    Raises:
        StudyError: the study does not take judgments by telemetry.
        ConfigError: success of a task is not defined by telemetry, or an episode has none.
        RecordingError: a stored recording cannot be read.
    """
    _require_source(study, "telemetry")
    outcomes: dict[str, Outcome] = {}

    def judged(episode: Episode) -> Outcome:
        if episode.id not in outcomes:
            recording = Recording.open(store.media / f"{episode.media_name}.mp4")
            task = get_task(episode.task)
            outcomes[episode.id] = outcome(task, recording.telemetry(), episode.ended)
        return outcomes[episode.id]

    with store.read() as session:
        present = _telemetry_pairs(session, study)
        pairs = [pair for pair in _pairs(session, study) if _key(pair) not in present]
    # In a stated order (task, seed, names): the same recordings give the same ratings everywhere.
    verdicts = [
        (left, right, telemetry_judge(judged(left), judged(right))) for left, right in pairs
    ]
    with store.write() as session:
        _lock_study(session, study)
        present = _telemetry_pairs(session, study)
        now = datetime.now(UTC)
        added = [
            Judgment(
                id=new_id(),
                study_id=study.id,
                left_episode_id=left.id,
                right_episode_id=right.id,
                pair=pair_key(left.id, right.id),
                winner=verdict.winner,
                source="telemetry",
                responses={},
                justification=verdict.reason,
                video_events=[],
                created=now,
            )
            for left, right, verdict in verdicts
            if pair_key(left.id, right.id) not in present
        ]
        for judgment in added:
            session.add(judgment)
            session.flush()  # one by one: their numbers follow the stated order
    return len(added)


def _require_source(study: StudyInfo, source: str) -> None:
    if source not in study.rules.sources:
        raise StudyError(f"study {study.name!r} takes no judgments by {source}")


def _lock_study(session: Session, study: StudyInfo) -> None:
    # On PostgreSQL the row's lock; SQLite's write transaction already keeps others out.
    session.execute(sa.select(Study.id).where(Study.id == study.id).with_for_update())


def _pairs(session: Session, study: StudyInfo) -> list[tuple[Episode, Episode]]:
    """All pairs of episodes of the same task and seed by different agents, in a stated order."""
    episodes = session.scalars(
        sa.select(Episode).where(Episode.study_id == study.id).options(joinedload(Episode.agent))
    )
    groups: dict[tuple[str, int], list[Episode]] = {}
    for episode in episodes:
        groups.setdefault((episode.task, episode.seed), []).append(episode)
    return [
        pair
        for key in sorted(groups)
        for pair in combinations(sorted(groups[key], key=lambda episode: episode.agent.name), 2)
    ]


def _key(pair: tuple[Episode, Episode]) -> str:
    return pair_key(pair[0].id, pair[1].id)


def _telemetry_pairs(session: Session, study: StudyInfo) -> set[str]:
    return set(
        session.scalars(
            sa.select(Judgment.pair).where(
                Judgment.study_id == study.id, Judgment.source == "telemetry"
            )
        )
    )


def _unanswered(study: StudyInfo, now: datetime) -> sa.Select[Assignment]:
    return (
        sa.select(Assignment)
        .outerjoin(Judgment, Judgment.assignment_id == Assignment.id)
        .where(Assignment.study_id == study.id, Assignment.expires > now, Judgment.number.is_(None))
    )


def _choose(
    session: Session, study: StudyInfo, rater_id: str, now: datetime, rng: random.Random
) -> tuple[Episode, Episode] | None:
    human = sa.select(Judgment.pair).where(
        Judgment.study_id == study.id, Judgment.source == "human"
    )
    answered = set(session.scalars(human.where(Judgment.rater_id == rater_id)))
    count: dict[str, int] = {}
    # A skipped pair has not been judged, but it was shown: it comes after those nobody has seen.
    for key in session.scalars(human):
        count[key] = count.get(key, 0) + 1
    for assignment in session.scalars(_unanswered(study, now)):
        count[assignment.pair] = count.get(assignment.pair, 0) + 1
    free = [pair for pair in _pairs(session, study) if _key(pair) not in answered]
    if not free:
        return None
    fewest = min(count.get(_key(pair), 0) for pair in free)
    return rng.choice([pair for pair in free if count.get(_key(pair), 0) == fewest])


def _served(session: Session, assignment: Assignment) -> ServedPair:
    left = session.get_one(Episode, assignment.left_episode_id)
    right = session.get_one(Episode, assignment.right_episode_id)
    return ServedPair(
        assignment.id, left.task, left.seed, (left.steps, right.steps), assignment.expires
    )
