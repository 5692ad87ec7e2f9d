"""The digest of ratings follows the judgments alone."""

import random
from dataclasses import replace

from leaderboard.ratings.ranking import digest, rate
from tests.support.synthetic_comparisons import one_comparison, planted


def test_the_same_judgments_in_any_order_give_the_same_digest() -> None:
    made = planted((0, 1, 3), 200, raters=5)
    found = digest(rate(made))
    assert len(found) == 64
    random.Random(0).shuffle(made)
    assert digest(rate(made)) == found


def test_one_other_judgment_gives_another_digest() -> None:
    made = planted((0, 1, 3), 50)
    before = digest(rate(made))
    last = made[-1]
    made[-1] = replace(last, winner="left" if last.winner != "left" else "right")
    assert digest(rate(made)) != before


def test_judgments_of_one_moment_keep_the_order_they_were_made_in() -> None:
    words = ("left", "right", "left", "draw")
    together = [one_comparison("a", "b", word, 0) for word in words]
    apart = [one_comparison("a", "b", word, minute) for minute, word in enumerate(words)]
    assert digest(rate(together)) == digest(rate(apart))
    assert digest(rate(together[::-1])) != digest(rate(apart))


def test_no_judgments_and_undecided_ones_have_a_digest() -> None:
    assert digest([]) != digest(rate([one_comparison("a", "b", "both_bad")]))
    assert digest(rate([one_comparison("a", "b", "both_bad")])) != digest(
        rate([one_comparison("a", "b", "skip")])
    )
