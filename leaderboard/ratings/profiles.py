"""Answers to the tasks' own questions by agent: they show where an agent is good."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from leaderboard.ratings.ranking import Table
from leaderboard.store.database import Store
from leaderboard.store.models import Judgment
from leaderboard.studies.rules import StudyInfo


@dataclass(frozen=True)
class Profile:
    """How an agent did on one question.

    Attributes:
        agent: Name of the agent.
        question: Full text of the question.
        kind: `direct` (asked about each player) or `comparative`.
        share: Share of direct answers that were yes, or of comparative ones that named this agent, a draw
            counting half; 0 to 1.
        answers: Number of answers; those left open or marked as not applicable do not count.
    """

    agent: str
    question: str
    kind: Literal["direct", "comparative"]
    share: float
    answers: int


def profiles(store: Store, study: StudyInfo, table: Table) -> list[Profile]:
    """The profiles of a table's agents, from the judgments that the table was made of.

    Questions are in the order in which they are asked, agents in the order of the table. Agents without an
    answer to a question are left out.

    Args:
        store: Store of the study.
        study: Study of the table.
        table: Table from `rate`.
    """
    sides = {one.comparison_id: (one.left_agent, one.right_agent) for one in table.comparisons}
    tallies: dict[tuple[str, str], dict[str, list[float]]] = {}
    with store.read() as session:
        rows = session.execute(
            sa.select(Judgment.id, Judgment.responses)
            .where(Judgment.study_id == study.id)
            .order_by(Judgment.number)
        )
        for judgment, responses in rows:
            if judgment in sides and responses:
                _count(tallies, responses, sides[judgment])
    out = []
    for kind in ("direct", "comparative"):
        for (kind_asked, question), agents in tallies.items():
            if kind_asked != kind:
                continue
            for row in table.rows:
                if values := agents.get(row.agent):
                    share = sum(values) / len(values)
                    out.append(Profile(row.agent, question, kind, share, len(values)))
    return out


_LEFT_SHARE = {"left": 1.0, "draw": 0.5, "right": 0.0}


def _count(
    tallies: dict[tuple[str, str], dict[str, list[float]]],
    responses: Mapping[str, Any],
    sides: Collection[str],
) -> None:
    """Add the answers of one judgment; answers of an unknown form are ignored."""
    left, right = sides
    for item in responses.get("direct") or ():
        tally = tallies.setdefault(("direct", str(item.get("question"))), {})
        for agent, value in ((left, item.get("left")), (right, item.get("right"))):
            if isinstance(value, bool):
                tally.setdefault(agent, []).append(float(value))
    for item in responses.get("comparative") or ():
        tally = tallies.setdefault(("comparative", str(item.get("question"))), {})
        share = _LEFT_SHARE.get(str(item.get("answer")))
        if share is not None:
            tally.setdefault(left, []).append(share)
            tally.setdefault(right, []).append(1 - share)
