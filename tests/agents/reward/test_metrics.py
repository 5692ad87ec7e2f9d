"""Calibration and intervals of a reward model's report, on cases whose result is known."""

import numpy as np
import pytest

from agents.reward.metrics import (
    calibration_error,
    chances_of,
    fitted_temperature,
    hits,
    mean_loss,
    pair_interval,
    reliability_diagram,
)


def test_logits_that_are_twice_too_large_are_seen_and_halved() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.5, 1, 100_000)
    true = np.where(rng.random(len(true)) < 0.5, true, 1 - true)
    won = rng.random(len(true)) < true
    logits = np.log(true / (1 - true))
    assert calibration_error(reliability_diagram(true, won)) < 0.01
    doubled = 2 * logits
    assert calibration_error(reliability_diagram(chances_of(doubled), won)) > 0.09
    temperature = fitted_temperature(doubled, won)
    assert temperature == pytest.approx(2.0, abs=0.05)
    after = chances_of(doubled, temperature)
    assert calibration_error(reliability_diagram(after, won)) < 0.01
    # Flips that are known are no miscalibration.
    flipped = won ^ (rng.random(len(true)) < 0.1)
    assert fitted_temperature(doubled, flipped, 0.1) == pytest.approx(2.0, abs=0.05)


def test_the_diagram_counts_each_pair_once() -> None:
    chances, won = [0.5, 0.52, 0.97, 0.03, 1.0], [True, True, True, False, False]
    diagram = reliability_diagram(chances, won)
    assert [one.pairs for one in diagram] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert diagram[0].accuracy == 0.75  # even odds are half right
    assert diagram[-1].accuracy == pytest.approx(2 / 3)
    assert diagram[1].accuracy is None
    assert hits([0.9, 0.9, 0.5], [True, False, True]).tolist() == [1, 0, 0.5]
    assert mean_loss([0.5, 0.5], [True, False]) == pytest.approx(np.log(2))


def test_the_interval_is_over_worlds_and_not_over_pairs() -> None:
    # Ten worlds; in each of them all pairs are right or all are wrong.
    places = [f"find_cave:{n}" for n in range(10) for _ in range(500)]
    values = [float(n % 2) for n in range(10) for _ in range(500)]
    low, high = pair_interval(values, places, places)  # type: ignore[misc]
    assert low <= 0.3 and high >= 0.7
    mixed = [float(n % 2) for n in range(5_000)]
    low, high = pair_interval(mixed, places, places)  # type: ignore[misc]
    assert 0.48 < low <= 0.5 <= high < 0.52
    assert pair_interval([1.0, 0.0], ["a", "b"], ["a", "b"]) is None
    # A pair of two worlds is less often drawn, but it counts.
    other = places[500:] + places[:500]
    assert pair_interval(np.ones(5_000), places, other) == (1.0, 1.0)
