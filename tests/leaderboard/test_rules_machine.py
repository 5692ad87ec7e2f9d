"""Whatever the order of serving, answering, expiring, banning and undoing: the rules hold."""

import random
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from leaderboard.judging.assignments import ServedPair, next_pair
from leaderboard.judging.judgments import AnswerRefusedError, answer_pair, undo_last
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import open_store
from leaderboard.store.models import Assignment
from leaderboard.studies.access import AccessDeniedError, command_line_admin
from leaderboard.studies.events import ban, unban
from leaderboard.studies.export import load_comparisons
from leaderboard.studies.rules import find_study
from tests.support.filled_store import fill

ADMIN = command_line_admin()
RATERS = ("ada", "bob", "eve")
PAIRS = 6
"""Three agents and two seeds."""

raters = st.sampled_from(RATERS)


class Judging(RuleBasedStateMachine):
    """A store, and beside it what must be true of it."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="basalt-rules-"))
        shutil.copyfile(self.template, self.folder / "s.sqlite")
        self.store = open_store(self.folder / "s.sqlite")
        self.study = find_study(self.store, "small")
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.rng = random.Random(0)
        self.ids = {name: register_rater(self.store, name) for name in RATERS}
        self.open: dict[str, ServedPair] = {}
        # By rater: (pair, winner, when), those taken back left out.
        self.said: dict[str, list[tuple[str, str, datetime]]] = {name: [] for name in RATERS}
        self.banned: set[str] = set()
        self.old: list[tuple[str, ServedPair]] = []

    def pair_of(self, served: ServedPair) -> str:
        with self.store.read() as session:
            return session.get_one(Assignment, served.assignment_id).pair

    def reserved(self, name: str) -> ServedPair | None:
        served = self.open.get(name)
        return served if served is not None and served.expires > self.now else None

    def is_answered_since(self, name: str, served: ServedPair) -> bool:
        """Whether another answer has replaced one that comes after the time of the pair."""
        with self.store.read() as session:
            row = session.get_one(Assignment, served.assignment_id)
        return any(
            pair == row.pair and (other == name or when >= row.expires)
            for other in RATERS
            for pair, _, when in self.said[other]
        )

    @rule(name=raters)
    def serve(self, name: str) -> None:
        if name in self.banned:
            with pytest.raises(AccessDeniedError):
                next_pair(self.store, self.study, self.ids[name], now=self.now)
            return
        pair = next_pair(self.store, self.study, self.ids[name], now=self.now, rng=self.rng)
        if (present := self.reserved(name)) is not None:
            assert pair == present
            return
        answered = {one for one, _, _ in self.said[name]}
        if len(answered) == PAIRS:
            assert pair is None
            return
        assert pair is not None
        key = self.pair_of(pair)
        assert key not in answered
        taken = {self.pair_of(one) for other in RATERS if (one := self.reserved(other))}
        assert key not in taken or len(answered | taken) == PAIRS
        self.open[name] = pair

    @rule(name=raters, winner=st.sampled_from(["left", "right", "draw", "both_bad", "skip"]))
    def answer(self, name: str, winner: str) -> None:
        served = self.open.get(name)
        if served is None:
            return
        answer = partial(
            answer_pair, self.store, served.assignment_id, self.ids[name], winner,
            skip_reason="broken" if winner == "skip" else None, now=self.now,
        )  # fmt: skip
        if name in self.banned:
            with pytest.raises(AccessDeniedError):
                answer()
        elif self.reserved(name) is None and self.is_answered_since(name, served):
            with pytest.raises(AnswerRefusedError, match="came too late"):
                answer()
        else:
            first = answer()
            assert answer() == first
            self.said[name].append((self.pair_of(served), winner, self.now))
            self.old.append((name, served))
            del self.open[name]

    @rule(name=raters, data=st.data())
    def answer_somebody_elses(self, name: str, data: st.DataObject) -> None:
        others = [one for one in self.open if one != name]
        if others:
            served = self.open[data.draw(st.sampled_from(others))]
            with pytest.raises(AnswerRefusedError, match="another rater"):
                answer_pair(self.store, served.assignment_id, self.ids[name], "left", now=self.now)

    @rule(seconds=st.sampled_from([5, 30, 70, 1900]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(name=raters)
    def undo(self, name: str) -> None:
        last = self.said[name][-1] if self.said[name] else None
        if name in self.banned:
            with pytest.raises(AccessDeniedError):
                undo_last(self.store, self.study, self.ids[name], now=self.now)
        elif last is None or self.now - last[2] > timedelta(seconds=60):
            with pytest.raises(AnswerRefusedError):
                undo_last(self.store, self.study, self.ids[name], now=self.now)
        else:
            again = undo_last(self.store, self.study, self.ids[name], now=self.now)
            assert self.pair_of(again) == last[0]
            self.said[name].pop()
            self.open[name] = again

    @rule(name=raters)
    def ban_or_unban(self, name: str) -> None:
        if name in self.banned:
            unban(self.store, self.study, ADMIN, self.ids[name], "again")
            self.banned.remove(name)
        else:
            ban(self.store, self.study, ADMIN, self.ids[name], "out")
            self.banned.add(name)
            # Banning ends the reservation at the present time of the server, not of this test.
            if name in self.open:
                self.now = max(self.now, datetime.now(UTC))
                self.open.pop(name)

    @invariant()
    def what_counts_is_what_was_said(self) -> None:
        counted = sorted(
            (str(one.rater), one.winner) for one in load_comparisons(self.store, self.study)
        )
        assert counted == sorted(
            (self.ids[name], winner)
            for name in RATERS
            if name not in self.banned
            for _, winner, _ in self.said[name]
        )

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


def test_the_rules_hold_in_any_order(tmp_path: Path) -> None:
    store = open_store(tmp_path / "template.sqlite")
    fill(store, agents=3, seeds=2)
    store.close()
    Judging.template = tmp_path / "template.sqlite"
    run_state_machine_as_test(
        Judging,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
