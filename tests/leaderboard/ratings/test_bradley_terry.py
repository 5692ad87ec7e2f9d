"""Bradley-Terry with ties does not depend on order or side, and finds planted strengths."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from leaderboard.ratings.bradley_terry import (
    BRADLEY_TERRY,
    PRIOR_GAMES,
    _posterior,
    fit_davidson,
)
from leaderboard.ratings.ranking import rate
from tests.support.synthetic_comparisons import one_comparison, planted

MIRROR = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Strength:
    value: float
    error: float

    @property
    def low(self) -> float:
        return self.value - Z_95 * self.error

    @property
    def high(self) -> float:
        return self.value + Z_95 * self.error


def fit(comparisons: Sequence[Comparison], more: Sequence[str] = ()) -> dict[str, Strength]:
    """Strengths by name, strongest first."""
    if not comparisons:
        return {}
    (table,) = rate(comparisons, model=BRADLEY_TERRY)
    if more:
        unmet = tuple(replace(table.rows[0], agent=name) for name in more)
        table = replace(table, rows=(*table.rows, *unmet)).rated_by(BRADLEY_TERRY)
    return {row.agent: Strength(row.value, row.error) for row in table.rows}


def ties(comparisons: Sequence[Comparison]) -> float:
    """Davidson's nu."""
    names = sorted({name for one in comparisons for name in one.winner_loser})
    wins, draws = np.zeros((2, len(names), len(names)))
    for one in comparisons:
        winner, loser = map(names.index, one.winner_loser)
        if one.winner == "draw":
            draws[winner, loser] += 1
            draws[loser, winner] += 1
        else:
            wins[winner, loser] += 1
    return fit_davidson(wins, draws).ties


def values(strengths: dict[str, Strength]) -> dict[str, float]:
    return {name: strength.value for name, strength in strengths.items()}


def test_the_order_of_the_judgments_changes_nothing() -> None:
    history = planted((0, 0.5, 1, 2), 120)
    shuffled = [replace(one, created=history[0].created) for one in history]
    random.Random(1).shuffle(shuffled)
    assert fit(shuffled) == fit(history)


def test_swapping_left_and_right_changes_nothing() -> None:
    history = planted((0, 0.5, 1, 2), 120)
    mirrored = [
        replace(
            one,
            left_agent=one.right_agent,
            right_agent=one.left_agent,
            winner=MIRROR.get(one.winner, one.winner),  # type: ignore[arg-type]
        )
        for one in history
    ]
    assert fit(mirrored) == fit(history)


def test_names_change_nothing_but_the_names() -> None:
    history = planted((0, 0.5, 1, 2), 120)
    new = {"a0": "z", "a1": "a", "a2": "m", "a3": "b"}
    renamed = [
        replace(one, left_agent=new[one.left_agent], right_agent=new[one.right_agent])
        for one in history
    ]
    for name, value in values(fit(history)).items():
        assert values(fit(renamed))[new[name]] == pytest.approx(value, abs=1e-9)


def test_planted_strengths_and_ties_are_found_within_their_errors() -> None:
    strengths = (-1.5, -0.5, 0.0, 0.5, 1.5)
    history = planted(strengths, 4000, ties=0.8, seed=2)
    model = fit(history)
    assert ties(history) == pytest.approx(0.8, rel=0.1)
    assert list(model) == ["a4", "a3", "a2", "a1", "a0"]
    for i, planted_strength in enumerate(strengths):
        found = model[f"a{i}"]
        assert abs(found.value - planted_strength) < 3 * found.error
        assert found.error < 0.1


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = 0
    for seed in range(200):
        strength = fit(planted((0.0, 0.7), 60, seed=seed))["a1"]
        inside += strength.low < 0.35 < strength.high
    assert 0.90 < inside / 200 < 0.99


def test_undefeated_and_never_compared_agents_stay_finite() -> None:
    history = [one_comparison("a", "b", "left", minute) for minute in range(50)]
    model = fit(history, ["c"])
    assert list(model) == ["a", "c", "b"]
    assert all(math.isfinite(one.value) and one.error < 10 for one in model.values())
    assert model["c"].value == pytest.approx(0, abs=1e-9)
    assert 0 < ties(history) < 0.2


def test_many_games_without_an_upset_or_a_draw_still_converge() -> None:
    history = [
        one_comparison(f"a{i:02}", f"a{j:02}", "left" if i < j else "right", 40 * i + j)
        for i in range(20)
        for j in range(20)
        if i != j
    ]
    model = fit(history * 5)
    assert list(model) == [f"a{i:02}" for i in range(20)]


def test_only_draws_are_equality() -> None:
    history = [one_comparison("a", "b", "draw", minute) for minute in range(20)]
    assert values(fit(history)) == pytest.approx({"a": 0, "b": 0}, abs=1e-9)
    assert ties(history) > 2


def test_answers_without_preference_say_nothing() -> None:
    history = planted((0, 1), 30)
    noise = [one_comparison("a0", "a1", word, 99) for word in ("both_bad", "skip")]
    assert fit(history + noise) == fit(history)
    alone = BRADLEY_TERRY.fit([], [])
    assert alone.value.shape == alone.error.shape == (0,)


def test_two_agents_agree_with_the_closed_form() -> None:
    """Without draws the mode of a pair solves a one-dimensional equation of its own."""
    history = [one_comparison("a", "b", "left" if i < 30 else "right", i) for i in range(40)]
    model = fit(history)
    t, nu = model["a"].value, ties(history)
    assert model["b"].value == pytest.approx(-t, abs=1e-8)
    half = math.exp(t) + math.exp(-t) + nu
    expected = 30 - 40 * (math.exp(t) + nu / 2) / half
    prior = PRIOR_GAMES * (1 - 2 / (1 + math.exp(-t)))
    assert expected + prior == pytest.approx(0, abs=1e-6)


def test_derivatives_are_those_of_the_value() -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 5, (4, 4)).astype(float)
    np.fill_diagonal(wins, 0)
    draws = np.triu(rng.integers(0, 3, (4, 4)), 1).astype(float)
    draws += draws.T
    point = rng.normal(size=5)
    _, gradient, curvature = _posterior(point, wins, draws)
    for i in range(5):
        step = np.zeros(5)
        step[i] = 1e-5
        up, down = _posterior(point + step, wins, draws), _posterior(point - step, wins, draws)
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(gradient[i], abs=1e-5)
        assert (down[1] - up[1]) / 2e-5 == pytest.approx(curvature[i], abs=1e-5)


def test_agrees_with_choix_where_it_is_installed() -> None:
    choix = pytest.importorskip("choix", reason="choix is not installed")
    history = planted((0, 0.5, 1.0), 2000, ties=0.0)
    pairs = [
        tuple(
            int(name[1])
            for name in (
                (one.left_agent, one.right_agent)
                if one.winner == "left"
                else (one.right_agent, one.left_agent)
            )
        )
        for one in history
    ]
    theirs = choix.ilsr_pairwise(3, pairs)
    ours = np.array([values(fit(history))[f"a{i}"] for i in range(3)])
    assert ours - ours.mean() == pytest.approx(theirs - theirs.mean(), abs=0.02)


def test_resampling_equals_fitting_the_resampled_comparisons() -> None:
    history = planted((0, 0.5, 1), 60, ties=0.5)
    names = ["a0", "a1", "a2", "never met"]
    counts = np.random.default_rng(0).integers(0, 3, (3, len(history)))
    found = BRADLEY_TERRY.resample(history, names, counts)
    for value, error, row in zip(found.value, found.error, counts, strict=True):
        again = BRADLEY_TERRY.fit(
            [one for one, times in zip(history, row, strict=True) for _ in range(times)], names
        )
        assert value == pytest.approx(again.value, abs=1e-9)
        assert error == pytest.approx(again.error, abs=1e-9)
