"""Resampling ranges: reproducible, as wide as fresh data sets spread, and never narrower than one more answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from leaderboard.ratings.bootstrap import (
    MIN_COMPARISONS,
    MIN_RATERS,
    ResamplingRange,
    _draw,
    bootstrap,
    rater_clusters,
)
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.models import RatingModel, Ratings
from leaderboard.ratings.ranking import Table, rate
from leaderboard.ratings.trueskill import TRUESKILL
from tests.support.synthetic_comparisons import one_comparison, planted


class Fitted(RatingModel):
    """Bradley-Terry by `fit` alone: everything else is what `RatingModel` does by itself."""

    name = "fitted"

    def fit(self, comparisons: Sequence[Comparison], agents: Sequence[str]) -> Ratings:
        return BRADLEY_TERRY.fit(comparisons, agents)


FITTED = Fitted()


def the_table(comparisons: list[Comparison]) -> Table:
    (table,) = rate(comparisons)
    return table


def test_the_same_judgments_give_the_same_intervals_in_whatever_order() -> None:
    history = planted((0, 0.5, 1), 60, raters=12)
    expected = bootstrap(the_table(history), 50)
    assert bootstrap(the_table(history[::-1]), 50) == expected
    assert bootstrap(the_table(history), 50) == expected
    assert bootstrap(the_table(history), 50, seed=1) != expected


def test_ranges_hold_the_rating() -> None:
    table = the_table(planted((0, 2, 4, 6), 400, raters=20))
    ranges = bootstrap(table, 200)
    assert [row.agent for row in table.rows] == ["a3", "a2", "a1", "a0"]
    assert all(ranges[row.agent].low < row.value < ranges[row.agent].high for row in table.rows)


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
    assert not ResamplingRange(1, 2, MIN_COMPARISONS - 1).enough
    assert ResamplingRange(1, 2, MIN_COMPARISONS).enough


def test_a_sample_draws_whole_raters() -> None:
    history = planted((0, 1), 60, raters=15)
    clusters = rater_clusters(history)
    counts = _draw(clusters, len(history), 20, np.random.default_rng(0))
    for row in counts:
        times: dict[int, set[int]] = {int(cluster): set() for cluster in clusters}
        for cluster, count in zip(clusters, row, strict=True):
            times[int(cluster)].add(int(count))
        assert all(len(found) == 1 for found in times.values())
        assert sum(min(found) for found in times.values()) == len(times)
    assert len(Counter(map(tuple, counts.tolist()))) > 1
    assert counts.mean() == pytest.approx(1, abs=0.3)


ONE_SIDED = {
    "all wins": ["left"] * 40,
    "all draws": ["draw"] * 40,
    "one loss": [*["left"] * 39, "right"],
    "one answer": ["left"],
}


@pytest.mark.parametrize("winners", ONE_SIDED.values(), ids=ONE_SIDED)
@pytest.mark.parametrize(
    "model", [TRUESKILL, FITTED], ids=["trueskill", "a model with `fit` alone"]
)
def test_no_range_is_narrower_than_one_more_answer_would_move(
    winners: list[str], model: RatingModel
) -> None:
    history = [one_comparison("a", "b", winner, n, f"r{n}") for n, winner in enumerate(winners)]
    (table,) = rate(history, model=model)
    ranges = bootstrap(table, 50)
    for winner in ("left", "right", "draw"):
        (after,) = rate([*history, one_comparison("a", "b", winner, 99, "new")], model=model)
        for row in after.rows:
            found = ranges[row.agent]
            assert found.low - 1e-9 <= row.value <= found.high + 1e-9


def test_ranges_are_as_wide_as_ratings_of_fresh_data_sets_spread() -> None:
    """A range is 95% of the replicates: of a normal distribution, 3.92 standard deviations."""
    strengths, count = (0, 0.5, 1.0), 120
    fresh, widths = [], []
    for seed in range(60):
        table = the_table(planted(strengths, count, raters=count, seed=seed))
        fresh.append([row.value for row in sorted(table.rows, key=lambda row: row.agent)])
        if seed < 12:
            widths += [one.high - one.low for one in bootstrap(table, 200).values()]
    spread = 2 * Z_95 * np.std(fresh, axis=0, ddof=1).mean()
    assert 0.85 < np.mean(widths) / spread < 1.3
