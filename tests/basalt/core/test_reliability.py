"""What is known of raters from their answers: known cases."""

from dataclasses import replace

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.core.reliability import accuracy_ceiling, reliability
from tests.support.synthetic_comparisons import one_comparison


def asked(number: int, winner: str, rater: str = "r0") -> Comparison:
    """An answer to a pair of its own."""
    one = one_comparison("a", "b", winner, rater=rater)
    return replace(
        one,
        comparison_id=f"{rater}-{number}",
        left_episode=f"{2 * number:064x}",
        right_episode=f"{2 * number + 1:064x}",
    )


def repeat(one: Comparison, winner: str) -> Comparison:
    """The same pair again with its sides swapped."""
    shown = one.with_sides(one.right, one.left)
    return replace(shown, comparison_id=f"again-{one.comparison_id}", pair_of=one.comparison_id, winner=winner)  # type: ignore[arg-type]  # fmt: skip


def test_a_rater_who_always_says_left_is_seen() -> None:
    answers = [asked(n, "left") for n in range(40)]
    found = reliability([*answers, *(repeat(one, "left") for one in answers)])
    assert found.left.share == 1.0
    assert found.itself.share == 0.0 and found.itself.trials == 40
    assert found.others.share is None and found.ceiling is None
    assert str(found.others) == "not known"
    assert str(found.itself).startswith("0.0% of 40 (95% 0.0% to 8.8%)")


def test_a_rater_who_means_it_agrees_with_herself() -> None:
    rng = np.random.default_rng(0)
    answers = [asked(n, str(rng.choice(["left", "right", "draw"]))) for n in range(60)]
    found = reliability([*answers, *(repeat(one, one.swapped().winner) for one in answers)])
    assert found.itself.share == 1.0


def test_an_answer_by_another_rater_or_about_another_pair_is_no_repeat() -> None:
    one = asked(0, "left")
    by_another = replace(repeat(one, "right"), rater="r1")
    of_another_pair = replace(repeat(one, "right"), comparison_id="x", left_episode=f"{9:064x}")
    assert reliability([one, by_another, of_another_pair]).itself.trials == 0


@pytest.mark.parametrize(
    ("agreement", "ceiling"),
    [(0.7, 0.816), (0.75, 0.854), (0.8, 0.887), (0.85, 0.918), (0.9, 0.947), (0.5, 0.5), (1, 1)],
)
def test_the_ceiling_of_accuracy_follows_from_agreement(agreement: float, ceiling: float) -> None:
    assert accuracy_ceiling(agreement) == pytest.approx(ceiling, abs=5e-4)


def test_two_raters_who_agree_in_four_of_five_have_the_known_ceiling() -> None:
    first = [asked(n, "left", "alice") for n in range(50)]
    second = []
    for n in range(50):
        one = asked(n, "left" if n % 5 else "right", "bob")
        second.append(one.swapped() if n % 2 else one)  # sides as shown do not matter
    found = reliability([*first, *second])
    assert (found.others.hits, found.others.trials) == (40, 50)
    assert found.ceiling == pytest.approx(0.887, abs=5e-4)
    assert accuracy_ceiling(0.4) is None


def test_gold_skips_and_both_bad() -> None:
    gold = [replace(asked(n, "left"), gold="left") for n in range(3)]
    found = reliability(
        [
            *gold,
            replace(asked(4, "skip"), gold="left"),
            asked(5, "skip"),
            asked(5, "both_bad", "r1"),
            asked(5, "left", "r2"),
        ]
    )
    assert (found.gold.hits, found.gold.trials) == (3, 4)
    assert found.others.trials == 0  # neither a skip nor both_bad is a ranking
