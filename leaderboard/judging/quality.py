"""How good the judgments are: agreement, each rater's checks, a bias to one side or to longer videos."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import krippendorff
import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from basalt.core.intervals import rate_interval
from leaderboard.judging.raters import State, read_rater_status
from leaderboard.store.database import Store
from leaderboard.store.models import (
    AttentionCheck,
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


@dataclass(frozen=True)
class RaterReport:
    """One rater of a study, as an admin sees them.

    Attributes:
        rater_id: pseudonym, as in exports.
        name: what the rater called themselves; None when not given or erased.
        invite: label of the invite by which they came, None without.
        platform, participant: the crowd platform and its name for them; None without or erased.
        joined: when, None for raters of an open study who never joined by name.
        state: see :class:`leaderboard.judging.raters.RaterStatus`.
        forgotten: whether the person behind these votes was erased.
        judged: judgments that count or would count, were the rater not banned.
        skipped: of these.
        withdrawn: answers taken back.
        gold, self_pairs, repeats: (passed, answered) checks of each kind.
        median_seconds: time from being served to answering; None without judgments.
        left_share: share of left among left and right; None without.
        agreement: share of the other raters' answers to the same pairs that are the same; None where
            nobody else has judged them.
    """

    rater_id: str
    name: str | None
    invite: str | None
    platform: str | None
    participant: str | None
    joined: datetime | None
    state: State
    forgotten: bool
    judged: int
    skipped: int
    withdrawn: int
    gold: tuple[int, int]
    self_pairs: tuple[int, int]
    repeats: tuple[int, int]
    median_seconds: float | None
    left_share: float | None
    agreement: float | None


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval (Wilson); of nothing, where ``count`` is 0."""

    share: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class StudyQuality:
    """How good a study's judgments by people are; banned raters and what was taken back left out.

    Attributes:
        judgments: how many count.
        raters: by how many people.
        shared_pairs: pairs that at least two raters have answered.
        alpha: Krippendorff's alpha (nominal: first, second, draw, both bad) over the shared pairs; None
            where there is nothing to agree on.
        left: share of left among left and right; 0.5 is none.
        longer: share of the longer video among decided pairs of unequal length; tells nothing of cause.
        repeated: share of repeated pairs answered the same way again.
    """

    judgments: int
    raters: int
    shared_pairs: int
    alpha: float | None
    left: Share
    longer: Share
    repeated: Share


@dataclass(frozen=True)
class _Vote:
    id: str
    rater: str
    pair: str
    task: str
    winner: str
    verdict: str
    longer: str
    seconds: float | None


def study_quality(store: Store, study: StudyInfo) -> StudyQuality:
    """Agreement and biases of a study's judgments by people."""
    votes, checks, banned, gone = _load(store, study)
    votes = [one for one in votes if one.rater not in banned and one.id not in gone]
    decided = [one for one in votes if one.winner in ("left", "right")]
    unequal = [one for one in decided if one.longer]
    repeats = [
        answer.passed
        for check, answer in checks
        if check.kind == "repeat" and answer.rater_id not in banned and answer.id not in gone
    ]
    alpha, shared = agreement([(one.rater, one.pair, one.verdict) for one in votes])
    return StudyQuality(
        judgments=len(votes),
        raters=len({one.rater for one in votes}),
        shared_pairs=shared,
        alpha=alpha,
        left=_share([one.winner == "left" for one in decided]),
        longer=_share([one.winner == one.longer for one in unequal]),
        repeated=_share(repeats),
    )


def rater_reports(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[RaterReport]:
    """All raters of a study, those who judged most first."""
    votes, checks, _, gone = _load(store, study)
    counted = [one for one in votes if one.id not in gone]
    by_pair: dict[str, list[_Vote]] = defaultdict(list)
    for one in counted:
        if one.winner != "skip":
            by_pair[one.pair].append(one)
    with store.read() as session:
        settings = read_settings(session, study.id)
        members = {
            one.rater_id: one
            for one in session.scalars(sa.select(Membership).where(Membership.study_id == study.id))
        }
        labels = dict(
            session.execute(
                sa.select(Invite.id, Invite.label).where(Invite.study_id == study.id)
            ).all()
        )
        ids = {*members, *(one.rater for one in votes), *(one.rater_id for _, one in checks)}
        reports = []
        for rater_id in ids:
            rater, member = session.get_one(Rater, rater_id), members.get(rater_id)
            own = [one for one in counted if one.rater == rater_id]
            decided = [one.winner == "left" for one in own if one.winner in ("left", "right")]
            same = [
                other.verdict == one.verdict
                for one in own
                if one.winner != "skip"
                for other in by_pair[one.pair]
                if other.rater != rater_id
            ]
            passed: dict[str, list[bool]] = defaultdict(list)
            for check, answer in checks:
                if answer.rater_id == rater_id and answer.id not in gone:
                    passed[check.kind].append(answer.passed)
            seconds = [one.seconds for one in own if one.seconds is not None]
            reports.append(
                RaterReport(
                    rater_id=rater_id,
                    name=rater.name,
                    invite=labels.get(member.invite_id or "") if member else None,
                    platform=member.platform if member else None,
                    participant=member.participant if member else None,
                    joined=member.joined if member else None,
                    state=read_rater_status(session, study, rater_id, settings).state,
                    forgotten=rater.erased,
                    judged=len(own),
                    skipped=sum(one.winner == "skip" for one in own),
                    withdrawn=sum(one.rater == rater_id and one.id in gone for one in votes),
                    gold=(sum(passed["gold"]), len(passed["gold"])),
                    self_pairs=(sum(passed["self"]), len(passed["self"])),
                    repeats=(sum(passed["repeat"]), len(passed["repeat"])),
                    median_seconds=median(seconds) if seconds else None,
                    left_share=sum(decided) / len(decided) if decided else None,
                    agreement=sum(same) / len(same) if same else None,
                )
            )
    return sorted(reports, key=lambda one: (-one.judged, one.rater_id))


def agreement(answers: Sequence[tuple[str, str, str]]) -> tuple[float | None, int]:
    """Krippendorff's alpha of nominal answers, by the ``krippendorff`` package.

    Args:
        answers: (rater, unit, value) each; ``skip`` counts as no answer.

    Returns:
        alpha, None where no unit has two answers or all answers are alike; and the number of units with
        at least two answers.
    """
    given = [one for one in answers if one[2] != "skip"]
    times = Counter(unit for _, unit, _ in given)
    units = sorted(unit for unit, count in times.items() if count > 1)
    shared = [one for one in given if times[one[1]] > 1]
    values = sorted({value for _, _, value in shared})
    if len(values) < 2:
        return None, len(units)
    # Values by unit and how many raters gave each: raters need not be the same for all units.
    place = {unit: row for row, unit in enumerate(units)}
    counts = np.zeros((len(units), len(values)), np.int64)
    for _, unit, value in shared:
        counts[place[unit], values.index(value)] += 1
    alpha = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    return float(alpha), len(units)


def _share(hits: Sequence[bool]) -> Share:
    if not hits:
        return Share(float("nan"), 0.0, 1.0, 0)
    low, high = rate_interval(sum(hits), len(hits))
    return Share(sum(hits) / len(hits), low, high, len(hits))


def _load(
    store: Store, study: StudyInfo
) -> tuple[list[_Vote], list[tuple[AttentionCheck, CheckAnswer]], set[str], set[str]]:
    left, right = aliased(Episode), aliased(Episode)
    with store.read() as session:
        rows = session.execute(
            sa.select(Judgment, left.task, left.steps, right.steps)
            .join(left, Judgment.left_episode_id == left.id)
            .join(right, Judgment.right_episode_id == right.id)
            .where(Judgment.study_id == study.id, Judgment.rater_id.is_not(None))
            .order_by(Judgment.number)
        )
        votes = [
            _Vote(
                id=one.id,
                rater=str(one.rater_id),
                pair=one.pair,
                task=task,
                winner=one.winner,
                verdict=_verdict(one),
                longer="" if steps == other else "left" if steps > other else "right",
                seconds=one.seconds,
            )
            for one, task, steps, other in rows
        ]
        checks = [
            (check, answer)
            for check, answer in session.execute(
                sa.select(AttentionCheck, CheckAnswer)
                .join(CheckAnswer, CheckAnswer.check_id == AttentionCheck.id)
                .where(AttentionCheck.study_id == study.id)
            )
        ]
        return votes, checks, banned_raters(session, study.id), withdrawn_answers(session, study.id)


def _verdict(one: Judgment) -> str:
    """The answer without regard to sides: ``first`` is the episode that stands first in the pair's key."""
    if one.winner not in ("left", "right"):
        return one.winner
    winner = one.left_episode_id if one.winner == "left" else one.right_episode_id
    return "first" if one.pair.startswith(winner) else "second"
