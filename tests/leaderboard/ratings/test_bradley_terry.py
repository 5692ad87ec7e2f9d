"""Bradley-Terry with ties does not depend on order or side, and finds planted strengths."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from leaderboard.ratings.bradley_terry import PRIOR_GAMES, BradleyTerry, _posterior, fit
from tests.support.synthetic_comparisons import one_comparison, planted

MIRROR = {"left": "right", "right": "left"}


def values(model: BradleyTerry) -> dict[str, float]:
    return {name: strength.value for name, strength in model.strengths.items()}


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
    model = fit(planted(strengths, 4000, ties=0.8, seed=2))
    assert model.ties == pytest.approx(0.8, rel=0.1)
    assert list(model.strengths) == ["a4", "a3", "a2", "a1", "a0"]
    for i, planted_strength in enumerate(strengths):
        found = model.strengths[f"a{i}"]
        assert abs(found.value - planted_strength) < 3 * found.error
        assert found.error < 0.1


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = 0
    for seed in range(200):
        strength = fit(planted((0.0, 0.7), 60, seed=seed)).strengths["a1"]
        inside += strength.low < 0.35 < strength.high
    assert 0.90 < inside / 200 < 0.99


def test_undefeated_and_never_compared_agents_stay_finite() -> None:
    model = fit([one_comparison("a", "b", "left", minute) for minute in range(50)], ["c"])
    assert list(model.strengths) == ["a", "c", "b"]
    assert all(math.isfinite(one.value) and one.error < 10 for one in model.strengths.values())
    assert model.strengths["c"].value == pytest.approx(0, abs=1e-9)
    assert 0 < model.ties < 0.2


def test_many_games_without_an_upset_or_a_draw_still_converge() -> None:
    history = [
        one_comparison(f"a{i:02}", f"a{j:02}", "left" if i < j else "right", 40 * i + j)
        for i in range(20)
        for j in range(20)
        if i != j
    ]
    model = fit(history * 5)
    assert list(model.strengths) == [f"a{i:02}" for i in range(20)]


def test_only_draws_are_equality() -> None:
    model = fit([one_comparison("a", "b", "draw", minute) for minute in range(20)])
    assert values(model) == pytest.approx({"a": 0, "b": 0}, abs=1e-9)
    assert model.ties > 2


def test_answers_without_preference_say_nothing() -> None:
    history = planted((0, 1), 30)
    noise = [one_comparison("a0", "a1", word, 99) for word in ("both_bad", "skip")]
    assert fit(history + noise) == fit(history)
    assert fit([]).strengths == {}


def test_two_agents_agree_with_the_closed_form() -> None:
    """Without draws the mode of a pair solves a one-dimensional equation of its own."""
    model = fit([one_comparison("a", "b", "left" if i < 30 else "right", i) for i in range(40)])
    t, nu = model.strengths["a"].value, model.ties
    assert model.strengths["b"].value == pytest.approx(-t, abs=1e-8)
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
