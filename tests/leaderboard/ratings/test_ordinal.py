"""Ordinal Bradley-Terry finds planted strengths and thresholds, and uses how much better an episode is."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from basalt.core.comparisons import Comparison
from basalt.core.intervals import Z_95
from leaderboard.ratings.analysis import analyse
from leaderboard.ratings.bradley_terry import BRADLEY_TERRY
from leaderboard.ratings.columns import notes
from leaderboard.ratings.models import RATING_MODELS, default_model
from leaderboard.ratings.ordinal import (
    ANSWERS,
    ORDINAL,
    Answers,
    answers_of,
    fit_answers,
    posterior,
)
from leaderboard.ratings.ranking import rate
from leaderboard.ratings.trueskill import TRUESKILL
from tests.support.synthetic_comparisons import one_comparison

MIRROR = {"left": "right", "right": "left", "draw": "draw"}


def chances(lead: float, slight: float, much: float) -> dict[tuple[str, str | None], float]:
    """Probability of each answer, from the definition: intervals of a logistic variable about the lead."""

    def above(bound: float) -> float:
        return float(1 / (1 + np.exp(bound - lead)))

    return {
        ("left", "much"): above(much),
        ("left", "slightly"): above(slight) - above(much),
        ("left", None): above(slight),
        ("draw", None): above(-slight) - above(slight),
        ("right", None): 1 - above(-slight),
        ("right", "slightly"): above(-much) - above(-slight),
        ("right", "much"): 1 - above(-much),
    }


def planted(
    strengths: Sequence[float], count: int, *, seed: int, slight: float = 0.4, much: float = 1.6
) -> list[Comparison]:
    """Random pairs of agents `a0`, `a1`, ...; every third answer does not say how much."""
    rng = random.Random(seed)
    out = []
    for minute in range(count):
        i, j = rng.sample(range(len(strengths)), 2)
        found = chances(strengths[i] - strengths[j], slight, much)
        sides = [
            one for one in ANSWERS if one[0] == "draw" or (one[1] is None) == (minute % 3 == 0)
        ]
        ((winner, strength),) = rng.choices(sides, [found[one] for one in sides])
        one = one_comparison(f"a{i}", f"a{j}", winner, minute, f"r{minute % 4}")
        out.append(replace(one, strength=strength))
    return out


@pytest.mark.parametrize("scaled", [True, False])
def test_answers_in_their_exact_shares_give_back_strengths_and_thresholds(scaled: bool) -> None:
    strengths, slight, much = (0.0, 0.9, -1.3), 0.5, 1.7
    rows = [
        (i, j, ANSWERS.index(answer), 1e7 * share)
        for i, j in ((0, 1), (1, 2), (2, 0))
        for answer, share in chances(strengths[i] - strengths[j], slight, much).items()
        if answer[0] == "draw" or (answer[1] is not None) == scaled
    ]
    first, second, kind, weight = (np.array(column) for column in zip(*rows, strict=True))
    fitted = fit_answers(Answers(first, second, kind, weight), 3)
    assert fitted.strengths - fitted.strengths[0] == pytest.approx(strengths, abs=1e-5)
    assert fitted.thresholds[0] == pytest.approx(slight, abs=1e-5)
    if scaled:
        assert fitted.thresholds[1] == pytest.approx(much, abs=1e-5)


def test_gradient_and_curvature_are_the_derivatives() -> None:
    comparisons = planted((0.0, 1.0, -1.0), 60, seed=1)
    answers = answers_of(comparisons, ["a0", "a1", "a2"])
    point = np.array([0.3, -0.2, 1.1, 0.6, 1.9])
    value, gradient, curvature = posterior(point, answers, 3)
    step = 1e-5 * np.eye(5)
    ahead, behind = ([posterior(point + s * one, answers, 3) for one in step] for s in (1, -1))
    slopes = [(a[0] - b[0]) / 2e-5 for a, b in zip(ahead, behind, strict=True)]
    bends = [(a[1] - b[1]) / 2e-5 for a, b in zip(ahead, behind, strict=True)]
    assert np.isfinite(value)
    assert gradient == pytest.approx(slopes, abs=1e-5)
    assert -curvature == pytest.approx(np.array(bends), abs=1e-5)


def test_intervals_of_differences_hold_the_truth() -> None:
    truth = np.array([0.0, 0.7, -0.5, 1.2])
    agents = [f"a{n}" for n in range(4)]
    held = []
    for seed in range(60):
        comparisons = planted(truth, 120, seed=seed)
        value = ORDINAL.fit(comparisons, agents).value
        errors = ORDINAL.certainty(comparisons, agents, []).errors
        off = np.abs((value[:, None] - value) - (truth[:, None] - truth))
        held.append((off <= Z_95 * errors)[np.triu_indices(4, 1)].mean())
    assert 0.92 <= np.mean(held) <= 0.99


def test_much_better_counts_for_more_than_slightly_better() -> None:
    def gap(strength: str) -> float:
        answers = [one_comparison("a", "b", "left", n) for n in range(6)]
        answers = [replace(one, strength=strength) for one in answers]  # type: ignore[arg-type]
        rest = planted((0.0, 0.2), 40, seed=3)
        fitted = ORDINAL.fit([*answers, *rest], ["a", "b", "a0", "a1"])
        return float(fitted.value[0] - fitted.value[1])

    assert gap("much") > gap("slightly") + 0.5


def test_sides_and_order_do_not_matter() -> None:
    comparisons = planted((0.0, 1.0, -1.0), 60, seed=2)
    mirrored = [one.swapped() for one in reversed(comparisons)]
    agents = ["a0", "a1", "a2"]
    fitted, other = ORDINAL.fit(comparisons, agents), ORDINAL.fit(mirrored, agents)
    assert fitted.value == pytest.approx(other.value, abs=1e-9)
    assert fitted.error == pytest.approx(other.error, abs=1e-9)


def test_the_flip_flips_and_one_answer_fewer_does_not() -> None:
    comparisons = planted((0.0, 1.0), 40, seed=4)
    (table,) = rate(comparisons, model=ORDINAL)
    ahead, behind = table.agents[0], table.agents[1]
    if table.rows[0].agent != ahead:
        ahead, behind = behind, ahead
    (flips,) = ORDINAL.certainty(comparisons, table.agents, [(ahead, behind)]).flips
    more = replace(one_comparison(behind, ahead, "left", 999), strength="slightly")

    def lead(further: int) -> float:
        fitted = ORDINAL.fit([*comparisons, *[more] * further], [ahead, behind])
        return float(fitted.value[0] - fitted.value[1])

    assert lead(flips) < 0 <= lead(flips - 1)


def test_resampling_by_ones_is_the_fit() -> None:
    comparisons = planted((0.0, 1.0, -1.0), 50, seed=5)
    agents = ["a0", "a1", "a2"]
    again = ORDINAL.resample(comparisons, agents, np.ones((1, 50), dtype=np.int64))
    assert again.value[0] == pytest.approx(ORDINAL.fit(comparisons, agents).value, abs=1e-9)


def test_models_that_take_the_side_alone_say_so() -> None:
    scaled = planted((0.0, 1.0), 30, seed=6)
    plain = [replace(one, strength=None) for one in scaled]
    assert default_model(scaled) == "ordinal"
    assert default_model(plain) == "bt"
    assert "ordinal" in RATING_MODELS
    for model in (TRUESKILL, BRADLEY_TERRY):
        (table,) = rate(scaled, model=model)
        assert any("uses the side only" in note for note in notes(analyse(table, replicates=0)))
        (table,) = rate(plain, model=model)
        assert not any("side only" in note for note in notes(analyse(table, replicates=0)))
    (table,) = rate(scaled, model=ORDINAL)
    assert not any("side only" in note for note in notes(analyse(table, replicates=0)))
