"""Checks of raters: pairs with a known answer, served like any other, that never enter a rating.

- **qualification**: gold pairs that a rater answers before judging;
- **gold**: the same kind of pair in between;
- **repeat**: a pair that the rater has answered, sides swapped;
- **self**: a video against itself, which nobody can have done better.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from basalt.io.errors import StudyError
from leaderboard.store.database import Store
from leaderboard.store.models import (
    Agent,
    Check,
    CheckAnswer,
    Episode,
    GoldPair,
    Judgment,
    new_id,
    pair_key,
)
from leaderboard.studies.access import AdminIdentity
from leaderboard.studies.events import BY_RULE, last_event, record_ban, withdrawn_answers
from leaderboard.studies.rules import StudyInfo
from leaderboard.studies.settings import JudgingSettings

MIRRORED = {"left": "right", "right": "left", "draw": "draw"}

# Among how many of a rater's own answers one is drawn to be repeated, and how many must lie between.
_REPEAT_AFTER = 3


@dataclass(frozen=True)
class Qualification:
    """How far a rater is with the qualification.

    Attributes:
        state: ``none`` (the study has none), ``open``, ``passed`` or ``failed``.
        answered, right: gold pairs answered, and of these rightly.
        pairs, needed: how many are asked, and how many must be right.
    """

    state: Literal["none", "open", "passed", "failed"]
    answered: int
    right: int
    pairs: int
    needed: int


@dataclass(frozen=True)
class GoldInfo:
    """A gold pair, as an admin sees it.

    Attributes:
        id: opaque.
        task, seed: of both episodes.
        left, right: the agents' names.
        better: ``left``, ``right`` or ``draw``.
        explanation: shown to raters after the qualification's answer.
        answered, right: how often it was answered, and rightly; a pair that many miss may be no gold.
        retired: when it was taken out, None while it is in use.
    """

    id: str
    task: str
    seed: int
    left: str
    right: str
    better: str
    explanation: str
    answered: int
    right_answers: int
    retired: datetime | None


def add_gold_pair(
    store: Store,
    study: StudyInfo,
    admin: AdminIdentity,
    left_episode_id: str,
    right_episode_id: str,
    better: str,
    explanation: str = "",
) -> str:
    """Say of two episodes of a study which did better; returns the gold pair's id.

    Args:
        store: the leaderboard.
        study: the study.
        admin: who says so.
        left_episode_id, right_episode_id: two episodes of the same task and seed; sides are drawn anew
            each time they are shown.
        better: ``left``, ``right`` or ``draw``.
        explanation: why, shown to raters after the qualification's answer.

    Raises:
        StudyError: not two episodes of this study with a common seed, or given already.
    """
    if better not in MIRRORED:
        raise StudyError(f"better {better!r}: one of {', '.join(MIRRORED)}")
    if len(explanation) > 2000:
        raise StudyError("the explanation is longer than 2000 characters")
    with store.write() as session:
        left, right = (
            session.get(Episode, episode) for episode in (left_episode_id, right_episode_id)
        )
        if (
            left is None
            or right is None
            or left.id == right.id
            or {left.study_id, right.study_id} != {study.id}
            or (left.task, left.seed) != (right.task, right.seed)
        ):
            raise StudyError("a gold pair is of two episodes of this study with a common seed")
        key = pair_key(left.id, right.id)
        for other in _in_use(session, study.id):
            if pair_key(other.left_episode_id, other.right_episode_id) == key:
                raise StudyError("this is a gold pair already")
        gold = GoldPair(
            id=new_id(),
            study_id=study.id,
            left_episode_id=left.id,
            right_episode_id=right.id,
            better=better,
            explanation=explanation.strip(),
            created=datetime.now(UTC),
        )
        session.add(gold)
        return gold.id


def retire_gold_pair(store: Store, study: StudyInfo, admin: AdminIdentity, gold_id: str) -> None:
    """Use a gold pair no more; what was answered stays.

    Raises:
        StudyError: the study has no such gold pair.
    """
    with store.write() as session:
        gold = session.get(GoldPair, gold_id)
        if gold is None or gold.study_id != study.id:
            raise StudyError("the study has no such gold pair")
        gold.retired = gold.retired or datetime.now(UTC)


def list_gold_pairs(store: Store, study: StudyInfo, admin: AdminIdentity) -> list[GoldInfo]:
    """All gold pairs of a study in the order they were added."""
    with store.read() as session:
        names = dict(
            session.execute(
                sa.select(Episode.id, Agent.name)
                .join(Agent, Episode.agent_id == Agent.id)
                .where(Episode.study_id == study.id)
            ).all()
        )
        answers = session.execute(
            sa.select(Check.gold_id, CheckAnswer.passed)
            .join(CheckAnswer, CheckAnswer.check_id == Check.id)
            .where(Check.study_id == study.id, Check.gold_id.is_not(None))
        ).all()
        out = []
        for gold in session.scalars(
            sa.select(GoldPair).where(GoldPair.study_id == study.id).order_by(GoldPair.created)
        ):
            episode = session.get_one(Episode, gold.left_episode_id)
            passed = [right for gold_id, right in answers if gold_id == gold.id]
            out.append(
                GoldInfo(
                    gold.id,
                    episode.task,
                    episode.seed,
                    names[gold.left_episode_id],
                    names[gold.right_episode_id],
                    gold.better,
                    gold.explanation,
                    len(passed),
                    sum(passed),
                    gold.retired,
                )
            )
        return out


def qualification(
    session: Session, study_id: str, rater_id: str, settings: JudgingSettings
) -> Qualification:
    """How far a rater is with the qualification, since the last leave to try again."""
    pairs, needed = settings.qualification_pairs, settings.qualification_right
    if not pairs:
        return Qualification("none", 0, 0, 0, 0)
    passed = [answer.passed for _, answer in _qualification_answers(session, study_id, rater_id)]
    answered, right = len(passed), sum(passed)
    if answered < pairs:
        return Qualification("open", answered, right, pairs, needed)
    state: Literal["passed", "failed"] = "passed" if right >= needed else "failed"
    return Qualification(state, answered, right, pairs, needed)


def qualification_pair(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    now: datetime,
    rng: random.Random,
) -> Check:
    """The next gold pair of a rater's qualification, reserved.

    Raises:
        StudyError: the study has fewer gold pairs than it asks for.
    """
    done = {check.gold_id for check, _ in _qualification_answers(session, study.id, rater_id)}
    free = [gold for gold in _in_use(session, study.id) if gold.id not in done]
    if not free:
        raise StudyError(
            "this study asks for a qualification but has too few gold pairs; its admin can add some"
        )
    return _serve_gold(session, study, rater_id, rng.choice(free), "qualification", now, rng)


def attention_check(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    kinds: Iterable[str],
    now: datetime,
    rng: random.Random,
) -> Check | None:
    """A check of one of the kinds, in random order of kinds, reserved; None where none can be made."""
    shuffled = list(kinds)
    rng.shuffle(shuffled)
    for kind in shuffled:
        make = {"gold": _gold, "repeat": _repeat, "self": _self}[kind]
        if (check := make(session, study, rater_id, now, rng)) is not None:
            return check
    return None


def passes(check: Check, winner: str) -> bool:
    """Whether an answer to a check is right.

    Whoever finds neither video better than itself may say draw, both bad or skip.
    """
    if check.kind == "self":
        return winner not in ("left", "right")
    return winner == check.expected


def after_check_answer(
    session: Session, study_id: str, rater_id: str, settings: JudgingSettings
) -> None:
    """Ban a rater by rule who has failed too many checks (gold and self)."""
    limit = settings.ban_after_failed_checks
    if limit is None:
        return
    gone = withdrawn_answers(session, study_id, rater_id)
    failed = [
        answer
        for answer in session.scalars(
            sa.select(CheckAnswer.id)
            .join(Check, CheckAnswer.check_id == Check.id)
            .where(
                CheckAnswer.study_id == study_id,
                CheckAnswer.rater_id == rater_id,
                CheckAnswer.passed.is_(False),
                Check.kind.in_(("gold", "self")),
            )
        )
        if answer not in gone
    ]
    if len(failed) >= limit:
        record_ban(session, study_id, rater_id, BY_RULE, f"failed {len(failed)} attention checks")


def _qualification_answers(
    session: Session, study_id: str, rater_id: str
) -> list[tuple[Check, CheckAnswer]]:
    """The answers of a rater's present qualification that were not taken back."""
    query = (
        sa.select(Check, CheckAnswer)
        .join(CheckAnswer, CheckAnswer.check_id == Check.id)
        .where(
            Check.study_id == study_id,
            Check.rater_id == rater_id,
            Check.kind == "qualification",
        )
    )
    if (again := last_event(session, study_id, "requalify", rater_id)) is not None:
        query = query.where(CheckAnswer.created > again)
    gone = withdrawn_answers(session, study_id, rater_id)
    return [(check, answer) for check, answer in session.execute(query) if answer.id not in gone]


def _in_use(session: Session, study_id: str) -> list[GoldPair]:
    return list(
        session.scalars(
            sa.select(GoldPair)
            .where(GoldPair.study_id == study_id, GoldPair.retired.is_(None))
            .order_by(GoldPair.id)
        )
    )


def _seen(session: Session, study: StudyInfo, rater_id: str) -> list[Check]:
    return list(
        session.scalars(
            sa.select(Check).where(Check.study_id == study.id, Check.rater_id == rater_id)
        )
    )


def _gold(
    session: Session, study: StudyInfo, rater_id: str, now: datetime, rng: random.Random
) -> Check | None:
    seen = {check.gold_id for check in _seen(session, study, rater_id)}
    judged = set(session.scalars(sa.select(Judgment.pair).where(Judgment.rater_id == rater_id)))
    free = [
        gold
        for gold in _in_use(session, study.id)
        if gold.id not in seen
        and pair_key(gold.left_episode_id, gold.right_episode_id) not in judged
    ]
    if not free:
        return None
    return _serve_gold(session, study, rater_id, rng.choice(free), "gold", now, rng)


def _repeat(
    session: Session, study: StudyInfo, rater_id: str, now: datetime, rng: random.Random
) -> Check | None:
    gone = withdrawn_answers(session, study.id, rater_id)
    repeated = {check.judgment_id for check in _seen(session, study, rater_id)}
    own = [
        judgment
        for judgment in session.scalars(
            sa.select(Judgment)
            .where(
                Judgment.study_id == study.id,
                Judgment.rater_id == rater_id,
                Judgment.source == "human",
            )
            .order_by(Judgment.number)
        )
        if judgment.id not in gone
    ][:-_REPEAT_AFTER]
    free = [
        judgment
        for judgment in own
        if judgment.id not in repeated and judgment.winner in ("left", "right")
    ]
    if not free:
        return None
    first = rng.choice(free)
    return _serve(
        session,
        study,
        rater_id,
        "repeat",
        (first.right_episode_id, first.left_episode_id),
        MIRRORED[first.winner],
        now,
        judgment_id=first.id,
    )


def _self(
    session: Session, study: StudyInfo, rater_id: str, now: datetime, rng: random.Random
) -> Check | None:
    seen = {check.left_episode_id for check in _seen(session, study, rater_id)}
    free = [
        episode
        for episode in session.scalars(
            sa.select(Episode.id).where(Episode.study_id == study.id).order_by(Episode.id)
        )
        if episode not in seen
    ]
    if not free:
        return None
    one = rng.choice(free)
    return _serve(session, study, rater_id, "self", (one, one), "draw", now)


def _serve_gold(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    gold: GoldPair,
    kind: str,
    now: datetime,
    rng: random.Random,
) -> Check:
    sides, expected = (gold.left_episode_id, gold.right_episode_id), gold.better
    if rng.random() < 0.5:
        sides, expected = (sides[1], sides[0]), MIRRORED[expected]
    return _serve(session, study, rater_id, kind, sides, expected, now, gold_id=gold.id)


def _serve(
    session: Session,
    study: StudyInfo,
    rater_id: str,
    kind: str,
    sides: tuple[str, str],
    expected: str,
    now: datetime,
    *,
    gold_id: str | None = None,
    judgment_id: str | None = None,
) -> Check:
    check = Check(
        id=new_id(),
        study_id=study.id,
        rater_id=rater_id,
        kind=kind,
        gold_id=gold_id,
        judgment_id=judgment_id,
        left_episode_id=sides[0],
        right_episode_id=sides[1],
        expected=expected,
        created=now,
        expires=now + timedelta(minutes=study.rules.reserve_minutes),
    )
    session.add(check)
    session.flush()
    return check
