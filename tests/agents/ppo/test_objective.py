"""The formulas of PPO, by values that are known."""

import pytest
import torch

from agents.ppo.objective import (
    advantages,
    clipped_loss,
    explained_variance,
    masked_mean,
    next_weight,
)


@pytest.mark.parametrize(
    ("rewards", "terminated", "expected"),
    [
        ((0, 0, 0), False, (-0.1293, -0.0927, -0.05)),
        ((0, 0, 0), True, (-0.4583, -0.4775, -0.5)),
        ((0, 0, 1), True, (0.2728, 0.3775, 0.5)),
        ((0, 0, 1), False, (0.6017, 0.7622, 0.95)),
    ],
)
def test_truncation_is_not_termination(
    rewards: tuple[float, ...], terminated: bool, expected: tuple[float, ...]
) -> None:
    half, ended = torch.full((3, 1), 0.5), torch.tensor([[False], [False], [True]])
    found = advantages(
        torch.tensor(rewards, dtype=torch.float32)[:, None], half, half, ended & terminated, ended, 0.9, 0.95
    )  # fmt: skip
    assert found[:, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_an_episode_does_not_learn_from_the_next_one() -> None:
    rewards = torch.tensor([[1.0], [5.0], [7.0]])
    ended = torch.tensor([[True], [False], [True]])
    zero = torch.zeros(3, 1)
    found = advantages(rewards, zero, zero, ended, ended, 1.0, 1.0)
    assert found[:, 0].tolist() == [1.0, 12.0, 7.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"), [(0.5, 1, -0.5), (0.5, -1, 0.8), (1.5, 1, -1.2), (1.5, -1, 1.5)]
)
def test_the_clipped_loss_has_its_known_values(ratio: float, advantage: float, loss: float) -> None:
    found = clipped_loss(
        torch.tensor([ratio]).log(), torch.tensor([float(advantage)]), 0.2, torch.tensor([True])
    )
    assert found.item() == pytest.approx(loss)


def test_padding_changes_neither_the_loss_nor_its_gradients() -> None:
    draws = torch.Generator().manual_seed(0)
    ratio, advantage = (torch.randn(6, generator=draws) for _ in range(2))
    found = []
    for padding in (0, 4):
        one = torch.cat([ratio, torch.full((padding,), 3.0)]).requires_grad_()
        other = torch.cat([advantage, torch.full((padding,), float("nan"))])
        mask = torch.arange(6 + padding) < 6
        loss = clipped_loss(one, torch.where(mask, other, 0), 0.2, mask)
        loss.backward()
        assert one.grad is not None
        found.append((loss.item(), one.grad[:6].tolist()))
        assert not one.grad[6:].any()
    assert found[0][0] == pytest.approx(found[1][0]) and found[0][1] == pytest.approx(found[1][1])
    assert masked_mean(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False])).item() == 2


def test_the_weight_of_the_divergence_follows_its_target() -> None:
    assert next_weight(0.2, 12, 6, 256, 10_000) == pytest.approx(0.201024)
    assert next_weight(0.2, 0.0, 6, 256, 10_000) == pytest.approx(0.2 * (1 - 0.2 * 0.0256))
    assert next_weight(0.2, 6, 6, 256, 10_000) == pytest.approx(0.2)


def test_explained_variance() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(torch.full((3,), 2.0), returns) == 0
    assert explained_variance(returns, torch.ones(3)) == 0
