"""Raters whose answers are striking come first, with the reason."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.quality import rater_reports
from leaderboard.judging.raters import register_rater
from leaderboard.store.database import open_store
from leaderboard.studies.access import command_line_admin
from leaderboard.studies.settings import change_settings
from tests.support.filled_store import fill

ADMIN = command_line_admin()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAIRS = 9


def test_the_table_begins_with_raters_who_guess_or_hurry(tmp_path: Path) -> None:
    store = open_store(tmp_path / "leaderboard.sqlite")
    study = fill(store, 3, 3)
    change_settings(store, study, ADMIN, watch_share=0, answers_per_minute=10_000)

    def judge(name: str, winner: str, seconds: float = 60) -> str:
        """Answer all pairs."""
        rater, now = register_rater(store, name), NOON
        for _ in range(PAIRS):
            pair = next_pair(store, study, rater, now=now)
            assert pair is not None
            now += timedelta(seconds=seconds)
            answer_pair(store, pair.assignment_id, rater, winner, now=now)
        return rater

    honest = {judge("Ada", "draw"), judge("Grace", "draw")}
    left, fast = judge("left", "left"), judge("fast", "draw", seconds=0.01)
    first, second, *others = rater_reports(store, study, ADMIN)
    assert (first.rater_id, second.rater_id) == (left, fast)
    # Of the six pairs of raters, those without the one who is always left agree.
    assert first.flags == ("chose left in 9 of 9", "agrees with others in 0%, all raters in 50%")
    assert second.flags == ("answered 9 of 9 faster than 3x speed allows",)
    assert {one.rater_id: one.flags for one in others} == dict.fromkeys(honest, ())
    store.close()
