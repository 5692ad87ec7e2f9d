"""Synthetic teachers err exactly as often as they say, whatever the scale of the scores.

The set-up of the known answers is B-Pref's: clips of 64 steps, rewards uniform on [0, 1], 20,000 pairs, a return of
500 in 1,000 steps, so that an epsilon of 0.1 is a threshold of 0.1 * 500 * 64 / 1000 = 3.2.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.teachers.teacher import TEACHERS, Teacher, difference_spread
from basalt.io.errors import ConfigError

PAIRS, STEPS, THRESHOLD = 20_000, 64, 3.2


@pytest.fixture(scope="module")
def clips() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.random.default_rng(0).random((2, PAIRS, STEPS))
    return left, right


def agreement(
    teacher: Teacher, clips: tuple[NDArray[np.float64], NDArray[np.float64]], spread: float = 1.0
) -> tuple[float, dict[str, float]]:
    """Share of right answers among decided pairs, and the share of each answer among all."""
    left, right = clips
    answers = np.array(teacher.answer(list(left), list(right), spread, np.random.default_rng(1)))
    truth = np.where(left.sum(1) > right.sum(1), "left", "right")
    decided = np.isin(answers, ["left", "right"])
    shares = {name: float((answers == name).mean()) for name in ("left", "right", "draw", "skip")}
    return float((answers == truth)[decided].mean()), shares


@pytest.mark.parametrize(
    ("teacher", "right"),
    [
        (Teacher(), 1.0),
        (Teacher(flip=0.1), 0.902),
        (Teacher(beta=1.0), 0.846),
        (Teacher(beta=0.1), 0.566),
        (Teacher(discount=0.9), 0.682),
    ],
    ids=["oracle", "mistake", "noisy", "very noisy", "myopic"],
)
def test_unscaled_teachers_agree_with_the_truth_as_b_pref_s_do(teacher, right, clips) -> None:
    found, shares = agreement(teacher, clips)
    assert found == pytest.approx(right, abs=0.01)
    assert shares["draw"] == shares["skip"] == 0


def test_a_threshold_of_a_tenth_of_the_return_calls_two_thirds_equal_and_skips_nothing(clips):
    assert agreement(Teacher(tie=THRESHOLD), clips)[1]["draw"] == pytest.approx(0.676, abs=0.01)
    squared = agreement(Teacher(tie=0.1 * THRESHOLD), clips)[1]["draw"]
    assert squared == pytest.approx(
        0.076, abs=0.01
    )  # what B-Pref's code does from the second session on
    assert agreement(Teacher(skip_below=THRESHOLD), clips)[1]["skip"] == 0


@pytest.mark.parametrize(
    ("beta", "right"), [(0.5, 0.60), (1, 0.67), (1.5, 0.73), (2, 0.78), (3, 0.84), (5, 0.89)]
)
def test_scaled_by_the_spread_beta_sets_the_agreement(beta, right, clips) -> None:
    left, right_clips = clips
    spread = difference_spread(left.sum(1), right_clips.sum(1))
    assert agreement(Teacher(beta=beta), clips, spread)[0] == pytest.approx(right, abs=0.01)


@pytest.mark.parametrize("name", TEACHERS)
def test_a_scale_of_the_scores_changes_no_answer(name, clips) -> None:
    left, right = (side[:2_000] for side in clips)

    def answers(scale: float, scaled: bool = True) -> list[str]:
        spread = difference_spread(scale * left.sum(1), scale * right.sum(1)) if scaled else 1.0
        rng = np.random.default_rng(2)
        return TEACHERS[name].answer(list(scale * left), list(scale * right), spread, rng)

    assert answers(128.0) == answers(1.0)  # a power of two: exact in floating point
    if name == "noisy":
        truth = np.where(left.sum(1) > right.sum(1), "left", "right")
        assert (np.array(answers(100.0, scaled=False)) == truth).mean() > 0.99  # no noise is left


def test_the_mixed_teacher_skips_ties_and_errs(clips) -> None:
    spread = difference_spread(clips[0].sum(1), clips[1].sum(1))
    right, shares = agreement(TEACHERS["mixed"], clips, spread)
    assert shares["skip"] == pytest.approx(0.05, abs=0.005)
    assert shares["draw"] == pytest.approx(0.95 * 0.159, abs=0.01)  # P(|normal| < 0.2)
    assert 0.80 < right < 0.86


def test_equal_clips_are_a_draw_for_who_never_errs_and_a_coin_for_who_does() -> None:
    clips = [np.zeros(4)] * 2_000
    rng = np.random.default_rng(0)
    assert set(Teacher().answer(clips, clips, 1.0, rng)) == {"draw"}
    left = Teacher(beta=1.0).answer(clips, clips, 1.0, rng).count("left") / 2_000
    assert left == pytest.approx(0.5, abs=0.05)


def test_pairs_that_show_nothing_good_are_skipped() -> None:
    good, bad = np.array([1.0]), np.array([-1.0])
    rng = np.random.default_rng(0)
    pairs = ([good, bad, bad], [bad, bad, good])
    assert TEACHERS["skip"].answer(*pairs, 1.0, rng) == ["left", "skip", "right"]


def test_swapped_sides_are_answered_the_same() -> None:
    left, right = np.random.default_rng(3).normal(size=(2, 500, 8))
    teacher = TEACHERS["myopic"]
    ahead = teacher.answer(list(left), list(right), 1.0, np.random.default_rng(0))
    back = teacher.answer(list(right), list(left), 1.0, np.random.default_rng(0))
    assert [{"left": "right", "right": "left"}[one] for one in back] == ahead


def test_scores_that_are_all_equal_are_refused() -> None:
    with pytest.raises(ConfigError, match="clips of different scores"):
        difference_spread([1.0, 2.0], [1.0, 2.0])


@pytest.mark.parametrize("wrong", [{"beta": 0}, {"flip": 1.1}, {"discount": 0}, {"tie": -1}])
def test_wrong_settings_are_named(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Teacher(**wrong)
