"""Heads on latents: principal components, logistic regression or one hidden layer, and calibration."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from basalt.data.components import principal_components
from basalt.policies.config import VPTConfig
from basalt.policies.impala import ImageEncoder

ITERATIONS = 200
"""Largest number of L-BFGS iterations."""

BINS = 10
"""Number of bins of predicted probability in which a calibration error is measured."""


class LatentHeads(nn.Module):
    """Calibrated log-odds of facts, given latents of a policy, or of an image encoder of their own.

    Args:
        width: Width of the latents.
        heads: Number of facts.
        components: Number of principal components that are read, at most `width`.
        hidden: Width of the hidden layer; 0 is logistic regression.
        encoder: Sizes of the encoder of their own, which sees one frame at a time; None where a policy gives the latents.
    """

    mean: Tensor
    axes: Tensor
    slope: Tensor
    shift: Tensor

    def __init__(
        self,
        width: int,
        heads: int,
        components: int,
        hidden: int = 0,
        encoder: VPTConfig | None = None,
    ) -> None:
        super().__init__()
        self.encoder = None if encoder is None else ImageEncoder(encoder)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, components))
        self.layers = (
            nn.Sequential(nn.Linear(components, hidden), nn.ReLU(), nn.Linear(hidden, heads))
            if hidden
            else nn.Linear(components, heads)
        )
        self.register_buffer("slope", torch.ones(heads))
        self.register_buffer("shift", torch.zeros(heads))

    def forward(self, latents: Tensor) -> Tensor:
        """Log-odds float32 [..., heads] of latents [..., width]."""
        return self.layers((latents.float() - self.mean) @ self.axes) * self.slope + self.shift

    def encode(self, frames: Tensor) -> Tensor:
        """Latents [n, width] by the encoder of their own, of frames uint8 [n, height, width, 3] RGB at its size."""
        assert self.encoder is not None
        return self.encoder(frames.to(self.shift.device).permute(0, 3, 1, 2).float()[None] / 255)[0]

    @torch.no_grad()
    def probabilities(self, latents: Tensor) -> NDArray[np.float32]:
        """Probabilities float32 [..., heads] of latents [..., width]."""
        return self(latents).sigmoid().cpu().numpy()


def fit_heads(
    latents: NDArray[np.floating],
    holds: NDArray[np.bool_],
    known: NDArray[np.bool_],
    *,
    components: int,
    hidden: int = 0,
    weight_decay: float = 1e-3,
    seed: int = 0,
) -> LatentHeads:
    """Fit heads in which both answers weigh the same, however rare one of them is.

    The log-odds are then shifted to the frequencies of these rows; `calibrate` fits them on others.

    Args:
        latents: Latents of the training rows, float [n, width].
        holds: Labels, bool [n, heads]; each is known to hold on some rows and not to hold on others.
        known: Which labels count, bool [n, heads].
        components: Number of principal components.
        hidden: Width of the hidden layer; 0 is logistic regression.
        weight_decay: L2 penalty on the weights.
        seed: Seed of the hidden layer's first weights.
    """
    torch.manual_seed(seed)
    components = min(components, latents.shape[1])
    net = LatentHeads(latents.shape[1], holds.shape[1], components, hidden)
    mean, axes = principal_components(latents, components)
    inputs = (latents.astype(np.float32) - mean) @ axes
    scale = inputs.std(0) + 1e-6
    net.mean.copy_(torch.from_numpy(mean))
    net.axes.copy_(torch.from_numpy(axes / scale))
    x, target = torch.from_numpy(inputs / scale), torch.from_numpy(holds).float()
    counts = torch.from_numpy(known).float()
    yes, no = (target * counts).sum(0), ((1 - target) * counts).sum(0)
    weight = counts * (target / (2 * yes) + (1 - target) / (2 * no))

    def loss() -> Tensor:
        each = F.binary_cross_entropy_with_logits(net.layers(x), target, reduction="none")
        decay = sum(p.square().sum() for p in net.layers.parameters() if p.ndim > 1)
        return (each * weight).sum() + weight_decay * decay

    _minimise(loss, list(net.layers.parameters()))
    net.shift.copy_((yes / no).log())
    return net.eval()


def calibrate(
    net: LatentHeads,
    latents: NDArray[np.floating],
    holds: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> None:
    """Fit each head's slope and shift to the frequencies of rows on which it was not trained (Platt 1999).

    A weak pull towards the present slope and shift decides where the rows do not.
    """
    with torch.no_grad():
        odds = net(torch.from_numpy(np.asarray(latents, np.float32)))
    target, counts = torch.from_numpy(holds).float(), torch.from_numpy(known).float()
    log_slope = torch.zeros(odds.shape[1], requires_grad=True)
    shift = torch.zeros(odds.shape[1], requires_grad=True)

    def loss() -> Tensor:
        fitted = odds * log_slope.exp() + shift
        each = F.binary_cross_entropy_with_logits(fitted, target, reduction="none")
        return (each * counts).sum() + log_slope.square().sum() + 0.1 * shift.square().sum()

    _minimise(loss, [log_slope, shift])
    with torch.no_grad():
        slope = log_slope.exp()
        net.shift.copy_(net.shift * slope + shift)
        net.slope.mul_(slope)


def _minimise(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def calibration_error(probability: NDArray[np.floating], holds: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap between predicted and observed frequency, over bins of equal width.

    Args:
        probability: Predictions, float [n].
        holds: What was observed, bool [n].
    """
    number = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(number, probability - holds, BINS)
    return float(np.abs(gaps).sum() / max(len(holds), 1))
