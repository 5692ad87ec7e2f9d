"""The overall score: normalised per task, the mean over the tasks, with intervals."""

from dataclasses import replace

import pytest

from leaderboard.ratings.overall import overall
from leaderboard.ratings.ranking import Row, Table, rate
from tests.support.synthetic_comparisons import planted


def table(task: str, **mu: float) -> Table:
    rows = tuple(
        Row(agent, value, 1.0, value - 3, 40, 20, 20, 0, 0, "human") for agent, value in mu.items()
    )
    return Table("study", task, "luanti", "1", "human", rows)


def judged(task: str, seed: int) -> Table:
    comparisons = planted([1.0, 0.0, -1.0], 120, raters=12, seed=seed)
    (made,) = rate(replace(one, task=task) for one in comparisons)
    return made


def test_tasks_count_alike_whatever_the_spread_of_their_ratings() -> None:
    rows = overall(
        [table("find_cave", a=30, b=20), table("make_waterfall", a=24.9, b=25.1)], replicates=0
    )
    assert [row.score for row in rows] == pytest.approx([0, 0])
    assert {row.agent: row.tasks for row in rows} == {
        "a": {"find_cave": pytest.approx(1), "make_waterfall": pytest.approx(-1)},
        "b": {"find_cave": pytest.approx(-1), "make_waterfall": pytest.approx(1)},
    }


def test_only_who_stands_in_every_task_is_ranked() -> None:
    rows = overall(
        [table("find_cave", a=30, b=20, c=10), table("make_waterfall", a=22, b=20)], replicates=0
    )
    assert [row.agent for row in rows] == ["a", "b"]
    assert overall([], replicates=0) == []
    assert overall([table("find_cave", a=1), table("make_waterfall", b=1)], replicates=0) == []


def test_equal_ratings_are_all_average() -> None:
    rows = overall([table("find_cave", b=25, a=25)], replicates=0)
    assert [(row.agent, row.score) for row in rows] == [("a", 0.0), ("b", 0.0)]


def test_intervals_hold_the_score_and_are_the_same_again() -> None:
    first, second = judged("find_cave", 1), judged("make_waterfall", 2)
    rows = overall([first, second], replicates=200)
    assert rows == overall([first, second], replicates=200)
    for row in rows:
        assert row.low is not None and row.high is not None
        assert row.low < row.score < row.high
    fewer = replace(first, rows=tuple(replace(row, comparisons=29) for row in first.rows))
    assert {row.low for row in overall([fewer, second], replicates=200)} == {None}
