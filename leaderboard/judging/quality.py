"""Quality of judgments: agreement, attention checks, and bias to one side or to longer videos."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from math import comb
from operator import attrgetter
from statistics import median
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from basalt.core.comparisons import MIRRORED, Winner
from basalt.core.intervals import rate_interval
from basalt.core.tasks import STEPS_PER_SECOND
from leaderboard.judging.agreement import (
    VERDICTS,
    Agreement,
    measure_agreement,
)
from leaderboard.judging.clip_queue import given_answers
from leaderboard.judging.raters import RaterStatus, State, read_rater_status
from leaderboard.store.database import Store, streamed
from leaderboard.store.models import (
    AttentionCheck,
    Browser,
    CheckAnswer,
    Episode,
    Invite,
    Judgment,
    Membership,
    Rater,
)
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import banned_raters, withdrawn_answers
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import read_settings

MANY_SKIPS = 0.25
"""Share of skips among a rater's answers from which on the rater is flagged."""

FEWEST_ANSWERS = 4
"""Number of answers from which on that share, and that of fast answers, says something."""

FAST = 3.0
"""Playback speed that an answer's time must allow at least; half of the answers faster than that are flagged."""

ONE_SIDED = 0.01
"""Two-sided probability, if left and right were drawn with equal chance, below which a share of left is flagged."""

FAILED_CHECKS = 1 / 3
"""Share of failed attention checks from which on a rater is flagged."""

FEWEST_SHARED = 10
"""Number of other raters' answers from which on a low agreement is flagged."""


@dataclass(frozen=True)
class RaterReport:
    """One rater of a study, as an admin sees them.

    Attributes:
        rater_id: Pseudonym, as in exports.
        name: Name given by the rater; None if not given or erased.
        invite: Label of the invite that the rater joined with; None if there was none.
        platform: Crowd platform; None if there was none or it was erased.
        participant: Rater's id on that platform; None if there is none or it was erased.
        platform_study: The platform's id of its study; None as above.
        platform_session: The platform's id of this participation; None as above.
        browsers: Number of browsers in which the participant took part.
        joined: Time of joining; None for raters of an open study who never joined.
        state: State, see `leaderboard.judging.raters.RaterStatus`.
        held: Whether the rater is held for review.
        forgotten: Whether the rater's personal data was erased.
        judged: Number of pairs judged that count, or would count if the rater were not banned; skips are not
            among them.
        skipped: Number of pairs skipped, attention checks and practice pairs included.
        flags: Why an admin should look at this rater, in words; empty if nothing is striking.
        withdrawn: Number of withdrawn answers.
        gold: Numbers of passed and of answered gold pairs.
        self_pairs: Numbers of passed and of answered videos against themselves.
        repeats: Numbers of passed and of answered repeated pairs.
        median_seconds: Median time from serving to answer or skip in seconds; None without any.
        left_share: Share of left among left and right; None without any.
        agreement: Share of equal answers among other raters' answers to the same pairs; None if there are
            none.
    """

    rater_id: str
    name: str | None
    invite: str | None
    platform: str | None
    participant: str | None
    platform_study: str | None
    platform_session: str | None
    browsers: int
    joined: datetime | None
    state: State
    held: bool
    forgotten: bool
    judged: int
    skipped: int
    flags: tuple[str, ...]
    withdrawn: int
    gold: tuple[int, int]
    self_pairs: tuple[int, int]
    repeats: tuple[int, int]
    median_seconds: float | None
    left_share: float | None
    agreement: float | None


@dataclass(frozen=True)
class Share:
    """A share with its 95% Wilson interval; `share` has no value if `count` is 0."""

    share: float | None
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class QuestionAgreement(Agreement):
    """How far raters agree about one question of one task.

    Attributes:
        task: Name of the task.
        question: Full text of one of the task's own questions; empty for who did better overall.
        kind: `overall`, `direct` (asked about each player, each of which is a unit) or `comparative`.
    """

    task: str
    question: str
    kind: str


@dataclass(frozen=True)
class StudyQuality:
    """Quality of a study's judgments by people, without banned raters and withdrawn answers.

    Attributes:
        judgments: Number of judgments that count, skips left out.
        raters: Number of raters who made them.
        shared_pairs: Number of pairs that at least two raters have answered.
        alpha: Krippendorff's alpha (nominal: first, second, draw, both bad) over the shared pairs; None
            if it is not defined.
        alpha_interval: Its 95% interval, see `Agreement`.
        ac1: Gwet's AC1 of the same answers; None if no pair is shared. Where nearly all answers are alike,
            alpha is near 0 although raters agree, and AC1 is not.
        ac1_interval: Its 95% interval.
        left: Share of left among left and right; 0.5 means no bias.
        longer: Share of the longer video among decided pairs of unequal length; this is no evidence of a
            cause.
        repeated: Share of repeated pairs that were answered the same way again.
        questions: Agreement by task and question: of each task, who did better overall first.
    """

    judgments: int
    raters: int
    shared_pairs: int
    alpha: float | None
    alpha_interval: tuple[float, float] | None
    ac1: float | None
    ac1_interval: tuple[float, float] | None
    left: Share
    longer: Share
    repeated: Share
    questions: tuple[QuestionAgreement, ...]


@dataclass(frozen=True)
class _Vote:
    id: str
    rater: str
    task: str
    pair: str
    winner: str
    verdict: str
    longer: str
    length: float
    seconds: float | None
    left: str  # `first` or `second`, as in verdicts
    responses: Mapping[str, Any]


class _Check(NamedTuple):
    kind: str
    id: str
    rater: str
    passed: bool


class _Share(NamedTuple):
    """How many of the answers that count have something."""

    hits: int = 0
    of: int = 0


@dataclass(frozen=True)
class _Tally:
    """What a rater's answers add up to.

    Attributes:
        judged: Number of pairs judged; skips and withdrawn answers are not among them.
        withdrawn: Number of withdrawn answers.
        fast: Answers faster than `FAST` allows, of those whose time is known.
        left: Answers for the left side, of those for one side.
        median_seconds: Median time of an answer or skip in seconds; None without any.
    """

    judged: int = 0
    withdrawn: int = 0
    fast: _Share = field(default_factory=_Share)
    left: _Share = field(default_factory=_Share)
    median_seconds: float | None = None


def study_quality(store: Store, study: StudyInfo) -> StudyQuality:
    """Agreement and biases of a study's judgments by people."""
    with store.read() as session:
        banned, gone = banned_raters(session, study.id), withdrawn_answers(session, study.id)
        votes = [
            one
            for one in _votes(session, study, "number")
            if one.rater not in banned and one.id not in gone and one.winner != "skip"
        ]
        checks = list(_checks(session, study))
    decided = [one for one in votes if one.winner in ("left", "right")]
    unequal = [one for one in decided if one.longer]
    repeats = [
        one.passed
        for one in checks
        if one.kind == "repeat" and one.rater not in banned and one.id not in gone
    ]
    found = measure_agreement([(one.rater, one.pair, one.verdict) for one in votes], VERDICTS)
    return StudyQuality(
        judgments=len(votes),
        raters=len({one.rater for one in votes}),
        shared_pairs=found.units,
        alpha=found.alpha,
        alpha_interval=found.alpha_interval,
        ac1=found.ac1,
        ac1_interval=found.ac1_interval,
        left=_share([one.winner == "left" for one in decided]),
        longer=_share([one.winner == one.longer for one in unequal]),
        repeated=_share(repeats),
        questions=tuple(_by_question(votes)),
    )


VALUES = {
    "overall": VERDICTS,
    "direct": ("yes", "no"),
    "comparative": ("first", "second", "draw"),
}
"""Answers to each kind of question regardless of sides; those left open or marked as not applicable are left out."""


def _by_question(votes: Sequence[_Vote]) -> Iterator[QuestionAgreement]:
    """Agreement by task and question, in the order in which tasks and questions first appear."""
    given: defaultdict[str, dict[tuple[str, str], list[tuple[str, str, str]]]] = defaultdict(dict)
    for one in votes:
        of_task = given[one.task]
        for kind, question, unit, value in _values(one):
            of_task.setdefault((kind, question), []).append((one.rater, unit, value))
    for task, questions in given.items():
        for (kind, question), answers in questions.items():
            found = measure_agreement(answers, VALUES[kind])
            yield QuestionAgreement(**vars(found), task=task, question=question, kind=kind)


def _values(vote: _Vote) -> Iterator[tuple[str, str, str, str]]:
    """Each answer of a vote: kind, question, what it is about, and its value; answers of an unknown form are left out."""
    yield "overall", "", vote.pair, vote.verdict
    right = "second" if vote.left == "first" else "first"
    for item in vote.responses.get("direct") or ():
        for side, player in (("left", vote.left), ("right", right)):
            if isinstance(value := item.get(side), bool):
                unit = f"{vote.pair} {player}"
                yield "direct", str(item.get("question")), unit, "yes" if value else "no"
    for item in vote.responses.get("comparative") or ():
        answer = {"left": vote.left, "right": right, "draw": "draw"}.get(str(item.get("answer")))
        if answer is not None:
            yield "comparative", str(item.get("question")), vote.pair, answer


def rater_reports(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[RaterReport]:
    """All raters of a study: those with most flags first, then by number of judgments.

    Of a study of episodes, answers are in memory one rater, or one pair, at a time.
    """
    with store.read() as session:
        settings = read_settings(session, study.id)
        gone = withdrawn_answers(session, study.id)
        tallies = {
            rater: _tally(votes, gone)
            for rater, votes in groupby(_votes(session, study, "rater"), attrgetter("rater"))
        }
        shared = _shared_answers(session, study, gone)
        pairs = sum(one.of for one in shared.values())
        usual = sum(one.hits for one in shared.values()) / pairs if pairs else 1.0
        passed: defaultdict[str, dict[str, _Share]] = defaultdict(dict)
        for check in _checks(session, study):
            of_rater = passed[check.rater]
            hits, of = of_rater.get(check.kind, _Share())
            if check.id not in gone:
                of_rater[check.kind] = _Share(hits + check.passed, of + 1)
        people = {
            rater.id: (rater, member)
            for member, rater in session.execute(
                sa.select(Membership, Rater)
                .join(Rater, Membership.rater_id == Rater.id)
                .where(Membership.study_id == study.id)
            )
        }
        browsers = dict(
            session.execute(
                sa.select(Browser.rater_id, sa.func.count())
                .where(Browser.study_id == study.id)
                .group_by(Browser.rater_id)
            ).all()
        )
        labels = dict(
            session.execute(
                sa.select(Invite.id, Invite.label).where(Invite.study_id == study.id)
            ).all()
        )
        reports = []
        for rater_id in {*people, *tallies, *passed}:
            # Raters of an open study may not have joined it.
            rater, member = people.get(rater_id) or (session.get_one(Rater, rater_id), None)
            tally = tallies.get(rater_id, _Tally())
            same = shared.get(rater_id, _Share())
            checks = {
                kind: passed[rater_id].get(kind, _Share()) for kind in ("gold", "self", "repeat")
            }
            status = read_rater_status(session, study, rater_id, settings)
            reports.append(
                RaterReport(
                    rater_id=rater_id,
                    name=rater.name,
                    invite=labels.get(member.invite_id or "") if member else None,
                    platform=member.platform if member else None,
                    participant=member.participant if member else None,
                    platform_study=member.platform_study if member else None,
                    platform_session=member.platform_session if member else None,
                    browsers=browsers.get(rater_id, 1),
                    joined=member.joined if member else None,
                    state=status.state,
                    held=status.held,
                    forgotten=rater.erased,
                    judged=tally.judged,
                    skipped=status.skipped,
                    flags=_flags(status, tally, same, usual, checks),
                    withdrawn=tally.withdrawn,
                    gold=(*checks["gold"],),
                    self_pairs=(*checks["self"],),
                    repeats=(*checks["repeat"],),
                    median_seconds=tally.median_seconds,
                    left_share=tally.left.hits / tally.left.of if tally.left.of else None,
                    agreement=same.hits / same.of if same.of else None,
                )
            )
    return sorted(reports, key=lambda one: (-len(one.flags), -one.judged, one.rater_id))


def _tally(votes: Iterable[_Vote], gone: Collection[str]) -> _Tally:
    """What the answers of one rater add up to, of which the withdrawn ones `gone` do not count."""
    given = list(votes)
    own = [one for one in given if one.id not in gone]
    judged = [one for one in own if one.winner != "skip"]
    decided = [one.winner for one in judged if one.winner in ("left", "right")]
    took = [(one.seconds, one.length) for one in judged if one.seconds is not None]
    seconds = [one.seconds for one in own if one.seconds is not None]
    return _Tally(
        judged=len(judged),
        withdrawn=len(given) - len(own),
        fast=_Share(sum(seconds * FAST < length for seconds, length in took), len(took)),
        left=_Share(decided.count("left"), len(decided)),
        median_seconds=median(seconds) if seconds else None,
    )


def _shared_answers(session: Session, study: StudyInfo, gone: Collection[str]) -> dict[str, _Share]:
    """By rater, the equal ones among other raters' answers to the same pairs. Over all raters, each two answers count twice."""
    hits: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for _, votes in groupby(_votes(session, study, "pair"), attrgetter("pair")):
        given = Counter(
            (one.rater, one.verdict) for one in votes if one.winner != "skip" and one.id not in gone
        )
        by_verdict: Counter[str] = Counter()
        by_rater: Counter[str] = Counter()
        for (rater, verdict), times in given.items():
            by_verdict[verdict] += times
            by_rater[rater] += times
        for (rater, verdict), times in given.items():
            hits[rater] += times * (by_verdict[verdict] - times)
            of[rater] += times * (given.total() - by_rater[rater])
    return {rater: _Share(hits[rater], total) for rater, total in of.items()}


def _flags(
    status: RaterStatus,
    tally: _Tally,
    same: _Share,
    usual: float,
    passed: Mapping[str, _Share],
) -> tuple[str, ...]:
    """What is striking about a rater's answers, in words.

    Args:
        status: State of the rater.
        tally: What the rater's answers add up to.
        same: Equal ones among other raters' answers to the same pairs.
        usual: Agreement of all raters.
        passed: Passed attention checks by their kind.
    """
    found = []
    answers = status.answered + status.skipped
    used_up = status.skipped > 0 and status.skips_left == 0
    often = answers >= FEWEST_ANSWERS and status.skipped >= MANY_SKIPS * answers
    if used_up or often:
        found.append(f"skipped {status.skipped} of {answers}")
    fast, timed = tally.fast
    if timed >= FEWEST_ANSWERS and 2 * fast >= timed:
        found.append(f"answered {fast} of {timed} faster than {FAST:g}x speed allows")
    if tally.left.of and _coin(*tally.left) < ONE_SIDED:
        found.append(f"chose left in {tally.left.hits} of {tally.left.of}")
    checks = passed["gold"].of + passed["self"].of
    failed = checks - passed["gold"].hits - passed["self"].hits
    if failed and failed >= FAILED_CHECKS * checks:
        found.append(f"failed {failed} of {checks} attention checks")
    if same.of >= FEWEST_SHARED and rate_interval(*same)[1] < usual:
        found.append(f"agrees with others in {same.hits / same.of:.0%}, all raters in {usual:.0%}")
    return tuple(found)


def _coin(heads: int, tosses: int) -> float:
    """Probability that a fair coin gives a number of heads at least as far from the half, on either side."""
    few = min(heads, tosses - heads)
    return min(1.0, 2 * sum(comb(tosses, k) for k in range(few + 1)) / 2**tosses)


def _share(hits: Sequence[bool]) -> Share:
    if not hits:
        return Share(None, 0.0, 1.0, 0)
    low, high = rate_interval(sum(hits), len(hits))
    return Share(sum(hits) / len(hits), low, high, len(hits))


def _votes(
    session: Session, study: StudyInfo, order: Literal["number", "rater", "pair"]
) -> Iterator[_Vote]:
    """All answers of a study's raters, in the order they were given, or by rater or pair; attention checks are not among them.

    Those of a study of episodes are read a few at a time; answers to its questions come only with the order `number`.
    """
    if study.rules.clips:
        votes = list(_clip_votes(session, study))
        yield from votes if order == "number" else sorted(votes, key=attrgetter(order))
        return
    left, right = aliased(Episode), aliased(Episode)
    columns = {"number": Judgment.number, "rater": Judgment.rater_id, "pair": Judgment.pair}
    query = (
        sa.select(
            Judgment.id,
            Judgment.rater_id,
            Judgment.pair,
            Judgment.left_episode_id,
            Judgment.winner,
            Judgment.seconds,
            left.task,
            left.steps,
            right.steps,
            *([Judgment.responses] if order == "number" else []),
        )
        .join(left, Judgment.left_episode_id == left.id)
        .join(right, Judgment.right_episode_id == right.id)
        .where(Judgment.study_id == study.id, Judgment.rater_id.is_not(None))
        .order_by(columns[order], Judgment.number)
    )
    for one, rater, pair, shown_left, winner, seconds, task, steps, other, *responses in streamed(
        session, query
    ):
        first = pair.startswith(shown_left)  # the key begins with one of the episodes
        sides = {"left": "first" if first else "second", "right": "second" if first else "first"}
        yield _Vote(
            id=one,
            rater=rater,
            task=task,
            pair=pair,
            winner=winner,
            verdict=sides.get(winner, winner),
            longer="" if steps == other else "left" if steps > other else "right",
            length=max(steps, other) / STEPS_PER_SECOND,
            seconds=seconds,
            left=sides["left"],
            responses=responses[0] if responses else {},
        )


def _checks(session: Session, study: StudyInfo) -> Iterator[_Check]:
    """All answered attention checks of a study; skipped ones are not among them."""
    if study.rules.clips:
        yield from _clip_checks(session, study)
        return
    query = (
        sa.select(AttentionCheck.kind, CheckAnswer.id, CheckAnswer.rater_id, CheckAnswer.passed)
        .join(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
        .where(AttentionCheck.study_id == study.id, CheckAnswer.winner != "skip")
    )
    for row in streamed(session, query):
        yield _Check(*row)


def _clip_votes(session: Session, study: StudyInfo) -> Iterator[_Vote]:
    """Answers about clips that were not dropped, without checks."""
    for one in given_answers(session, study.id):
        if not one.is_check:
            yield _Vote(
                id=one.id,
                rater=one.rater,
                task=next(iter(study.rules.tasks)),
                pair=one.question,
                winner=one.winner,
                verdict=one.verdict,
                longer="",
                length=0.0,
                seconds=one.seconds,
                left="first",
                responses={},
            )


def _clip_checks(session: Session, study: StudyInfo) -> Iterator[_Check]:
    """Checks with clips that were answered and not dropped."""
    winners: dict[str, Winner] = {}
    for one in given_answers(session, study.id):
        winners[one.id] = one.winner
        if not one.is_check or one.winner == "skip":
            continue
        if one.gold is not None:
            yield _Check("gold", one.id, one.rater, one.winner == one.gold)
        elif one.repeats is not None:
            # A repeat is shown with the sides swapped.
            same = one.winner == MIRRORED[winners[one.repeats]]
            yield _Check("repeat", one.id, one.rater, same)
