"""TrueSkill equals the `trueskill` package, whatever the sequence."""

import numpy as np
import pytest
import trueskill
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.ratings.models import levels
from leaderboard.ratings.trueskill import (
    DRAW_PROBABILITY,
    TRUESKILL,
    draw_margin,
    replay,
)
from tests.support.synthetic_comparisons import planted

AGENTS = 4

ENVIRONMENT = trueskill.TrueSkill(
    mu=25.0, sigma=25.0 / 3.0, beta=25.0 / 6.0, tau=25.0 / 300.0, draw_probability=0.10
)
"""The published constants."""

MATCH = st.tuples(
    st.permutations(range(AGENTS)).map(lambda order: (order[0], order[1])), st.booleans()
)


def by_package(sequence: list[tuple[tuple[int, int], bool]]) -> list[trueskill.Rating]:
    ratings = [ENVIRONMENT.create_rating() for _ in range(AGENTS)]
    for (first, second), drawn in sequence:
        ratings[first], ratings[second] = trueskill.rate_1vs1(
            ratings[first], ratings[second], drawn, env=ENVIRONMENT
        )
    return ratings


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(MATCH, max_size=40), min_size=1, max_size=4))
def test_equal_to_the_package_on_any_sequences(
    sequences: list[list[tuple[tuple[int, int], bool]]],
) -> None:
    longest = max(len(sequence) for sequence in sequences)
    first = np.full((len(sequences), longest), -1)
    second = np.full((len(sequences), longest), -1)
    drawn = np.zeros((len(sequences), longest), dtype=bool)
    for row, sequence in enumerate(sequences):
        for step, (pair, draw) in enumerate(sequence):
            first[row, step], second[row, step] = pair
            drawn[row, step] = draw
    mu, sigma = replay(first, second, drawn, AGENTS)
    assert mu.shape == sigma.shape == (len(sequences), AGENTS)
    for row, sequence in enumerate(sequences):
        expected = by_package(sequence)
        assert mu[row] == pytest.approx([rating.mu for rating in expected], abs=1e-9)
        assert sigma[row] == pytest.approx([rating.sigma for rating in expected], abs=1e-9)


@settings(deadline=None, max_examples=200)
@given(st.floats(-20, 60), st.floats(0.5, 9), st.floats(-20, 60), st.floats(0.5, 9), st.booleans())
def test_one_update_equals_the_packages_from_any_ratings(
    mu_first: float, sigma_first: float, mu_second: float, sigma_second: float, drawn: bool
) -> None:
    a, b = trueskill.rate_1vs1(
        ENVIRONMENT.create_rating(mu_first, sigma_first),
        ENVIRONMENT.create_rating(mu_second, sigma_second),
        drawn,
        env=ENVIRONMENT,
    )
    ours = TRUESKILL.update(
        np.array([mu_first]),
        np.array([sigma_first**2]),
        np.array([mu_second]),
        np.array([sigma_second**2]),
        np.array([drawn]),
    )
    assert [float(one[0]) for one in ours] == pytest.approx(
        [a.mu, a.sigma**2, b.mu, b.sigma**2], abs=1e-7, rel=1e-9
    )


def test_far_beyond_the_floats_the_update_stays_finite() -> None:
    """Where the package gives up (a win against odds below 1e-300), the limit is taken."""
    for drawn in (False, True):
        ours = TRUESKILL.update(
            np.array([-2000.0]),
            np.array([1.0]),
            np.array([2000.0]),
            np.array([1.0]),
            np.array([drawn]),
        )
        assert np.isfinite(ours).all()
        assert ours[0][0] > -2000
        assert ours[2][0] < 2000
        assert 0 < ours[1][0] < 1.01


@pytest.mark.parametrize("probability", [0.001, DRAW_PROBABILITY, 0.3, 0.9])
def test_the_draw_margin_is_the_packages(probability: float) -> None:
    expected = trueskill.calc_draw_margin(probability, 2, ENVIRONMENT)
    assert draw_margin(probability) == pytest.approx(expected, abs=1e-12)


def test_comparisons_of_one_step_share_no_agent_and_keep_each_agents_order() -> None:
    pairs = np.array([[0, 1], [2, 3], [1, 2], [0, 3], [0, 1]])
    assert levels(pairs, 4).tolist() == [0, 0, 1, 1, 2]
    assert levels(pairs[:0], 4).shape == (0,)


def test_a_fit_in_steps_is_the_replay_of_one_comparison_after_another() -> None:
    history = planted((0, 0.5, 1, 2, 3), 200)
    names = ["a0", "a1", "a2", "a3", "a4", "never met"]
    once = TRUESKILL.resample(history, names, np.ones((1, len(history)), dtype=np.int64))
    fitted = TRUESKILL.fit(history, names)
    for name in ("value", "error", "score"):
        assert np.array_equal(getattr(fitted, name), getattr(once, name)[0])
    assert TRUESKILL.fit([], names).value.tolist() == [25.0] * 6
