"""Agreement of raters: coefficients with known answers."""

import pytest

from leaderboard.judging.quality import agreement, gwet_ac1

KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
"""Twelve units and four raters, from Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability"."""

VALUES = ("1", "2", "3", "4", "5")


def answers(rows: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [
        (f"rater {rater}", f"unit {unit}", "skip" if value == "." else value)
        for rater, row in enumerate(rows)
        for unit, value in enumerate(row.split())
    ]


def test_both_coefficients_of_the_published_example() -> None:
    """Alpha as Krippendorff gives it; AC1 as Gwet's `irrCAC` package gives it for the same data."""
    given = answers(KRIPPENDORFF)
    alpha, shared = agreement(given)
    assert alpha == pytest.approx(0.743, abs=5e-4) and shared == 11
    assert gwet_ac1(given, VALUES) == pytest.approx(0.77544, abs=5e-6)


def test_two_raters_who_nearly_always_give_the_same_answer() -> None:
    """118 of 125 units agree and all but few answers are yes (Gwet 2008): a = 0.944, p(yes) = 0.972."""
    rows = ("y " * 118 + "y " * 5 + "n " * 2, "y " * 118 + "n " * 5 + "y " * 2)
    chance = 2 * 0.972 * 0.028
    assert gwet_ac1(answers(rows), ("y", "n")) == pytest.approx((0.944 - chance) / (1 - chance))
    alpha, _ = agreement(answers(rows))
    assert alpha is not None and alpha < 0, "the paradox that AC1 does not have"


def test_agreement_without_exception_is_one_and_none_shared_is_undefined() -> None:
    assert gwet_ac1(answers(("1 1 1", "1 1 1")), VALUES) == 1
    assert gwet_ac1(answers(("1 .", ". 1")), VALUES) is None
    assert gwet_ac1([], VALUES) is None
