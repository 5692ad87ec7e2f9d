"""Bradley-Terry with ties does not depend on order or side, and finds planted strengths."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from leaderboard.ratings.bradley_terry import (
    BRADLEY_TERRY,
    PRIOR_GAMES,
    counted_pairs,
    fit_davidson,
    posterior,
)
from leaderboard.ratings.groups import connected_groups
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
    assert list(model) == ["a", "b", "c"], "never compared: a group of its own"
    assert all(math.isfinite(one.value) and 0 < one.error < 10 for one in model.values())
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
    outcomes = counted_pairs(wins, draws)
    outcomes = replace(outcomes, looks=rng.normal(size=(len(outcomes.first), 2)))
    point = rng.normal(size=7)
    _, gradient, curvature = posterior(point, outcomes, 4)
    for i in range(7):
        step = np.zeros(7)
        step[i] = 1e-5
        up, down = posterior(point + step, outcomes, 4), posterior(point - step, outcomes, 4)
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


def test_a_flip_of_two_agents_is_the_difference_of_their_wins_and_one_more() -> None:
    """30 to 10: 20 more answers make them equal, the 21st flips them; draws and ties change nothing."""
    history = [one_comparison("a", "b", "left" if n < 30 else "right", n) for n in range(40)]
    drawn = [one_comparison("a", "b", "draw", 50 + n) for n in range(12)]
    for judged in (history, [*history, *drawn]):
        assert BRADLEY_TERRY.certainty(judged, ["a", "b"], [("a", "b")]).flips == (21,)


@pytest.mark.parametrize("seed", range(12))
def test_a_flip_takes_as_many_answers_as_it_says_and_no_fewer(seed: int) -> None:
    rng = random.Random(seed)
    strengths = [rng.gauss(0, rng.choice((0.5, 2, 5))) for _ in range(rng.randint(2, 6))]
    history = planted(strengths, rng.randint(2, 80), ties=rng.choice((0.0, 0.3, 2, 50)), seed=seed)
    (table,) = rate(history, model=BRADLEY_TERRY)
    agents = table.agents
    for rows in table.groups:
        for row, following in pairwise(rows):
            pair = (row.agent, following.agent)
            (needed,) = BRADLEY_TERRY.certainty(history, agents, [pair]).flips
            for count, flipped in ((needed - 1, False), (needed, True)):
                more = [one_comparison(*pair, "right", 1000 + n) for n in range(count)]
                after = values(fit([*history, *more]))
                assert (after[following.agent] > after[row.agent] + 1e-6) == flipped


@pytest.mark.parametrize(
    "winners", [["left"] * 40, ["draw"] * 40, ["left"], ["draw"], [*["left"] * 39, "right"]],
    ids=["all wins", "all draws", "one win", "one draw", "one loss"],
)  # fmt: skip
def test_no_interval_is_narrower_than_one_more_answer_would_move(winners: list[str]) -> None:
    history = [one_comparison("a", "b", winner, n) for n, winner in enumerate(winners)]
    before = fit(history)
    error = BRADLEY_TERRY.certainty(history, ["a", "b"], []).errors[0, 1]
    assert np.isfinite(error)
    for winner in ("left", "right", "draw"):
        after = fit([*history, one_comparison("a", "b", winner, 99)])
        for name, strength in before.items():
            assert strength.low <= after[name].value <= strength.high
        moved = after["a"].value - after["b"].value - before["a"].value + before["b"].value
        assert abs(moved) < Z_95 * error


@pytest.mark.parametrize("seed", range(8))
def test_no_interval_of_a_random_table_is_narrower_either(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(2, 5)
    history = planted([rng.gauss(0, 3) for _ in range(count)], rng.randint(1, 25), seed=seed)
    agents = sorted({name for one in history for name in one.winner_loser})
    before = fit(history)
    errors = BRADLEY_TERRY.certainty(history, agents, []).errors
    for (i, one), (j, other) in permutations(enumerate(agents), 2):
        if connected(history, one, other):
            for winner in ("left", "draw"):
                after = fit([*history, one_comparison(one, other, winner, 99)])
                assert before[one].low <= after[one].value <= before[one].high
                moved = after[one].value - after[other].value
                moved -= before[one].value - before[other].value
                assert abs(moved) < Z_95 * errors[i, j]


def connected(history: Sequence[Comparison], *pair: str) -> bool:
    everyone = sorted({name for one in history for name in one.winner_loser})
    groups = connected_groups(everyone, (one.winner_loser for one in history))
    return any(set(pair) <= set(group) for group in groups)


def coverage(agents: int, answers: int, studies: int, raters: int = 1) -> float:
    """Share of differences whose 95% interval holds the truth, in studies of a Bradley-Terry world with ties.

    Agents' log-strengths are standard normal; pairs are random; differences between agents that no chain of
    comparisons connects are not counted.
    """
    names = [f"a{number}" for number in range(agents)]
    hits = []
    for seed in range(studies):
        truth = np.random.default_rng([seed, agents, answers]).normal(size=agents)
        history = planted(truth.tolist(), answers, ties=0.5, seed=seed, raters=raters)
        found = BRADLEY_TERRY.fit(history, names).value
        errors = BRADLEY_TERRY.certainty(history, names, []).errors
        off = found[:, None] - found - truth[:, None] + truth
        for group in connected_groups(names, (one.winner_loser for one in history)):
            for i, j in combinations([names.index(name) for name in group], 2):
                hits.append(abs(off[i, j]) < Z_95 * errors[i, j])
    return float(np.mean(hits))


@pytest.mark.parametrize(
    ("answers", "studies", "low", "high"),
    [(20, 60, 0.92, 1.0), (50, 50, 0.92, 0.98), (200, 30, 0.92, 0.98)],
)
def test_intervals_of_differences_hold_the_truth(
    answers: int, studies: int, low: float, high: float
) -> None:
    assert low <= coverage(5, answers, studies) <= high


@pytest.mark.long
@pytest.mark.parametrize(
    ("answers", "low", "high"),
    [(20, 0.92, 1), (50, 0.92, 0.98), (200, 0.92, 0.98), (3000, 0.92, 0.98)],
)
@pytest.mark.parametrize("raters", [1, 10])
def test_intervals_of_differences_hold_the_truth_at_every_size(
    answers: int, low: float, high: float, raters: int
) -> None:
    assert low <= coverage(6, answers, 200, raters=raters) <= high


def test_raters_of_different_tastes_widen_the_intervals() -> None:
    rows = planted((0, 1), 400, raters=40, seed=5)
    by_rater = [
        one_comparison("a0", "a1", "left" if int(rater[1:]) % 2 else "right", n, rater)
        for n, rater in enumerate(one.rater or "" for one in rows)
    ]
    alone = [replace(one, rater=f"r{n}") for n, one in enumerate(by_rater)]
    wide, narrow = (
        BRADLEY_TERRY.certainty(one, ["a0", "a1"], []).errors[0, 1] for one in (by_rater, alone)
    )
    assert wide > 1.5 * narrow
