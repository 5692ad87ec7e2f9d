"""Losses of pairs and weights of rewards, by values that are known."""

import math

import pytest
import torch

from agents.preferences.losses import (
    advantage_weights,
    contrast,
    draw_contrast,
    effective_share,
    ranked_contrast,
)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("winner", "loser", "bias", "loss"),
    [(-10, -12, 1.0, 0.1269), (-10, -12, 0.5, 4.0181), (-100, -102, 0.5, 49.0)],
)
def test_cpl_has_its_known_values(winner: float, loser: float, bias: float, loss: float) -> None:
    assert contrast(numbers(winner), numbers(loser), bias).item() == pytest.approx(loss, abs=1e-4)


def test_cpl_without_bias_does_not_depend_on_a_constant_and_with_it_does() -> None:
    one, other = contrast(numbers(-10), numbers(-12)), contrast(numbers(-100), numbers(-102))
    assert one.item() == pytest.approx(other.item())
    ours, theirs = numbers(-10).requires_grad_(), numbers(-12).requires_grad_()
    contrast(ours, theirs, 0.5).backward()
    assert ours.grad is not None and theirs.grad is not None
    assert (ours.grad.item(), theirs.grad.item()) == pytest.approx((-0.982, 0.491), abs=1e-3)


def test_dpo_starts_at_ln_2_with_half_of_each_gradient() -> None:
    ours, theirs, beta = numbers(-100).requires_grad_(), numbers(-102).requires_grad_(), 0.1
    loss = contrast(beta * (ours - -100), beta * (theirs - -102))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert ours.grad is not None and theirs.grad is not None
    assert (ours.grad.item(), theirs.grad.item()) == pytest.approx((-beta / 2, beta / 2))
    moved = contrast(beta * (numbers(-100) + 101), beta * (numbers(-102) + 101))
    assert moved.item() == pytest.approx(0.5981, abs=1e-4)


def test_a_share_of_wrong_answers_bounds_the_loss() -> None:
    assert contrast(numbers(0), numbers(0), flip_rate=0.05).item() == pytest.approx(math.log(2))
    assert contrast(numbers(-50), numbers(50), flip_rate=0.05).item() == pytest.approx(-math.log(0.05))  # fmt: skip
    assert contrast(numbers(1), numbers(0), flip_rate=0.05).item() == pytest.approx(
        -math.log(0.95 * torch.sigmoid(numbers(1)).item() + 0.05 * torch.sigmoid(numbers(-1)).item())
    )  # fmt: skip


def test_a_draw_pulls_both_together() -> None:
    one, other = numbers(1.0).requires_grad_(), numbers(0.0).requires_grad_()
    draw_contrast(one, other).backward()
    assert one.grad is not None and other.grad is not None
    assert one.grad.item() > 0 > other.grad.item()
    assert draw_contrast(numbers(2), numbers(2)).item() == pytest.approx(math.log(2))


def test_ranked_mode_is_the_mean_over_all_pairs() -> None:
    scores, values = numbers(0.3, -1.0, 2.0, 0.1), numbers(5, 1, 7, 3)
    pairs = [(0, 1), (0, 3), (2, 0), (2, 1), (2, 3), (3, 1)]  # the one that is worth more first
    expected = sum(contrast(scores[a : a + 1], scores[b : b + 1], 0.5) for a, b in pairs) / 6
    assert ranked_contrast(scores, values, 0.5).item() == pytest.approx(expected.item())


def test_advantage_weights_have_their_known_share() -> None:
    draws = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert effective_share(advantage_weights(draws, 1.0)) == pytest.approx(0.37, abs=0.02)
    assert effective_share(advantage_weights(draws, 0.3, 20.0)) == pytest.approx(0.35, abs=0.02)
    assert advantage_weights(draws, 1.0, 20.0).mean().item() == pytest.approx(1.0)
    even = advantage_weights(draws, 1e9)
    torch.testing.assert_close(even, torch.ones_like(even), rtol=0, atol=1e-6)
