"""Agreement of raters: coefficients with known answers."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("rows", "alpha"),
    [
        (("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"), 0.095),
        (("a a b b d c c c e d d a", "b a b b b c c c e d d d"), 0.692),
    ],
)
def test_alpha_of_the_two_smaller_published_examples(rows: tuple[str, ...], alpha: float) -> None:
    """Sections A (binary) and B (nominal) of the same paper; two raters, no answer missing."""
    assert agreement(answers(rows))[0] == pytest.approx(alpha, abs=5e-4)


TABLES = st.integers(1, 8).flatmap(
    lambda units: st.lists(
        st.lists(st.sampled_from("abc."), min_size=units, max_size=units).map(" ".join),
        min_size=1,
        max_size=5,
    ).map(tuple)
)
"""Answers of up to five raters to up to eight units, some missing."""


def alpha_by_counting(rows: tuple[str, ...]) -> float | None:
    """Alpha by counting pairs of answers one by one, as Krippendorff words it."""
    units = [
        [one for one in unit if one != "."] for unit in zip(*map(str.split, rows), strict=True)
    ]
    units = [unit for unit in units if len(unit) > 1]
    everything = [one for unit in units for one in unit]
    pairs = list(permutations(everything, 2))
    unequal = sum(one != other for one, other in pairs)
    if not unequal:
        return None
    observed = sum(
        sum(one != other for one, other in permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    )
    return 1 - observed / len(everything) / (unequal / len(pairs))


@given(rows=TABLES)
def test_alpha_is_what_counting_all_pairs_gives(rows: tuple[str, ...]) -> None:
    found, expected = agreement(answers(rows))[0], alpha_by_counting(rows)
    assert found == (None if expected is None else pytest.approx(expected))


@given(rows=TABLES, data=st.data())
def test_alpha_knows_no_order_and_no_names(rows: tuple[str, ...], data: st.DataObject) -> None:
    renamed = str.maketrans("abc", "".join(data.draw(st.permutations("xyz"))))
    given_ = [(rater, unit, value.translate(renamed) if value != "skip" else value)
              for rater, unit, value in answers(rows)]  # fmt: skip
    alone = [("another", "a unit of its own", "x")]
    shuffled = data.draw(st.permutations([*given_, *alone]))
    alpha, shared = agreement(answers(rows))
    other, other_shared = agreement(shuffled)
    assert shared == other_shared
    assert other == (None if alpha is None else pytest.approx(alpha))
    assert alpha is None or alpha <= 1
    assert agreement([]) == (None, 0)


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
