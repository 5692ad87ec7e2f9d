"""The formulas of proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347)."""

import torch
from torch import Tensor


def advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    discount: float,
    smoothing: float,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2015, arXiv 1506.02438), float [T, N].

    Where the step limit cuts an episode, what would have followed is still worth its value; where the episode terminates, nothing
    follows.

    Args:
        rewards: Reward of each step, float [T, N].
        values: Value of the state before each step, float [T, N].
        next_values: Value of the state after it, that of the last frame of an episode included, float [T, N].
        terminated: Whether the episode terminated at that step, bool [T, N].
        ended: Whether it ended at that step, terminated or cut, bool [T, N].
        discount: Gamma.
        smoothing: Lambda.
    """
    errors = rewards + discount * next_values * ~terminated - values
    found, following = torch.zeros_like(errors), torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        following = errors[t] + discount * smoothing * following * ~ended[t]
        found[t] = following
    return found


def clipped_loss(log_ratio: Tensor, advantage: Tensor, clip: float, mask: Tensor) -> Tensor:
    """Mean of -min(r A, clip(r, 1 - clip, 1 + clip) A) over the steps that count, a scalar.

    Args:
        log_ratio: Logarithm of r, the chance of the action now relative to when it was played, float [n].
        advantage: A, float [n].
        clip: Largest change of r that pays.
        mask: Which steps count, bool [n].
    """
    ratio = log_ratio.exp()
    pays = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return masked_mean(-pays, mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the steps that count, a scalar."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Share of the variance of returns that values explain; 0 where the returns are all equal."""
    variance = returns.var(correction=0)
    return float(1 - (returns - values).var(correction=0) / variance) if variance > 0 else 0.0


def next_weight(weight: float, divergence: float, target: float, steps: int, horizon: int) -> float:
    """Weight of the divergence after an iteration, by how far it is from its target (Ziegler et al. 2019, arXiv 1909.08593).

    Args:
        weight: Weight so far.
        divergence: Divergence of the iteration, in nats a frame.
        target: Target.
        steps: Number of steps of the iteration.
        horizon: Number of steps over which the weight adapts.
    """
    error = min(max(divergence / target - 1, -0.2), 0.2)
    return weight * (1 + error * steps / horizon)
