"""The linear reward model on planted rewards: what it finds, and what a wrong split or a sum would find."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.reward.answers import split_answers
from agents.reward.linear import PENALTIES, choose_penalty, fit_linear
from agents.reward.preference import LEFT, RIGHT
from basalt.core.comparisons import Comparison, Side
from tests.support.synthetic_comparisons import one_comparison

pytestmark = pytest.mark.usefixtures("one_thread")


def answers_of(difference: Tensor, rng: np.random.Generator) -> Tensor:
    """Answers that name the better clip with chance sigmoid(difference)."""
    left = torch.from_numpy(rng.random(len(difference))) < torch.sigmoid(difference)
    return torch.where(left, LEFT, RIGHT)


def accuracy(fit_difference: Tensor, answers: Tensor) -> float:
    return float(((fit_difference > 0) == (answers == LEFT)).float().mean())


def test_finds_a_planted_reward() -> None:
    cosines, scales, hits, ceilings = [], [], [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        true = torch.from_numpy(rng.normal(size=32))
        true /= true.norm()

        def clips(count: int, rng: np.random.Generator = rng) -> Tensor:
            # Mean of 50 steps, scaled so that returns have unit variance.
            return torch.from_numpy(rng.normal(size=(count, 50, 32)).mean(1) * 50**0.5)

        left, right = clips(1_000), clips(1_000)
        fit = fit_linear(left, right, answers_of((left - right) @ true, rng), penalty=1e-3)
        cosines.append(float(fit.weight @ true / fit.weight.norm()))
        scales.append(float(fit.weight @ true))
        left, right = clips(4_000), clips(4_000)
        d = (left - right) @ true
        hits.append(accuracy((left - right) @ fit.weight, answers_of(d, rng)))
        chances = torch.sigmoid(d)
        ceilings.append(float(torch.maximum(chances, 1 - chances).mean()))
    assert np.mean(cosines) > 0.93
    assert np.mean(scales) == pytest.approx(1.0, abs=0.1)
    assert np.mean(hits) == pytest.approx(0.71, abs=0.02)
    assert np.mean(ceilings) == pytest.approx(0.726, abs=0.005)
    assert np.mean(hits) < np.mean(ceilings)


def test_a_sum_learns_length_and_a_mean_does_not() -> None:
    """Better episodes are shorter, and the features are noise."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(2, 3_000))
    lengths = np.clip(1_000 - 250 * quality + 250 * rng.normal(size=quality.shape), 100, None)
    answers = answers_of(torch.from_numpy(quality[0] - quality[1]), rng)
    # The mean of n steps of noise, and a constant feature of each step.
    means = [
        torch.from_numpy(np.column_stack([rng.normal(size=(3_000, 8)) / length[:, None] ** 0.5, np.ones(3_000)]))
        for length in lengths
    ]  # fmt: skip
    sums = [mean * torch.from_numpy(n)[:, None] / 1_000 for mean, n in zip(means, lengths, strict=True)]  # fmt: skip
    learn, test = slice(0, 1_500), slice(1_500, 3_000)
    found = {}
    for name, (left, right) in {"sum": sums, "mean": means}.items():
        fit = fit_linear(left[learn], right[learn], answers[learn], penalty=1e-4)
        found[name] = float(fit.weight[-1]), accuracy((left - right)[test] @ fit.weight, answers[test])  # fmt: skip
    constant, by_length = found["sum"]
    assert constant < -0.5 and by_length == pytest.approx(0.66, abs=0.03)
    assert found["mean"][1] == pytest.approx(0.5, abs=0.04)


def test_a_split_by_pair_would_measure_memory() -> None:
    """60 episodes of random quality that their clips show nothing of but which episode they are of."""
    by_pair, by_world = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        quality, names = rng.normal(size=60), torch.from_numpy(rng.normal(size=(60, 64)))
        pairs = rng.integers(60, size=(3_000, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        features = [names[side] + 0.3 * torch.from_numpy(rng.normal(size=(len(side), 64))) for side in pairs.T]  # fmt: skip
        ahead = torch.from_numpy(2 * (quality[pairs[:, 0]] - quality[pairs[:, 1]]))
        answers = answers_of(ahead, rng)

        def tested(
            learn: np.ndarray,
            test: np.ndarray,
            features: list[Tensor] = features,
            answers: Tensor = answers,
        ) -> float:
            left, right = features
            fit = fit_linear(left[learn], right[learn], answers[learn], penalty=1e-2)
            return accuracy((left - right)[test] @ fit.weight, answers[test])

        shuffled = rng.permutation(len(pairs))
        by_pair.append(tested(shuffled[:2_000], shuffled[2_000:]))
        comparisons = [asked(n, *pair) for n, pair in enumerate(pairs)]
        split = split_answers(comparisons, 0.3, seed)
        numbers = [
            np.array([int(one.comparison_id) for one in part]) for part in (split.training, split.held_out)
        ]  # fmt: skip
        by_world.append(tested(*numbers))
    assert np.mean(by_pair) == pytest.approx(0.8, abs=0.06)
    assert np.mean(by_world) == pytest.approx(0.5, abs=0.08)


def asked(number: int, left: int, right: int) -> Comparison:
    one = replace(one_comparison("a", "a", "left"), comparison_id=str(number))
    return one.with_sides(*(Side("a", int(place), f"{place:064x}", 0, 10) for place in (left, right)))  # fmt: skip


def test_the_penalty_is_chosen_by_cross_validation_over_worlds() -> None:
    rng = np.random.default_rng(0)
    names, true = torch.from_numpy(rng.normal(size=(40, 50))), torch.zeros(50, dtype=torch.float64)
    true[0] = 2.0
    pairs = rng.integers(40, size=(600, 2))
    left, right = names[pairs[:, 0]], names[pairs[:, 1]]
    places = [(f"find_cave:{a}", f"find_cave:{b}") for a, b in pairs]
    # Each world's quality is noise: the less is learned the better.
    noise = torch.from_numpy(3 * rng.normal(size=40))
    random = answers_of(noise[pairs[:, 0]] - noise[pairs[:, 1]], rng)
    assert choose_penalty(left, right, random, places) == max(PENALTIES)
    planted = answers_of((left - right) @ true, rng)
    assert choose_penalty(left, right, planted, places) < max(PENALTIES)
    alone = [("find_cave:1", "find_cave:1")] * 600
    assert choose_penalty(left, right, planted, alone) in PENALTIES
