"""Agreement of raters: coefficients with known answers."""

from itertools import permutations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.judging.agreement import gwet_ac1, krippendorff_alpha, measure_agreement
from leaderboard.judging.assignments import next_pair
from leaderboard.judging.judgments import answer_pair
from leaderboard.judging.quality import study_quality
from leaderboard.judging.raters import join, new_rater_secret
from leaderboard.store.database import Store
from leaderboard.store.models import Agent, Assignment, Episode
from leaderboard.studies.rules import StudyInfo

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
    alpha, shared = krippendorff_alpha(given)
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
    assert krippendorff_alpha(answers(rows))[0] == pytest.approx(alpha, abs=5e-4)


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
    found, expected = krippendorff_alpha(answers(rows))[0], alpha_by_counting(rows)
    assert found == (None if expected is None else pytest.approx(expected))


@given(rows=TABLES, data=st.data())
def test_alpha_knows_no_order_and_no_names(rows: tuple[str, ...], data: st.DataObject) -> None:
    renamed = str.maketrans("abc", "".join(data.draw(st.permutations("xyz"))))
    given_ = [(rater, unit, value.translate(renamed) if value != "skip" else value)
              for rater, unit, value in answers(rows)]  # fmt: skip
    alone = [("another", "a unit of its own", "x")]
    shuffled = data.draw(st.permutations([*given_, *alone]))
    alpha, shared = krippendorff_alpha(answers(rows))
    other, other_shared = krippendorff_alpha(shuffled)
    assert shared == other_shared
    assert other == (None if alpha is None else pytest.approx(alpha))
    assert alpha is None or alpha <= 1
    assert krippendorff_alpha([]) == (None, 0)


def test_two_raters_who_nearly_always_give_the_same_answer() -> None:
    """118 of 125 units agree and all but few answers are yes (Gwet 2008): a = 0.944, p(yes) = 0.972."""
    rows = ("y " * 118 + "y " * 5 + "n " * 2, "y " * 118 + "n " * 5 + "y " * 2)
    chance = 2 * 0.972 * 0.028
    assert gwet_ac1(answers(rows), ("y", "n")) == pytest.approx((0.944 - chance) / (1 - chance))
    alpha, _ = krippendorff_alpha(answers(rows))
    assert alpha is not None and alpha < 0, "the paradox that AC1 does not have"


def test_agreement_without_exception_is_one_and_none_shared_is_undefined() -> None:
    assert gwet_ac1(answers(("1 1 1", "1 1 1")), VALUES) == 1
    assert gwet_ac1(answers(("1 .", ". 1")), VALUES) is None
    assert gwet_ac1([], VALUES) is None


def test_intervals_surround_the_coefficients_and_shrink_with_more_units() -> None:
    few = measure_agreement(answers(KRIPPENDORFF), VALUES)
    many = measure_agreement(answers(tuple(f"{row} " * 16 for row in KRIPPENDORFF)), VALUES)
    assert (few.units, few.alpha, few.ac1) == (
        11,
        pytest.approx(0.743, abs=5e-4),
        pytest.approx(0.77544, abs=5e-6),
    )
    for value, wide, narrow in (
        (few.alpha, few.alpha_interval, many.alpha_interval),
        (few.ac1, few.ac1_interval, many.ac1_interval),
    ):
        assert value is not None and wide is not None and narrow is not None
        assert wide[0] < value < wide[1]
        # Sixteen times as many units: about a quarter of the width.
        assert (narrow[1] - narrow[0]) / (wide[1] - wide[0]) == pytest.approx(0.25, abs=0.08)


def test_an_interval_of_agreement_without_exception_is_a_point_and_two_units_have_none() -> None:
    same = measure_agreement(answers(("1 2 1 2 1 2", "1 2 1 2 1 2")), VALUES)
    assert same.alpha == 1 and same.alpha_interval == (1, 1)
    assert same.ac1 == 1 and same.ac1_interval == (1, 1)
    two = measure_agreement(answers(("1 2", "1 2")), VALUES)
    assert two.units == 2 and two.alpha == 1
    assert two.alpha_interval is None and two.ac1_interval is None


def test_agreement_is_measured_by_task_and_question_regardless_of_sides(
    store: Store, full_study: StudyInfo
) -> None:
    """All raters say who found a cave alike; half of them find the first player human, half the second."""
    with store.read() as session:
        names = dict(session.execute(sa.select(Episode.id, Agent.name).join(Agent)).all())
    for taste in (min, max, min):
        rater = join(store, full_study, new_rater_secret(store))
        while pair := next_pair(store, full_study, rater):
            with store.read() as session:
                shown = session.get_one(Assignment, pair.assignment_id)
            sides = {
                "left": names[shown.left_episode_id], "right": names[shown.right_episode_id],
            }  # fmt: skip
            finds = {side: name == "good" for side, name in sides.items()}
            human = next(side for side, name in sides.items() if name == taste(sides.values()))
            answer_pair(
                store, pair.assignment_id, rater, "draw",
                responses={
                    "direct": [{"question": "Found a cave?", **finds}],
                    "comparative": [
                        {"question": "More human?", "answer": human},
                        {"question": "Faster?", "answer": "na"},
                    ],
                },
            )  # fmt: skip
    found = {(one.kind, one.question): one for one in study_quality(store, full_study).questions}
    assert list(found) == [
        ("overall", ""), ("direct", "Found a cave?"), ("comparative", "More human?"),
    ]  # fmt: skip
    overall, direct, comparative = found.values()
    assert {one.task for one in found.values()} == {"find_cave"}
    assert (overall.units, overall.alpha, overall.ac1) == (6, None, 1)
    assert (direct.units, direct.alpha, direct.ac1) == (12, 1, 1)
    # Of three answers to a pair two agree: one of three pairs of answers is equal.
    assert comparative.units == 6
    assert comparative.alpha is not None and comparative.alpha < 0
    assert comparative.ac1 == pytest.approx((1 / 3 - 0.25) / 0.75, abs=0.02)
