"""The store's judgments as comparisons, for ratings, files and reward models."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from basalt.core.comparisons import Comparison, Winner
from basalt.io.errors import ConfigError
from leaderboard.store.database import Store
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
    Judgment,
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
    every rating changes at once.

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
    for source in sources or ():
        if source not in SOURCES:
            raise ConfigError(f"source: expected one of {', '.join(SOURCES)}, got {source!r}")
    if study.rules.clips:
        wanted = sources is None or "human" in sources
        return load_clip_comparisons(store, study, checks=checks) if wanted else []
    with store.read() as session:
        found = [*_judgments(session, study, sources)]
        if checks and (sources is None or "human" in sources):
            found += _checks(session, study)
        banned = banned_raters(session, study.id)
        gone = withdrawn_answers(session, study.id)
    return [
        one
        for answer, responses in found
        if answer.rater not in banned and answer.comparison_id not in gone
        for one in (answer, *(answered_questions(answer, responses) if questions else ()))
    ]


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


def _judgments(
    session: Session, study: StudyInfo, sources: Collection[str] | None
) -> Iterator[tuple[Comparison, dict[str, Any]]]:
    query = (
        _with_sides(sa.select(Judgment), Judgment)
        .where(Judgment.study_id == study.id)
        .order_by(Judgment.created, Judgment.number)
    )
    if sources is not None:
        query = query.where(Judgment.source.in_(sources))
    for row in session.execute(query):
        yield _comparison(study, *row, source=row[0].source), row[0].responses


def _checks(session: Session, study: StudyInfo) -> Iterator[tuple[Comparison, dict[str, Any]]]:
    query = (
        _with_sides(
            sa.select(CheckAnswer).join(AttentionCheck, CheckAnswer.check_id == AttentionCheck.id),
            AttentionCheck,
        )
        .add_columns(AttentionCheck.judgment_id, AttentionCheck.expected)
        .where(CheckAnswer.study_id == study.id)
        .order_by(CheckAnswer.created, CheckAnswer.number)
    )
    for *row, first, expected in session.execute(query):
        what = {"pair_of": first} if first else {"gold": expected}
        yield _comparison(study, *row, source="human", **what), row[0].responses


def _with_sides(query: sa.Select[Any], pair: type[Judgment | AttentionCheck]) -> sa.Select[Any]:
    """A query of answers, each with its left and right episode and the names of their agents."""
    left, right = aliased(Episode), aliased(Episode)
    left_agent, right_agent = aliased(Agent), aliased(Agent)
    return (
        query.add_columns(left, right, left_agent.name, right_agent.name)
        .join(left, pair.left_episode_id == left.id)
        .join(right, pair.right_episode_id == right.id)
        .join(left_agent, left.agent_id == left_agent.id)
        .join(right_agent, right.agent_id == right_agent.id)
    )


def _comparison(
    study: StudyInfo,
    answer: Judgment | CheckAnswer,
    left: Episode,
    right: Episode,
    *agents: str,
    **facts: Any,
) -> Comparison:
    return Comparison(
        comparison_id=answer.id,
        study=study.name,
        task=left.task,
        world=study.rules.world,
        world_version=study.rules.version_of(left.task) or study.rules.version_text,
        seed=left.seed,
        left_agent=agents[0],
        right_agent=agents[1],
        left_episode=left.video_sha256,
        right_episode=right.video_sha256,
        winner=answer.winner,  # type: ignore[arg-type]  # the database allows no other
        rater=answer.rater_id,
        justification=answer.justification,
        seconds=answer.seconds,
        created=answer.created,
        strength=answer.strength,  # type: ignore[arg-type]  # the database allows no other
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
