"""Known answers of what counts of attempts can say."""

import numpy as np
import pytest

from basalt.core.significance import sign_test
from basalt.safety.statistics import at_least_one, bound_without_hits


@pytest.mark.parametrize(
    ("hits", "k", "expected"),
    [
        (0, 10, 0.0),
        (1, 1, 0.02),
        (1, 10, 0.20),
        (2, 1, 0.04),
        (2, 10, 0.363),
        (5, 10, 0.689),
        (50, 1, 1.0),
    ],
)
def test_at_least_one_of_k_attempts_out_of_fifty(hits: int, k: int, expected: float) -> None:
    assert at_least_one(hits, 50, k) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(5, 0.45), (10, 0.26), (11, 0.24), (22, 0.13), (59, 0.05), (299, 0.01)],
)
def test_no_hit_does_not_mean_a_rate_of_zero(attempts: int, expected: float) -> None:
    assert bound_without_hits(attempts) == pytest.approx(expected, abs=5e-3)


def test_shuffled_labels_of_conditions_give_a_uniform_p() -> None:
    rng = np.random.default_rng(0)
    pairs, shuffles = 400, 200
    ps = []
    for _ in range(shuffles):
        hits = int(rng.integers(0, 2, pairs).sum())  # each pair counts in either direction
        opposite = pairs - hits
        # With the observed result counted by a random share, so that a discrete test can be uniform.
        tail, more = (sign_test(hits + a, opposite - a, one_sided=True) for a in (0, 1))
        ps.append(more + rng.random() * (tail - more))
    ordered, steps = np.sort(ps), np.arange(shuffles + 1) / shuffles
    distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    assert distance < 1.63 / shuffles**0.5  # Kolmogorov-Smirnov at 1%
