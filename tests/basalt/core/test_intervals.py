import pytest

from basalt.core.intervals import episode_interval, rate_interval


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
