"""Ratings are TrueSkill as published, a pure function of the comparisons."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import trueskill

from basalt.core.comparisons import Comparison
from leaderboard.ratings.ranking import Table, rate
from leaderboard.ratings.trueskill import TRUESKILL

START = datetime(2026, 1, 1, tzinfo=UTC)


def compared(left: str, right: str, winner: str, minute: int = 0, **changes: str) -> Comparison:
    one = Comparison(
        comparison_id=f"{left}{right}{minute}",
        study="s",
        task="find_cave",
        world="test",
        world_version="1",
        seed=1,
        left_agent=left,
        right_agent=right,
        left_episode="0" * 64,
        right_episode="1" * 64,
        winner=winner,  # type: ignore[arg-type]
        source="human",
        created=START + timedelta(minutes=minute),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def figures(table: Table) -> dict[str, tuple[float, float]]:
    return {row.agent: (row.value, row.error) for row in table.rows}


@pytest.mark.parametrize(("left", "right", "winner"), [("a", "b", "left"), ("b", "a", "right")])
def test_a_win_between_fresh_agents(left: str, right: str, winner: str) -> None:
    (table,) = rate([compared(left, right, winner)])
    assert figures(table)["a"] == pytest.approx((29.395832, 7.171476), abs=1e-6)
    assert figures(table)["b"] == pytest.approx((20.604168, 7.171476), abs=1e-6)
    assert [row.agent for row in table.rows] == ["a", "b"]
    assert table.rows[0].score == pytest.approx(29.395832 - 3 * 7.171476, abs=1e-5)


def test_a_draw_between_fresh_agents() -> None:
    (table,) = rate([compared("a", "b", "draw")])
    for mu, sigma in figures(table).values():
        assert (mu, sigma) == pytest.approx((25.0, 6.457520), abs=1e-6)


def test_constants_are_the_published_ones() -> None:
    mu, variance = (
        (np.array([one]) for one in (30.0, 4.0)),
        (np.array([one]) for one in (20.0, 9.0)),
    )
    found = TRUESKILL.update(*mu, *variance, np.array([False]))
    won, lost = (found[0][0], found[1][0] ** 0.5), (found[2][0], found[3][0] ** 0.5)
    assert won == pytest.approx((30.103582, 1.978815), abs=1e-6)
    assert lost == pytest.approx((19.767165, 2.923345), abs=1e-6)


def test_comparisons_are_replayed_in_order_of_time() -> None:
    history = [
        compared("a", "b", "left", 1),
        compared("b", "c", "draw", 2),
        compared("c", "a", "left", 3),
        compared("a", "b", "right", 4),
    ]
    expected = rate(history)
    shuffled = history[:]
    random.Random(3).shuffle(shuffled)
    assert rate(shuffled) == expected
    a, b = trueskill.rate_1vs1(trueskill.Rating(), trueskill.Rating())
    b, c = trueskill.rate_1vs1(b, trueskill.Rating(), drawn=True)
    c, a = trueskill.rate_1vs1(c, a)
    b, a = trueskill.rate_1vs1(b, a)
    assert figures(expected[0])["b"] == pytest.approx((b.mu, b.sigma), abs=1e-9)
    assert figures(expected[0])["a"] == pytest.approx((a.mu, a.sigma), abs=1e-9)


def test_swapping_left_and_right_changes_nothing() -> None:
    swap = {"left": "right", "right": "left"}
    history = [
        compared(*pair, winner, minute)
        for minute, (pair, winner) in enumerate(
            [
                (("a", "b"), "left"),
                (("b", "c"), "draw"),
                (("c", "a"), "both_bad"),
                (("a", "c"), "right"),
            ]
        )
    ]
    mirrored = [
        replace(
            one,
            left_agent=one.right_agent,
            right_agent=one.left_agent,
            winner=swap.get(one.winner, one.winner),  # type: ignore[arg-type]
        )
        for one in history
    ]
    (table,), (mirror,) = rate(history), rate(mirrored)
    for agent, figure in figures(table).items():
        assert figures(mirror)[agent] == pytest.approx(figure, abs=1e-9)


def test_both_bad_and_skip_update_nothing_and_are_told_apart() -> None:
    base = rate([compared("a", "b", "left", 0)])[0]
    more = rate(
        [
            compared("a", "b", "left", 0),
            compared("a", "b", "both_bad", 1),
            compared("a", "b", "skip", 2),
        ]
    )[0]
    assert figures(more) == figures(base)
    assert [(row.comparisons, row.both_bad) for row in more.rows] == [(1, 1), (1, 1)]


def test_sources_worlds_versions_and_tasks_are_never_mixed() -> None:
    history = [
        compared("a", "b", "left"),
        compared("a", "b", "right", source="telemetry"),
        compared("a", "b", "right", world="minerl"),
        compared("a", "b", "right", world_version="2"),
        compared("a", "b", "right", task="make_waterfall"),
        compared("a", "b", "right", study="other"),
    ]
    tables = rate(history)
    assert len(tables) == 6
    assert {row.comparisons for table in tables for row in table.rows} == {1}
    assert {(table.source, row.source) for table in tables for row in table.rows} == {
        ("human", "human"),
        ("telemetry", "telemetry"),
    }


def test_sources_are_mixed_when_asked_and_say_so() -> None:
    (table,) = rate(
        [compared("a", "b", "left"), compared("a", "b", "left", 1, source="telemetry")],
        mix_sources=True,
    )
    assert table.source == "human+telemetry"
    assert table.rows[0].comparisons == 2


def test_no_comparisons_no_tables() -> None:
    assert rate([]) == []
