import numpy as np
import pytest

from basalt.core.intervals import (
    clustered_interval,
    episode_interval,
    rate_interval,
    student_quantile,
)


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    # R: prop.test(x, n, correct = FALSE)$conf.int
    [(0, 11, 0.0, 0.2588), (11, 11, 0.7412, 1.0), (5, 10, 0.2366, 0.7634), (8, 11, 0.4344, 0.9025)],
)
def test_wilsons_interval(successes, episodes, low, high):
    assert rate_interval(successes, episodes) == pytest.approx([low, high], abs=1e-4)


@pytest.mark.parametrize(("successes", "episodes"), [(1, 0), (2, 1), (-1, 3)])
def test_impossible_counts_are_refused(successes, episodes):
    with pytest.raises(ValueError, match="successes"):
        rate_interval(successes, episodes)


def test_the_bootstrap_covers_the_mean_and_is_the_same_each_time():
    totals = [3.0, 5.0, 4.0, 8.0]
    low, high = episode_interval(totals, [1] * 4)
    assert 3 <= low < 5 < high <= 8
    assert episode_interval(totals, [1] * 4) == [low, high]


def test_too_few_episodes_have_no_bootstrap():
    assert episode_interval([1.0, 2.0], [1, 1]) is None


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (1_000, 1.962)]
)
def test_students_quantile_has_its_tabled_values(freedom, expected):
    assert student_quantile(freedom) == pytest.approx(expected, abs=1e-3)


def test_trials_of_many_clusters_that_do_not_differ_have_nearly_wilsons_interval():
    hits = np.random.default_rng(0).random(2_000) < 0.7
    expected = rate_interval(int(hits.sum()), 2_000)
    assert clustered_interval(hits, list(range(2_000))) == pytest.approx(expected, abs=2e-3)


def test_equal_trials_of_a_cluster_count_once():
    hits = np.random.default_rng(1).random(50) < 0.7
    one = clustered_interval(hits, list(range(50)))
    ten = clustered_interval(np.repeat(hits, 10), np.repeat(np.arange(50), 10).tolist())
    assert ten == pytest.approx(one)
    assert clustered_interval([1] * 100, [n // 10 for n in range(100)])[0] < 0.75


def test_few_clusters_have_no_interval():
    assert clustered_interval([1, 0, 1, 1], [1, 1, 2, 2]) is None


@pytest.mark.parametrize("correlation", [0.05, 0.4])
def test_the_interval_covers_the_true_rate_with_eleven_seeds(correlation):
    """Resampling pairs covers 83% and 50% here, resampling seeds about 90%."""
    rng = np.random.default_rng(2)
    a, b = 0.7 * (1 / correlation - 1), 0.3 * (1 / correlation - 1)
    clusters = np.repeat(np.arange(11), 20).tolist()
    covered = 0
    for _ in range(400):
        rates = rng.beta(a, b, size=11)
        low, high = clustered_interval(rng.random(220) < np.repeat(rates, 20), clusters)
        covered += low <= 0.7 <= high
    assert covered / 400 > 0.92
