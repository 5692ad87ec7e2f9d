"""Heads find a planted direction, say how likely it is, and learn nothing where there is nothing."""

import numpy as np
import pytest

from agents.hybrid.encoder import balanced_loss
from agents.hybrid.heads import LatentHeads, calibrate, calibration_error, fit_heads
from basalt.data.components import principal_components
from basalt.probes.suite.concepts import column_auc

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 24


def planted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents, and labels: one rare and noisy along a direction, one of chance."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(n, WIDTH))
    direction = np.random.default_rng(1).normal(size=WIDTH)
    along = standard @ direction / np.linalg.norm(direction)
    rare = rng.random(n) < 1 / (1 + np.exp(5 - 4 * along))
    latents = standard * np.linspace(1, 3, WIDTH)
    return latents, np.stack([rare, rng.random(n) < 0.3], axis=1)


def known(holds: np.ndarray) -> np.ndarray:
    return np.ones_like(holds)


def probabilities(net: LatentHeads, latents: np.ndarray) -> np.ndarray:
    import torch

    return net.probabilities(torch.from_numpy(latents.astype(np.float32)))


def test_a_planted_head_is_found_and_one_of_chance_is_not() -> None:
    latents, holds = planted(4000, 0)
    net = fit_heads(latents, holds, known(holds), components=WIDTH)
    test, truth = planted(4000, 2)
    found = probabilities(net, test)
    assert 0.02 < truth[:, 0].mean() < 0.2
    assert column_auc(found[:, 0], truth[:, 0]) > 0.9
    assert 0.45 < column_auc(found[:, 1], truth[:, 1]) < 0.55


def test_probabilities_are_calibrated_although_both_answers_weigh_the_same_in_training() -> None:
    latents, holds = planted(4000, 0)
    net = fit_heads(latents, holds, known(holds), components=WIDTH)
    calibrate(net, *planted(3000, 3), known(holds)[:3000])
    test, truth = planted(4000, 2)
    found = probabilities(net, test)
    for head in (0, 1):
        assert calibration_error(found[:, head], truth[:, head]) < 0.03
    balanced = LatentHeads(WIDTH, 2, WIDTH)
    balanced.load_state_dict(net.state_dict())
    balanced.slope.fill_(1)
    balanced.shift.fill_(0)
    wrong = probabilities(balanced, test)
    assert calibration_error(wrong[:, 0], truth[:, 0]) > 0.1


def test_a_hidden_layer_learns_what_logistic_regression_cannot() -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(3000, 4))
    holds = (latents[:, :1] > 0) ^ (latents[:, 1:2] > 0)
    aucs = [
        column_auc(
            probabilities(
                fit_heads(latents, holds, known(holds), components=4, hidden=hidden), latents
            )[:, 0],
            holds[:, 0],
        )
        for hidden in (0, 32)
    ]
    assert aucs[0] < 0.6 and aucs[1] > 0.95


def test_labels_that_are_not_known_count_for_nothing() -> None:
    latents, holds = planted(2000, 0)
    counts = np.random.default_rng(5).random(holds.shape) < 0.7
    net = fit_heads(latents, holds, counts, components=8)
    other = fit_heads(latents, holds ^ ~counts, counts, components=8)
    calibrate(net, latents, holds, counts)
    calibrate(other, latents, holds ^ ~counts, counts)
    np.testing.assert_allclose(
        probabilities(other, latents), probabilities(net, latents), atol=1e-6
    )


def test_where_calibration_frames_never_show_a_fact_its_frequency_only_falls() -> None:
    latents, holds = planted(3000, 0)
    net = fit_heads(latents, holds, known(holds), components=8)
    before = probabilities(net, latents)
    calibrate(net, latents[:300], np.zeros_like(holds[:300]), known(holds)[:300])
    after = probabilities(net, latents)
    assert np.isfinite(after).all() and after.mean() < before.mean()
    assert column_auc(after[:, 0], holds[:, 0]) == pytest.approx(
        column_auc(before[:, 0], holds[:, 0]), abs=1e-3
    )


def test_calibration_error_of_known_cases() -> None:
    holds = np.array([True, False, False, False])
    assert calibration_error(np.full(4, 0.25), holds) == pytest.approx(0)
    assert calibration_error(np.full(4, 0.75), holds) == pytest.approx(0.5)
    assert calibration_error(np.array([1.0, 0, 0, 0]), holds) == pytest.approx(0)


def test_principal_components_of_a_known_ellipse() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5000, 3)) * [1, 5, 0.1] + [7, 0, 0]
    mean, axes = principal_components(values, 2)
    np.testing.assert_allclose(mean, [7, 0, 0], atol=0.3)
    np.testing.assert_allclose(axes, [[0, 1], [1, 0], [0, 0]], atol=0.05)


def test_in_the_balanced_loss_each_answer_of_a_head_weighs_the_same() -> None:
    import torch

    odds = torch.tensor([[0.0, 2.0], [0.0, -2.0], [0.0, 5.0], [9.0, 5.0]])
    holds = torch.tensor([[True, True], [False, False], [False, True], [True, True]])
    known = torch.tensor([[True, True], [True, True], [True, False], [False, False]])
    # The first head says nothing, ln 2; the second is right by 2: ln(1 + exp(-2)).
    expected = np.log(2) + np.log1p(np.exp(-2))
    assert float(balanced_loss(odds, holds, known)) == pytest.approx(expected, abs=1e-6)
