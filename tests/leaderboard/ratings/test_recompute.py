"""Ratings computed anew: two ways agree, and the digest follows the judgments alone."""

import random
from dataclasses import replace

import pytest

import leaderboard.ratings.recompute
from leaderboard.ratings.recompute import RatingsDifferError, recompute
from tests.support.synthetic_comparisons import one_comparison, planted


def test_the_same_judgments_in_any_order_give_the_same_digest() -> None:
    made = planted((0, 1, 3), 200, raters=5)
    found = recompute(made)
    assert (found.judgments, found.ratings) == (200, 3)
    assert 0 <= found.difference < 1e-9
    random.Random(0).shuffle(made)
    assert recompute(made).digest == found.digest


def test_one_other_judgment_gives_another_digest() -> None:
    made = planted((0, 1, 3), 50)
    before = recompute(made).digest
    last = made[-1]
    made[-1] = replace(last, winner="left" if last.winner != "left" else "right")
    assert recompute(made).digest != before


def test_judgments_of_one_moment_keep_the_order_they_were_made_in() -> None:
    made = [one_comparison("a", "b", winner, 0) for winner in ("left", "right", "left", "draw")]
    assert recompute(made).difference < 1e-9


def test_no_judgments_and_undecided_ones_are_no_fault() -> None:
    assert recompute([]).ratings == 0
    assert recompute([one_comparison("a", "b", "both_bad")]).ratings == 2


def test_ratings_that_differ_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = leaderboard.ratings.recompute.replay
    monkeypatch.setattr(
        leaderboard.ratings.recompute, "replay", lambda *args: [one + 1e-6 for one in replay(*args)]
    )
    with pytest.raises(RatingsDifferError, match="differ by 1e-06"):
        recompute(planted((0, 1), 20))
