"""Rules that choose pairs: small cases whose result is known, and a fifth that no rule chooses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basalt.feedback.selectors import disagreement, entropy, k_center, select
from basalt.io.errors import ConfigError


def test_disagreement_is_between_members_and_entropy_within_them() -> None:
    chances = [[0.5, 0.0, 1.0, 0.9], [0.5, 1.0, 1.0, 0.7]]
    assert disagreement(chances) == pytest.approx([0, 0.5, 0, 0.1])
    ln2 = math.log(2)
    known = [ln2, 0, 0, (0.325083 + 0.610864) / 2]
    assert entropy(chances) == pytest.approx(known, abs=1e-6)


def test_disagreement_of_the_chance_does_not_prefer_large_logits() -> None:
    logits = np.array([[0.0, 8.0], [2.0, 16.0]])  # spread 1 near the middle, 4 where all are sure
    assert disagreement(1 / (1 + np.exp(-logits))).argmax() == 0
    assert logits.std(axis=0).argmax() == 1


def test_k_center_takes_the_farthest_first() -> None:
    points = [[0.0], [1.0], [5.0], [9.0], [9.0]]
    assert k_center(points, [[0.0]], 3).tolist() == [3, 2, 1]
    assert k_center(points, [[9.0]], 1).tolist() == [0]
    assert sorted(k_center(points, None, 5).tolist()) == [0, 1, 2, 3, 4]


def test_a_rule_chooses_the_best_of_what_the_uniform_draw_left() -> None:
    chances = np.zeros((2, 100))
    chances[0] = np.linspace(0, 1, 100)  # members disagree more and more
    found = select(10, 100, "disagreement", np.random.default_rng(0), probabilities=chances)
    uniform = {
        int(i) for i, name in zip(found.indices, found.selectors, strict=True) if name == "uniform"
    }
    chosen = [int(i) for i, name in zip(found.indices, found.selectors, strict=True) if name != "uniform"]  # fmt: skip
    assert len(uniform) == 2 and len(chosen) == 8
    assert sorted(chosen) == sorted(n for n in range(99, 0, -1) if n not in uniform)[-8:]
    by_name = dict(zip(found.selectors, found.probabilities, strict=True))
    assert by_name == {"uniform": 0.02, "disagreement": 1.0}


@given(
    st.integers(1, 60), st.integers(0, 200), st.sampled_from(["uniform", "disagreement", "entropy", "k_center"]),
    st.floats(0, 0.8), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_never_more_than_four_fifths_are_chosen_and_no_pair_twice(
    count: int, more: int, selector: str, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size = count + more
    found = select(
        count, size, selector, rng, probabilities=rng.random((3, size)), features=rng.random((size, 2)),
        covered=rng.random((2, 2)), chosen_share=share,
    )  # type: ignore[arg-type]  # fmt: skip
    assert len(set(found.indices.tolist())) == count
    assert found.indices.min() >= 0 and found.indices.max() < size
    assert sum(name != "uniform" for name in found.selectors) <= 0.8 * count
    assert all(0 < chance <= 1 for chance in found.probabilities)


def test_every_candidate_is_drawn_uniformly_with_the_stated_chance() -> None:
    drawn = np.zeros(20)
    rng = np.random.default_rng(0)
    for _ in range(2_000):
        found = select(10, 20, "entropy", rng, probabilities=rng.random((2, 20)))
        for index, name, chance in zip(
            found.indices, found.selectors, found.probabilities, strict=True
        ):
            if name == "uniform":
                drawn[index] += 1
                assert chance == 0.1
    assert drawn / 2_000 == pytest.approx(np.full(20, 0.1), abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, "uniform"), "n: expected a number from 1 to 5 candidates, got 0"),
        ((6, 5, "uniform"), "n: expected a number from 1 to 5 candidates, got 6"),
        ((5, 50, "entropy"), "entropy needs reward models"),
        ((5, 50, "k_center"), "k_center needs features"),
        ((5, 50, "entropi"), "did you mean 'entropy'"),
    ],
)
def test_what_cannot_be_selected_is_said(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        select(*arguments, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("selector", "values"),
    [
        ("entropy", {"probabilities": np.full((3, 49), 0.5)}),
        ("disagreement", {"probabilities": np.full(50, 0.5)}),
        ("k_center", {"features": np.zeros((49, 2))}),
        ("k_center", {"features": np.full((50, 2), np.nan)}),
    ],
)
def test_numbers_of_other_candidates_are_refused(selector, values) -> None:
    with pytest.raises(ConfigError, match="expected finite numbers of 50 candidates"):
        select(5, 50, selector, np.random.default_rng(0), **values)


def test_a_share_above_four_fifths_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"chosen_share: expected a number from 0 to 0\.8"):
        select(5, 9, "uniform", np.random.default_rng(0), chosen_share=0.9)
