"""The report on raters, read one rater and one pair at a time, says what a list of all answers says."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from statistics import median
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from basalt.core.intervals import rate_interval
from basalt.core.tasks import STEPS_PER_SECOND
from leaderboard.judging import quality
from leaderboard.judging.quality import rater_reports
from leaderboard.judging.raters import rater_status, register_rater
from leaderboard.store import database
from leaderboard.store.database import Store
from leaderboard.store.models import (
    WINNERS,
    AttentionCheck,
    CheckAnswer,
    Episode,
    Judgment,
    new_id,
    pair_key,
)
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.events import add_event, record_ban
from leaderboard.studies.rules import StudyInfo
from tests.support.filled_store import fill

ADMIN = command_line_admin()


def judged_at_random(store: Store, seed: int) -> StudyInfo:
    """A study whose raters guess; some answers are withdrawn, some raters are banned, some judge a pair again and again."""
    rng = random.Random(seed)
    study = fill(store, 3, 2, name=f"study {seed}")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    raters = [register_rater(store, f"{seed} {name}") for name in "abcdef"]
    with store.write() as session:
        episodes = session.scalars(sa.select(Episode).where(Episode.study_id == study.id)).all()
        facts = {"study_id": study.id, "responses": {}, "justification": "", "video_events": []}
        for number in range(60):
            left, right = rng.sample([one for one in episodes if one.seed == episodes[0].seed], 2)
            given = {
                "id": new_id(), "rater_id": rng.choice(raters[:-1]), "winner": rng.choice(WINNERS), **facts,
                "seconds": rng.choice([0.5, 1.0, 2.5, 30.0]), "created": now + timedelta(seconds=number),
            }  # fmt: skip
            sides = {"left_episode_id": left.id, "right_episode_id": right.id}
            if rng.random() < 0.3:
                check = AttentionCheck(
                    id=new_id(), study_id=study.id, rater_id=given["rater_id"], expires=now, created=now,
                    kind=rng.choice(["gold", "self", "repeat", "qualification"]), expected="left", **sides,
                )  # fmt: skip
                session.add(check)
                session.flush()
                answer = CheckAnswer(check_id=check.id, passed=rng.random() < 0.5, **given)
            else:
                # As in the published evaluation: there, a worker may be asked about a pair twice.
                more = (
                    {"source": "bedd", "seconds": None}
                    if rng.random() < 0.5
                    else {"source": "human"}
                )
                answer = Judgment(
                    pair=pair_key(left.id, right.id), attempt=number, **sides, **(given | more)
                )
            session.add(answer)
            session.flush()
            if rng.random() < 0.1:
                add_event(
                    session, study.id, "withdraw", "rater", rater_id=given["rater_id"], answer_id=given["id"]
                )  # fmt: skip
        record_ban(session, study.id, raters[0], "rule", "a test")
    return study


def reports_of_a_list(store: Store, study: StudyInfo) -> dict[str, SimpleNamespace]:
    """What is to be reported of each rater, from the list of all answers, each compared with each other."""
    with store.read() as session:
        lengths = dict(session.execute(sa.select(Episode.id, Episode.steps)).all())
        gone = set(
            session.scalars(
                sa.text("SELECT answer_id FROM event WHERE kind = 'withdraw'").columns(
                    answer_id=sa.String()
                )
            )
        )
        judgments = session.scalars(sa.select(Judgment).where(Judgment.study_id == study.id)).all()
        checks = session.execute(
            sa.select(CheckAnswer, AttentionCheck.kind)
            .join(AttentionCheck)
            .where(CheckAnswer.study_id == study.id, CheckAnswer.winner != "skip")
        ).all()
    better = {
        one.id: {"left": one.left_episode_id, "right": one.right_episode_id}.get(
            one.winner, one.winner
        )
        for one in judgments
    }
    counted = [one for one in judgments if one.id not in gone]
    voted = [one for one in counted if one.winner != "skip"]
    same = defaultdict(list)
    for one in voted:
        for other in voted:
            if one.rater_id != other.rater_id and one.pair == other.pair:
                same[one.rater_id].append(better[one.id] == better[other.id])
    everybody = [one for given in same.values() for one in given]
    usual = sum(everybody) / len(everybody)
    out = {}
    for rater in {one.rater_id for one in judgments} | {one.rater_id for one, _ in checks}:
        own = [one for one in counted if one.rater_id == rater]
        mine = [one for one in own if one.winner != "skip"]
        sides = [one.winner for one in mine if one.winner in ("left", "right")]
        passed = {
            kind: [
                one.passed
                for one, of_kind in checks
                if of_kind == kind and one.rater_id == rater and one.id not in gone
            ]
            for kind in ("gold", "self", "repeat")
        }
        status = rater_status(store, study, rater)
        timed = [one for one in mine if one.seconds is not None]
        fast = [
            one
            for one in timed
            if one.seconds * 3 * STEPS_PER_SECOND
            < max(lengths[one.left_episode_id], lengths[one.right_episode_id])
        ]
        known = passed["gold"] + passed["self"]
        flags = []
        answers = status.answered + status.skipped
        if answers >= 4 and status.skipped >= answers / 4:
            flags.append(f"skipped {status.skipped} of {answers}")
        if len(timed) >= 4 and len(fast) >= len(timed) / 2:
            flags.append(f"answered {len(fast)} of {len(timed)} faster than 3x speed allows")
        if sides and quality._coin(sides.count("left"), len(sides)) < 0.01:
            flags.append(f"chose left in {sides.count('left')} of {len(sides)}")
        if known.count(False) and known.count(False) >= len(known) / 3:
            flags.append(f"failed {known.count(False)} of {len(known)} attention checks")
        agrees = sum(same[rater])
        if len(same[rater]) >= 10 and rate_interval(agrees, len(same[rater]))[1] < usual:
            share = agrees / len(same[rater])
            flags.append(f"agrees with others in {share:.0%}, all raters in {usual:.0%}")
        seconds = [one.seconds for one in own if one.seconds is not None]
        out[rater] = SimpleNamespace(
            state=status.state,
            judged=len(mine),
            skipped=status.skipped,
            withdrawn=sum(one.id in gone for one in judgments if one.rater_id == rater),
            gold=(sum(passed["gold"]), len(passed["gold"])),
            self_pairs=(sum(passed["self"]), len(passed["self"])),
            repeats=(sum(passed["repeat"]), len(passed["repeat"])),
            median_seconds=median(seconds) if seconds else None,
            left_share=sides.count("left") / len(sides) if sides else None,
            agreement=agrees / len(same[rater]) if same[rater] else None,
            flags=tuple(flags),
        )
    return out


def test_reports_are_those_of_a_list_of_all_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STREAMED_ROWS", 7)
    flags = set()
    for seed in range(4):
        study = judged_at_random(store, seed)
        expected = reports_of_a_list(store, study)
        found = rater_reports(store, study, ADMIN)
        for one in found:
            own = vars(expected[one.rater_id])
            assert {name: getattr(one, name) for name in own} == own
            flags |= {flag.split()[0] for flag in one.flags}
        assert {one.rater_id for one in found} == set(expected)
        assert found == sorted(found, key=lambda one: (-len(one.flags), -one.judged, one.rater_id))
        assert {one.state for one in found} >= {"banned", "judge"}
    assert {"skipped", "answered", "failed"} <= flags
