"""What BEDD's authors analyse of their answers, from any study: agreement, questions, lengths, raters.

For each task: how often raters of the same pair agree; how often a question's answer names the winner; how
long raters took and wrote; and how the answers spread over raters. Only wins, losses and draws by people
count; banned raters and withdrawn answers are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from basalt.core.comparisons import Comparison
from basalt.core.intervals import rate_interval
from basalt.core.records import Record
from basalt.io.errors import StudyError
from leaderboard.judging.agreement import gwet_ac1, krippendorff_alpha
from leaderboard.ratings.columns import task_title
from leaderboard.store.database import Store
from leaderboard.store.models import Judgment
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import StudyInfo

SOURCES = ("bedd", "human")
"""Sources of judgments by people."""

_VERDICTS = ("first", "second", "draw")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(_Part):
    """A share with its 95% Wilson interval; `share` has no value if `count` is 0."""

    share: float | None
    low: float
    high: float
    count: int


class Spread(_Part):
    """Lower quartile, median and upper quartile; None without values."""

    count: int
    quarter: float | None
    median: float | None
    three_quarters: float | None


class QuestionAnalysis(_Part):
    """One of a task's own questions against the overall answer.

    Attributes:
        question: Full text of the question.
        kind: `direct` (asked about each player) or `comparative`.
        answered: Share of the task's judgments with an answer to it.
        winner: Share of the answers that name one player and of which the overall answer names one too, in
            which both are the same player. A direct answer names the player for whom alone it is yes.
        draws: Share of the answers that name no player: draws, or the same answer for both.
    """

    question: str
    kind: Literal["direct", "comparative"]
    answered: Share
    winner: Share
    draws: Share


class TaskAnalysis(_Part):
    """The answers about one task.

    Attributes:
        task: Name of the task.
        judgments: Number of wins, losses and draws.
        draws: Share of draws.
        left: Share of left among left and right.
        pairs_judged_twice: Number of pairs of agents and seed that two raters or more judged.
        same_answer: Share of equal answers among all pairs of answers by different raters to one pair.
        alpha: Krippendorff's alpha (nominal: first, second, draw) of these answers; None if undefined.
        ac1: Gwet's AC1 of the same answers; None if undefined.
        questions: The task's own questions, in the order in which they first appear.
        seconds: Time that raters took.
        justification_words: Number of words of the reasons that were given.
        raters: Number of raters.
        judgments_per_rater: Number of judgments by each rater.
        busiest_share: Share of the judgments by the busiest tenth of the raters, at least one rater.
    """

    task: str
    judgments: int
    draws: Share
    left: Share
    pairs_judged_twice: int
    same_answer: Share
    alpha: float | None
    ac1: float | None
    questions: tuple[QuestionAnalysis, ...]
    seconds: Spread
    justification_words: Spread
    raters: int
    judgments_per_rater: Spread
    busiest_share: float | None


class AnswerAnalysis(Record):
    """Analysis of a study's answers.

    Attributes:
        study: Name of the study.
        sources: Sources of the judgments.
        tasks: One entry per task.
    """

    FORMAT: ClassVar[str] = "basalt-answer-analysis"

    study: str
    sources: tuple[str, ...]
    tasks: tuple[TaskAnalysis, ...]


def analyse_answers(store: Store, study: StudyInfo) -> AnswerAnalysis:
    """Analyse the answers by people of a study.

    Raises:
        StudyError: no person has judged in the study.
    """
    comparisons = [one for one in load_comparisons(store, study, SOURCES) if one.decisive]
    if not comparisons:
        raise StudyError(
            f"study {study.name!r}: no wins, losses or draws by people; `basalt leaderboard import-bedd` "
            "imports the published ones"
        )
    with store.read() as session:
        responses: dict[str, Mapping[str, Any]] = dict(
            session.execute(
                sa.select(Judgment.id, Judgment.responses).where(Judgment.study_id == study.id)
            ).all()
        )
    by_task: dict[str, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        by_task[one.task].append(one)
    return AnswerAnalysis(
        study=study.name,
        sources=tuple(sorted({one.source for one in comparisons})),
        tasks=tuple(
            _task(task, judged, [responses.get(one.comparison_id) or {} for one in judged])
            for task, judged in sorted(by_task.items())
        ),
    )


def _task(
    task: str, judged: Sequence[Comparison], responses: Sequence[Mapping[str, Any]]
) -> TaskAnalysis:
    answers: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, one in enumerate(judged):
        first, second = sorted((one.left_agent, one.right_agent))
        named = "draw" if one.winner == "draw" else one.winner_loser[0]
        verdict = {"draw": "draw", first: "first", second: "second"}[named]
        rater = one.rater or f"judgment {number}"
        answers[f"{one.seed} {first} {second}"].append((rater, verdict))
    # A rater's first answer to a pair counts.
    units = {pair: dict(reversed(given)) for pair, given in answers.items()}
    triples = [
        (rater, pair, word) for pair, given in units.items() for rater, word in given.items()
    ]
    same = [a == b for given in units.values() for a, b in combinations(given.values(), 2)]
    alpha, shared = krippendorff_alpha(triples)
    per_rater = Counter(one.rater for one in judged if one.rater is not None)
    busiest = sorted(per_rater.values(), reverse=True)[: max(1, len(per_rater) // 10)]
    return TaskAnalysis(
        task=task,
        judgments=len(judged),
        draws=_share([one.winner == "draw" for one in judged]),
        left=_share([one.winner == "left" for one in judged if one.winner != "draw"]),
        pairs_judged_twice=shared,
        same_answer=_share(same),
        alpha=alpha,
        ac1=gwet_ac1(triples, _VERDICTS),
        questions=_questions(judged, responses),
        seconds=_spread([one.seconds for one in judged if one.seconds is not None]),
        justification_words=_spread(
            [len(one.justification.split()) for one in judged if one.justification.strip()]
        ),
        raters=len(per_rater),
        judgments_per_rater=_spread(list(per_rater.values())),
        busiest_share=sum(busiest) / sum(per_rater.values()) if per_rater else None,
    )


def _questions(
    judged: Sequence[Comparison], responses: Sequence[Mapping[str, Any]]
) -> tuple[QuestionAnalysis, ...]:
    """How the answers to each question go with the overall answer."""
    named: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one, given in zip(judged, responses, strict=True):
        for item in given.get("direct") or ():
            sides = item.get("left"), item.get("right")
            pairs = named.setdefault(("direct", str(item.get("question"))), [])
            if all(isinstance(side, bool) for side in sides):
                word = {(True, False): "left", (False, True): "right"}.get(sides, "draw")
                pairs.append((word, one.winner))
        for item in given.get("comparative") or ():
            pairs = named.setdefault(("comparative", str(item.get("question"))), [])
            if item.get("answer") in ("left", "right", "draw"):
                pairs.append((item["answer"], one.winner))
    return tuple(
        QuestionAnalysis(
            question=question,
            kind=kind,  # type: ignore[arg-type]  # one of the two above
            answered=_counted(len(pairs), len(judged)),
            winner=_share([a == b for a, b in pairs if "draw" not in (a, b)]),
            draws=_share([a == "draw" for a, _ in pairs]),
        )
        for (kind, question), pairs in named.items()
    )


def _share(hits: Sequence[bool]) -> Share:
    return _counted(sum(hits), len(hits))


def _counted(hits: int, count: int) -> Share:
    if not count:
        return Share(share=None, low=0.0, high=1.0, count=0)
    low, high = rate_interval(hits, count)
    return Share(share=hits / count, low=low, high=high, count=count)


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(count=0, quarter=None, median=None, three_quarters=None)
    quarter, median, three = (float(one) for one in np.quantile(values, [0.25, 0.5, 0.75]))
    return Spread(count=len(values), quarter=quarter, median=median, three_quarters=three)


def text_analysis(found: AnswerAnalysis) -> str:
    """The analysis for a terminal."""
    parts = [f"Study {found.study!r}, answers by people ({', '.join(found.sources)})"]
    parts += [_text(one) for one in found.tasks]
    return "\n\n".join(parts)


def _text(one: TaskAnalysis) -> str:
    busiest = "-" if one.busiest_share is None else f"{one.busiest_share:.0%}"
    facts = {
        "judgments": f"{one.judgments}; draws {_said(one.draws)}; left {_said(one.left)}",
        "agreement": f"{one.pairs_judged_twice} pairs judged by two raters or more; "
        f"same answer {_said(one.same_answer)}; "
        f"Krippendorff's alpha {_number(one.alpha)}; Gwet's AC1 {_number(one.ac1)}",
        "seconds": _quartiles(one.seconds),
        "words of a reason": _quartiles(one.justification_words),
        "raters": f"{one.raters}; judgments of each {_quartiles(one.judgments_per_rater)}; "
        f"the busiest tenth gave {busiest}",
    }
    lines = [task_title(one.task), *(f"  {name:<18} {text}" for name, text in facts.items())]
    if one.questions:
        lines.append("  names the winner      no player  answered  question")
    lines += [
        f"  {_said(item.winner):<20}  {_percent(item.draws):>9}  {_percent(item.answered):>8}  "
        f"{item.question} ({item.kind})"
        for item in one.questions
    ]
    return "\n".join(lines)


def _percent(share: Share) -> str:
    return "-" if share.share is None else f"{share.share:.0%}"


def _said(share: Share) -> str:
    if share.share is None:
        return "-"
    return f"{share.share:.0%} ({share.low:.0%} to {share.high:.0%})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _quartiles(spread: Spread) -> str:
    if spread.median is None:
        return "-"
    return f"median {spread.median:g} (quartiles {spread.quarter:g} and {spread.three_quarters:g})"
