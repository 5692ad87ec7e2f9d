"""The best of n by a proxy: how much gold it gains, and where heavy tails turn it down."""

import numpy as np
import pytest

from agents.best_of_n.choice import best, divergence

DRAWS = 4_000


def gold_of_the_best(n: int, tails: str) -> float:
    """Mean gold of the best of n by a proxy that is gold plus noise, both of unit scale."""
    rng = np.random.default_rng(n)
    gold = rng.normal(size=(DRAWS, n))
    noise = rng.normal(size=gold.shape) if tails == "normal" else rng.standard_t(2, gold.shape)
    return float(np.take_along_axis(gold, best(gold + noise)[:, None], 1).mean())


def test_light_tails_keep_gaining_and_heavy_ones_turn_down() -> None:
    assert gold_of_the_best(16, "normal") == pytest.approx(1.25, abs=0.05)
    assert gold_of_the_best(256, "normal") == pytest.approx(2.0, abs=0.05)
    assert gold_of_the_best(16, "t") == pytest.approx(0.67, abs=0.05)
    assert gold_of_the_best(256, "t") < 0.4


def test_the_divergence_is_known() -> None:
    assert divergence(16) == pytest.approx(1.84, abs=0.01)
    assert divergence(1) == 0
    assert best([[1.0, 3.0, 3.0], [0.0, -1.0, -2.0]]).tolist() == [1, 0]
