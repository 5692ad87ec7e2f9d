"""Heads on the policy's latent: buttons, camera, value, and this project's ESC head."""

import torch
from torch import Tensor, nn

# Smallest variance and debiasing term of the value normaliser.
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
        """Logits for a latent."""
        return (self.linear_layer(latent).float() / self.temperature).unflatten(-1, self.shape)


class ValueNormalizer(nn.Module):
    """Running mean and variance of the return, from the published weights; not trained."""

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
        """Logit for a latent."""
        return self.linear(latent).float().squeeze(-1)
