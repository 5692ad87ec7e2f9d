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
    Episode,
    Judgment,
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
        **facts,
    )
