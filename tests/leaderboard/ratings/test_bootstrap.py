"""Intervals by bootstrap: reproducible, covering, and wider where raters hang together."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from leaderboard.ratings.bootstrap import (
    MIN_COMPARISONS,
    MIN_RATERS,
    Interval,
    _clusters,
    _draw,
    bootstrap,
)
from leaderboard.ratings.ranking import Table, rate
from tests.support.synthetic_comparisons import one_comparison, planted


def the_table(comparisons: list[Comparison]) -> Table:
    (table,) = rate(comparisons)
    return table


def test_the_same_judgments_give_the_same_intervals_in_whatever_order() -> None:
    history = planted((0, 0.5, 1), 60, raters=12)
    expected = bootstrap(the_table(history), 50)
    assert bootstrap(the_table(history[::-1]), 50) == expected
    assert bootstrap(the_table(history), 50) == expected
    assert bootstrap(the_table(history), 50, seed=1) != expected


def test_intervals_hold_the_rating_and_the_place_of_clearly_different_agents() -> None:
    table = the_table(planted((0, 2, 4, 6), 400, raters=20))
    intervals = bootstrap(table, 200)
    assert [row.agent for row in table.rows] == ["a3", "a2", "a1", "a0"]
    for place, row in enumerate(table.rows, start=1):
        interval = intervals[row.agent]
        assert interval.low < row.value < interval.high
        assert interval.rank_low <= place <= interval.rank_high
    assert (intervals["a3"].rank_low, intervals["a0"].rank_high) == (1, 4)


def test_places_of_equal_agents_overlap() -> None:
    intervals = bootstrap(the_table(planted((0, 0, 0), 150, raters=30)), 200)
    assert all(one.rank_low < one.rank_high for one in intervals.values())


def test_more_comparisons_narrow_the_interval() -> None:
    def width(count: int) -> float:
        intervals = bootstrap(the_table(planted((0, 0.3), count, raters=count)), 300)
        return intervals["a1"].high - intervals["a1"].low

    assert width(400) < width(60)


def test_raters_who_disagree_widen_the_interval() -> None:
    """Half the raters always prefer a, half b: 400 comparisons say little more than 20 opinions."""

    def width(comparisons: list[Comparison]) -> float:
        interval = bootstrap(the_table(comparisons), 300)["a"]
        return interval.high - interval.low

    together = [
        one_comparison("a", "b", "left" if minute % 20 < 10 else "right", minute, f"r{minute % 20}")
        for minute in range(400)
    ]
    apart = [replace(one, rater=f"r{i}") for i, one in enumerate(together)]
    assert width(together) > 1.3 * width(apart)


def test_one_rater_few_raters_and_rules_give_intervals_too() -> None:
    for raters in ("r0", None):
        history = [replace(one, rater=raters) for one in planted((0, 1), 80)]
        interval = bootstrap(the_table(history), 100)["a1"]
        assert interval.high - interval.low > 0.5
    few = bootstrap(the_table(planted((0, 1), 80, raters=MIN_RATERS - 1)), 100)
    assert few["a1"].high - few["a1"].low > 0.5


def test_without_wins_losses_or_draws_there_is_no_interval() -> None:
    table = the_table([one_comparison("a", "b", "both_bad"), one_comparison("a", "b", "skip", 1)])
    assert bootstrap(table) == {}
    assert bootstrap(the_table(planted((0, 1), 5)), 0) == {}


def test_answers_without_preference_change_no_interval() -> None:
    history = planted((0, 1), 40, raters=40)
    noise = [one_comparison("a0", "a1", word, 50, "x") for word in ("both_bad", "skip")]
    assert bootstrap(the_table(history + noise), 50) == bootstrap(the_table(history), 50)


def test_replaying_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = the_table(planted((0, 1), 40, raters=15))
    expected = bootstrap(table, 30)
    monkeypatch.setattr("leaderboard.ratings.trueskill._BLOCK", 40 * 7)
    assert bootstrap(table, 30) == expected


def test_enough_says_when_an_interval_may_be_shown() -> None:
    assert not Interval(1, 2, 1, 1, MIN_COMPARISONS - 1).enough
    assert Interval(1, 2, 1, 1, MIN_COMPARISONS).enough


def test_a_sample_draws_whole_raters() -> None:
    history = planted((0, 1), 60, raters=15)
    clusters = _clusters(history)
    counts = _draw(clusters, len(history), 20, np.random.default_rng(0))
    for row in counts:
        times: dict[int, set[int]] = {int(cluster): set() for cluster in clusters}
        for cluster, count in zip(clusters, row, strict=True):
            times[int(cluster)].add(int(count))
        assert all(len(found) == 1 for found in times.values())
        assert sum(min(found) for found in times.values()) == len(times)
    assert len(Counter(map(tuple, counts.tolist()))) > 1
    assert counts.mean() == pytest.approx(1, abs=0.3)
