"""Statistics of paired agents, each against a known answer."""

import numpy as np
import pytest

from basalt.core.significance import (
    holm,
    interquartile_mean,
    paired_difference,
    paired_power,
    probability_of_improvement,
    seeds_needed,
    sign_test,
)
from basalt.io.errors import ConfigError


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [
        (6, 0, 0.03125),
        (0, 6, 0.03125),
        (5, 0, 0.0625),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (1, 9, 0.021484375),
        (5, 15, 0.04138946533203125),
    ],
)
def test_sign_test(wins, losses, p):
    assert sign_test(wins, losses) == pytest.approx(p)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(5, 0, 1 / 32), (0, 5, 1.0), (7, 1, 9 / 256), (0, 0, 1.0)]
)
def test_one_sided_sign_test(wins, losses, p):
    assert sign_test(wins, losses, one_sided=True) == pytest.approx(p)


def test_the_mid_p_value_counts_the_observed_result_half():
    assert sign_test(6, 0, mid=True) == pytest.approx(0.03125 / 2)


def test_interquartile_mean():
    assert interquartile_mean([0, 0, 1, 2, 3, 4, 5, 100]) == 2.5


def test_probability_of_improvement():
    assert probability_of_improvement([1, 2, 3], [0, 2, 2]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("rate", "better", "seeds", "correlation", "power"),
    [  # exact enumerations of McNemar's mid-p test
        (0.05, 0.15, 50, 0.3, 0.44), (0.1, 0.2, 100, 0.6, 0.90), (0.2, 0.3, 200, 0.3, 0.79),
        (0.3, 0.5, 100, 0.3, 0.93), (0.5, 0.6, 400, 0.3, 0.93), (0.8, 0.9, 200, 0.3, 0.92),
    ],
)  # fmt: skip
def test_power(rate, better, seeds, correlation, power):
    assert paired_power(rate, better, seeds, correlation) == pytest.approx(power, abs=0.01)
    assert paired_power(better, rate, seeds, correlation) == pytest.approx(power, abs=0.01)


def test_power_at_no_difference_is_the_level():
    assert paired_power(0.4, 0.4, 200) == pytest.approx(0.05, abs=0.01)


def test_impossible_correlation():
    with pytest.raises(ConfigError, match="cannot have a correlation"):
        paired_power(0.05, 0.15, 50, 0.6)


def test_seeds_needed_has_the_power_and_a_little_less_has_not():
    n = seeds_needed(0.3, 0.5, correlation=0.3)
    assert paired_power(0.3, 0.5, n, 0.3) >= 0.8 > paired_power(0.3, 0.5, int(0.95 * n), 0.3)
    assert seeds_needed(0.3, 0.3) is None


def test_a_difference_of_equal_arms_is_exactly_zero():
    values = np.random.default_rng(0).integers(0, 2, 50)
    found = paired_difference([values], [values])
    assert (found.mean, found.interval, found.seeds) == (0, (0, 0), 50)


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(1)
    easy = rng.random(200)
    first, second = easy + 0.1 + 0.01 * rng.standard_normal(200), easy
    paired = paired_difference([first], [second])
    shuffled = paired_difference([first], [rng.permutation(second)])
    width = lambda one: one.interval[1] - one.interval[0]  # noqa: E731
    assert paired.interval[0] < 0.1 < paired.interval[1] and width(paired) < width(shuffled) / 10


def test_the_interval_covers_the_truth():
    rng, inside = np.random.default_rng(2), 0
    for _ in range(200):
        first, second = (rng.random((2, 100)) < [[0.5], [0.3]]).astype(float)
        low, high = paired_difference([first], [second], draws=500).interval
        inside += low <= 0.2 <= high
    assert 180 <= inside <= 199


def test_arms_of_other_seeds_are_refused():
    with pytest.raises(ConfigError, match="same seeds, got 3 and 2"):
        paired_difference([[1, 0, 1]], [[1, 0]])


def test_holm_adjusts_for_the_number_of_tests_that_are_left():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
