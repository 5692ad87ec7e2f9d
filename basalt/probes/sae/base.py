"""What all architectures share while they are trained: weights, scale, folding, silent latents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.entries import Entries, choose
from basalt.probes.sae.model import SAE


class Objective(NamedTuple):
    """One batch's loss.

    Attributes:
        loss: scalar to minimise.
        error: scalar, mean squared error summed over d, in scaled units.
        l0: scalar, mean active latents.
        fired: bool [M].
    """

    loss: Tensor
    error: Tensor
    l0: Tensor
    fired: Tensor


class TrainingSAE(nn.Module, ABC):
    """An autoencoder in training, on activations divided by a fixed scale so that E|x|^2 = 1.

    Decoder directions have unit length throughout; the encoder begins as their transpose. Subclasses say
    which entries matter (`picked`) and what is minimised on them (`objective`).

    Args:
        d_in: width d of the activation.
        config: of this training.
    """

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__()
        self.config = config
        self.strength = config.sparsity
        directions = torch.randn(config.width, d_in)
        directions = directions / directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.clone())  # [M, d]: a latent's weights lie together
        self.b_enc = nn.Parameter(torch.zeros(config.width))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Set biases by a first batch [B, d]: `b_dec` to its mean, the rest to the wanted density.

        A policy's screen has large constant parts (hand, hotbar); a short training would spend latents
        on them.
        """
        self.b_dec.copy_(x.mean(0))
        wanted = 2 * (self.config.target_l0 or 0) / self.config.width
        density = min(max(self.config.initial_density, wanted), 0.5)
        z = (x[:512] - self.b_dec) @ self.W_enc.T
        place = round((1 - density) * (z.numel() - 1)) + 1
        self.start_above(float(z.flatten().kthvalue(place).values))

    def start_above(self, value: float) -> None:
        """Let latents begin to fire above a pre-activation of `value`."""
        self.b_enc.fill_(-value)

    def entries(self, x: Tensor) -> Entries:
        """The entries of a batch [B, d] that may be active or take a gradient."""
        with torch.no_grad():
            product = (x - self.b_dec) @ self.W_enc.T
            picked = self.picked(product + self.b_enc)
        return choose(x - self.b_dec, self.W_enc, product, picked)

    @abstractmethod
    def picked(self, pre: Tensor) -> Tensor:
        """bool [B, M]: which pre-activations [B, M] matter."""

    @abstractmethod
    def objective(self, x: Tensor, silent: Tensor, progress: float) -> Objective:
        """Loss of a batch.

        Args:
            x: scaled activations [B, d].
            silent: bool [M], latents that have not fired for long.
            progress: 0 to 1, how much of the sparsity term counts yet.
        """

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Keep parameters where they belong."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))

    @torch.no_grad()
    def project_decoder_gradient(self) -> None:
        """Remove what would only change the directions' lengths from their gradient."""
        grad = self.W_dec.grad
        if grad is not None:
            along = torch.linalg.vecdot(grad, self.W_dec)
            grad.addcmul_(along[:, None], self.W_dec, value=-1)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """The trained function on raw activations, `scale` times the scaled ones.

        Latents are `scale` times larger, the active set is equal.
        """
        sae = SAE(
            self.W_dec.shape[1], self.config.width, k=None, architecture=self.config.architecture
        )
        sae.W_enc.copy_(self.W_enc.T)
        sae.W_dec.copy_(self.W_dec)
        sae.b_enc.copy_(scale * (self.b_enc - self.W_enc @ self.b_dec))
        sae.b_dec.copy_(scale * self.b_dec)
        return sae.eval()


class SteeredPenalty(TrainingSAE):
    """A penalty whose weight is steered so that L0 comes to `target_l0`."""

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Raise the weight by up to 2 % where too many latents are active, else lower it."""
        super().after_step(l0, progress)
        target = self.config.target_l0
        if target is not None and progress >= 1:
            self.strength *= 1 + 0.02 * max(-1.0, min(1.0, l0 / target - 1))


def squared_error(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Squared error summed over d, mean over the batch: scalar of two [B, d]."""
    return (rebuilt - x).square().sum(1).mean()
