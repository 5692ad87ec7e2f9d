"""The store's judgments as comparisons, for ratings, files and reward models."""

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from basalt.core.comparisons import Comparison, Winner
from basalt.io.errors import ConfigError
from leaderboard.store.database import Store, streamed
from leaderboard.store.models import (
    SOURCES,
    Agent,
    AttentionCheck,
    CheckAnswer,
    Clip,
    ClipAnswer,
    ClipQuestion,
    ClipShowing,
    Episode,
    Event,
    Judgment,
    count,
    gold_as_shown,
)
from leaderboard.studies.events import banned_raters, withdrawn_answers
from leaderboard.studies.rules import StudyInfo


def load_comparisons(
    store: Store,
    study: StudyInfo,
    sources: Collection[str] | None = None,
    *,
    questions: bool = False,
    checks: bool = False,
) -> list[Comparison]:
    """The judgments of a study that count, as comparisons, in the order they were made.

    Judgments of banned raters and withdrawn judgments stay in the store; they are left out here, so that
    every rating changes at once. A process keeps the judgments of the studies it read last, and then reads only new ones.

    Args:
        store: Leaderboard.
        study: Study of the judgments.
        sources: Sources to include; None for all.
        questions: Whether each answer to one of the task's questions is a comparison too, behind its judgment;
            see `answered_questions`.
        checks: Whether answers to attention checks are comparisons too, behind the judgments, with `gold` or
            `pair_of`. They rate nobody.

    Raises:
        ConfigError: A source is unknown.
    """
    _require_sources(sources)
    if study.rules.clips or questions or checks:
        return list(iter_comparisons(store, study, sources, questions=questions, checks=checks))
    with _reading, store.read() as session:
        logs = _logs.setdefault(store, {})
        log = logs[study.id] = _caught_up(session, study, logs.pop(study.id, None))
        for oldest in list(logs)[:-_LOGS]:
            del logs[oldest]
        banned, gone = banned_raters(session, study.id), withdrawn_answers(session, study.id)
        found = [
            one
            for one in log.comparisons
            if (sources is None or one.source in sources)
            and one.rater not in banned
            and one.comparison_id not in gone
        ]
    return sorted(found, key=attrgetter("created"))


def iter_comparisons(
    store: Store,
    study: StudyInfo,
    sources: Collection[str] | None = None,
    *,
    questions: bool = False,
    checks: bool = False,
) -> Iterator[Comparison]:
    """What `load_comparisons` returns, one after the other: few are in memory at a time, except of a study of clips.

    Raises:
        ConfigError: A source is unknown.
    """
    _require_sources(sources)
    people = sources is None or "human" in sources
    if study.rules.clips:
        if people:
            yield from load_clip_comparisons(store, study, checks=checks)
        return
    with store.read() as session:
        shown = _episodes(session, study)
        banned, gone = banned_raters(session, study.id), withdrawn_answers(session, study.id)
        found = [_judgments(session, study, shown, sources, questions=questions)]
        if checks and people:
            found.append(_checks(session, study, shown, questions=questions))
        for answer, responses in chain(*found):
            if answer.rater not in banned and answer.comparison_id not in gone:
                yield answer
                yield from answered_questions(answer, responses)


def _require_sources(sources: Collection[str] | None) -> None:
    for source in sources or ():
        if source not in SOURCES:
            raise ConfigError(f"source: expected one of {', '.join(SOURCES)}, got {source!r}")


def answered_questions(overall: Comparison, responses: dict[str, Any]) -> Iterator[Comparison]:
    """Each answer to one of the task's questions as a comparison, with its question.

    A direct question asks for a yes or no about each player: the winner is the one with a yes; two are a
    `draw`, and none is `both_bad` (neither reaches what the question asks for). A comparative question asks
    which player it was; "does not apply" is a `skip`. Questions that were left open are left out.

    Args:
        overall: The answer to which player did better.
        responses: The answers as the store has them.
    """
    found: list[tuple[str, Winner]] = []
    for item in responses.get("direct", ()):
        left, right = item["left"], item["right"]
        if left is None or right is None:
            continue
        both: Winner = "draw" if left else "both_bad"
        found.append((item["question"], both if left == right else "left" if left else "right"))
    for item in responses.get("comparative", ()):
        if item["answer"] is not None:
            found.append((item["question"], "skip" if item["answer"] == "na" else item["answer"]))
    for number, (question, winner) in enumerate(found):
        yield replace(
            overall,
            comparison_id=f"{overall.comparison_id}:{number}",
            question=question,
            winner=winner,
            justification="",
            seconds=None,
            strength=None,
        )


class _Shown(NamedTuple):
    """An episode as comparisons name it."""

    task: str
    seed: int
    video: str
    agent: str
    version: str


@dataclass
class _Log:
    """The judgments of a study that this process has read, in order of their numbers.

    Attributes:
        shown: Episodes by id, as they were then.
        erased: Number of raters whose personal data was erased by then; a reason may be gone since.
        comparisons: All judgments, of any source; those that do not count, too.
        last: Number of the last one.
    """

    shown: dict[str, _Shown]
    erased: int
    comparisons: list[Comparison] = field(default_factory=list)
    last: int = 0


_LOGS = 4
"""Studies whose judgments a process keeps."""

_logs: WeakKeyDictionary[Store, dict[str, _Log]] = WeakKeyDictionary()
_reading = threading.Lock()


def _caught_up(session: Session, study: StudyInfo, log: _Log | None) -> _Log:
    """The log with all judgments of the study, made again if anything but further judgments came."""
    shown = _episodes(session, study)
    erased = count(session, Event.study_id == study.id, Event.kind == "erase")
    judged = count(session, Judgment.study_id == study.id)
    if log is not None and (log.shown, log.erased) == (shown, erased):
        _read_on(session, study, log)
        # On PostgreSQL a lower number can become visible later than a higher one.
        if len(log.comparisons) >= judged:
            return log
    log = _Log(shown, erased)
    _read_on(session, study, log)
    return log


def _read_on(session: Session, study: StudyInfo, log: _Log) -> None:
    query = _answers(Judgment, Judgment.source, Judgment.number).where(
        Judgment.study_id == study.id, Judgment.number > log.last
    )
    for row in streamed(session, query.order_by(Judgment.number)):
        log.comparisons.append(_comparison(study, row, log.shown, source=row.source))
        log.last = row.number


def _episodes(session: Session, study: StudyInfo) -> dict[str, _Shown]:
    """The episodes of a study by id."""
    rules = study.rules
    versions = {task: rules.version_of(task) or rules.version_text for task in rules.tasks}
    rows = session.execute(
        sa.select(Episode.id, Episode.task, Episode.seed, Episode.video_sha256, Agent.name)
        .join(Agent, Episode.agent_id == Agent.id)
        .where(Episode.study_id == study.id)
    )
    return {
        name: _Shown(task, seed, video, agent, versions.get(task, rules.version_text))
        for name, task, seed, video, agent in rows
    }


def _answers(table: type[Judgment | CheckAnswer], *more: Any, pair: Any = None) -> sa.Select[Any]:
    """A query of what comparisons say of answers; `pair` is the table that has the episodes."""
    pair = pair or table
    return sa.select(
        table.id,
        table.rater_id,
        table.winner,
        table.justification,
        table.seconds,
        table.created,
        table.strength,
        pair.left_episode_id,
        pair.right_episode_id,
        *more,
    )


def _judgments(
    session: Session,
    study: StudyInfo,
    shown: Mapping[str, _Shown],
    sources: Collection[str] | None,
    *,
    questions: bool,
) -> Iterator[tuple[Comparison, dict[str, Any]]]:
    more = [Judgment.responses] if questions else []
    query = (
        _answers(Judgment, Judgment.source, *more)
        .where(Judgment.study_id == study.id)
        .order_by(Judgment.created, Judgment.number)
    )
    if sources is not None:
        query = query.where(Judgment.source.in_(sources))
    for row in streamed(session, query):
        yield (
            _comparison(study, row, shown, source=row.source),
            row.responses if questions else {},
        )


def _checks(
    session: Session, study: StudyInfo, shown: Mapping[str, _Shown], *, questions: bool
) -> Iterator[tuple[Comparison, dict[str, Any]]]:
    more = [CheckAnswer.responses] if questions else []
    query = (
        _answers(
            CheckAnswer,
            AttentionCheck.judgment_id,
            AttentionCheck.expected,
            *more,
            pair=AttentionCheck,
        )
        .join(AttentionCheck, CheckAnswer.check_id == AttentionCheck.id)
        .where(CheckAnswer.study_id == study.id)
        .order_by(CheckAnswer.created, CheckAnswer.number)
    )
    for row in streamed(session, query):
        what = {"pair_of": row.judgment_id} if row.judgment_id else {"gold": row.expected}
        yield (
            _comparison(study, row, shown, source="human", **what),
            row.responses if questions else {},
        )


def _comparison(
    study: StudyInfo, answer: sa.Row[Any], shown: Mapping[str, _Shown], **facts: Any
) -> Comparison:
    left, right = shown[answer.left_episode_id], shown[answer.right_episode_id]
    return Comparison(
        comparison_id=answer.id,
        study=study.name,
        task=left.task,
        world=study.rules.world,
        world_version=left.version,
        seed=left.seed,
        left_agent=left.agent,
        right_agent=right.agent,
        left_episode=left.video,
        right_episode=right.video,
        winner=answer.winner,
        rater=answer.rater_id,
        justification=answer.justification,
        seconds=answer.seconds,
        created=answer.created,
        strength=answer.strength,
        **facts,
    )


def load_clip_comparisons(
    store: Store,
    study: StudyInfo,
    *,
    checks: bool = False,
    numbers: tuple[int, int] | None = None,
) -> list[Comparison]:
    """The answers about clips that count, as comparisons, in the order they were given.

    An answer that was dropped is a `skip` whose justification is the reason: nothing is learned from it, and it is
    not lost.

    Args:
        store: Leaderboard.
        study: Study of clips.
        checks: Whether to include answers to gold questions and repeats, with `gold` or `pair_of`.
        numbers: Only answers with a number above the first one, up to the second one; None for all.
    """
    left, right = aliased(Clip), aliased(Clip)
    query = (
        sa.select(ClipAnswer, ClipShowing, ClipQuestion, left, right)
        .join(ClipShowing, ClipAnswer.showing_id == ClipShowing.id)
        .join(ClipQuestion, ClipShowing.question_id == ClipQuestion.id)
        .join(left, ClipShowing.left_clip_id == left.id)
        .join(right, ClipShowing.right_clip_id == right.id)
        .where(ClipAnswer.study_id == study.id)
        .order_by(ClipAnswer.number)
    )
    if numbers is not None:
        query = query.where(ClipAnswer.number > numbers[0], ClipAnswer.number <= numbers[1])
    with store.read() as session:
        rows = session.execute(query).all()
        banned = banned_raters(session, study.id)
        gone = withdrawn_answers(session, study.id)
    return [
        _clip_comparison(study, answer, showing, question, *clips)
        for answer, showing, question, *clips in rows
        if answer.rater_id not in banned
        and answer.id not in gone
        and (checks or (question.gold is None and showing.repeats is None))
    ]


def _clip_comparison(
    study: StudyInfo,
    answer: ClipAnswer,
    showing: ClipShowing,
    question: ClipQuestion,
    left: Clip,
    right: Clip,
) -> Comparison:
    gold = gold_as_shown(question.gold, swapped=left.id != question.first_clip_id)  # type: ignore[arg-type]
    return Comparison(
        comparison_id=answer.id,
        study=study.name,
        task=question.task,
        world=study.rules.world,
        world_version=study.rules.version_of(question.task) or study.rules.version_text,
        seed=left.seed,
        left_agent=left.agent,
        right_agent=right.agent,
        left_episode=left.episode_sha256,
        right_episode=right.episode_sha256,
        winner="skip" if answer.dropped else answer.winner,  # type: ignore[arg-type]
        source="human",
        created=answer.created,
        left_start=left.start,
        left_stop=left.stop,
        right_start=right.start,
        right_stop=right.stop,
        rater=answer.rater_id,
        justification=f"dropped: {answer.dropped}" if answer.dropped else "",
        seconds=answer.seconds,
        right_seed=None if right.seed == left.seed else right.seed,
        round=question.round,
        selector=question.selector,
        selection_probability=question.selection_probability,
        pair_of=showing.repeats,
        gold=gold,  # type: ignore[arg-type]
        speed=answer.speed,
    )
