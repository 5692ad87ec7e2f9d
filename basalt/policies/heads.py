"""Heads on the policy's latent: buttons, camera, value, and our ESC head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Exponential average of the value normaliser, its floor on variance and on the debiasing term.
VALUE_DECAY = 0.99999
MIN_VARIANCE = 1e-2
MIN_DEBIASING = 1e-5


class CategoricalHead(nn.Module):
    """Linear layer to logits divided by a temperature: [B, T, H] -> float32 [B, T, *shape, n]."""

    def __init__(self, hidsize: int, n: int, shape: tuple[int, ...], temperature: float) -> None:
        super().__init__()
        self.shape = (*shape, n)
        self.temperature = temperature
        self.linear_layer = nn.Linear(hidsize, torch.Size(self.shape).numel())

    def forward(self, latent: Tensor) -> Tensor:
        """Logits of the latent."""
        return (self.linear_layer(latent).float() / self.temperature).unflatten(-1, self.shape)


class ValueNormalizer(nn.Module):
    """Running mean and variance of the return; parameters that take no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.running_mean = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.running_mean_sq = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.debiasing_term = nn.Parameter(torch.tensor(0.0), requires_grad=False)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Debiased mean [1] and standard deviation [1]."""
        debias = self.debiasing_term.clamp(min=MIN_DEBIASING)
        mean = self.running_mean / debias
        variance = (self.running_mean_sq / debias - mean**2).clamp(min=MIN_VARIANCE)
        return mean, variance.sqrt()

    @torch.no_grad()
    def update(self, returns: Tensor) -> None:
        """Take a batch of returns [B, T, 1] into the running statistics."""
        for running, statistic in (
            (self.running_mean, returns.mean((0, 1))),
            (self.running_mean_sq, returns.square().mean((0, 1))),
            (self.debiasing_term, torch.ones_like(self.debiasing_term)),
        ):
            running.lerp_(statistic.to(running), 1 - VALUE_DECAY)

    def normalize(self, returns: Tensor) -> Tensor:
        """Returns in the units of the value head's output."""
        mean, deviation = self.moments()
        return (returns - mean) / deviation

    def denormalize(self, value: Tensor) -> Tensor:
        """The value head's output in the units of the return."""
        mean, deviation = self.moments()
        return value * deviation + mean


class ValueHead(nn.Module):
    """Normalised value of a latent: [B, T, H] -> float32 [B, T, 1]."""

    def __init__(self, hidsize: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidsize, 1)
        self.normalizer = ValueNormalizer()

    def forward(self, latent: Tensor) -> Tensor:
        """Value in normalised units."""
        return self.linear(latent).float()

    def loss(self, value: Tensor, returns: Tensor) -> Tensor:
        """Squared error against normalised returns [B, T, 1]; call `normalizer.update` first."""
        return F.mse_loss(value, self.normalizer.normalize(returns))


class EscHead(nn.Module):
    """Logit of pressing ESC (ending the episode): [B, T, H] -> float32 [B, T].

    VPT's action space has no ESC, so official weight files have no such module.
    """

    def __init__(self, hidsize: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidsize, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, latent: Tensor) -> Tensor:
        """Logit of the latent."""
        return self.linear(latent).float().squeeze(-1)
