"""What all architectures share in training: weights, scale, dead latents, folding."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from basalt.probes.sae.active_entries import ActiveEntries, choose
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.model import SAE


class Objective(NamedTuple):
    """The loss of one batch.

    Attributes:
        loss: Scalar to minimise.
        l0: Scalar, mean number of active latents.
        fired: Latents that were active, bool [M].
    """

    loss: Tensor
    l0: Tensor
    fired: Tensor


class TrainingSAE(nn.Module, ABC):
    """An autoencoder in training, on activations divided by a fixed scale so that E|x|^2 = 1.

    Decoder directions have unit length throughout; the encoder starts as their transpose. A subclass
    defines which entries matter (`active`) and what is minimised on them (`objective`).

    Args:
        d_in: Width d of the activation.
        config: Settings of this training.
    """

    def __init__(self, d_in: int, config: SAEConfig) -> None:
        super().__init__()
        self.config = config
        self.sparsity_weight = config.sparsity
        directions = torch.randn(config.width, d_in)
        directions = directions / directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.clone())  # [M, d]: a latent's weights are contiguous
        self.b_enc = nn.Parameter(torch.zeros(config.width))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set biases from a first batch [B, d]: `b_dec` to its mean, the rest to the wanted density.

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
        """Make latents fire above a pre-activation of `value`."""
        self.b_enc.fill_(-value)

    def active_entries(self, x: Tensor) -> ActiveEntries:
        """The entries of a batch [B, d] that may be active or take a gradient."""
        with torch.no_grad():
            product = (x - self.b_dec) @ self.W_enc.T
            active = self.active(product + self.b_enc)
        return choose(x - self.b_dec, self.W_enc, product, active)

    @abstractmethod
    def active(self, pre_acts: Tensor) -> Tensor:
        """Which pre-activations [B, M] may be active or take a gradient: bool [B, M]."""

    @abstractmethod
    def objective(self, x: Tensor, dead: Tensor, progress: float) -> Objective:
        """The loss of a batch.

        Args:
            x: Scaled activations [B, d].
            dead: Latents that have not fired for long, bool [M].
            progress: Share of the sparsity term that counts at this step, 0 to 1.
        """

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Project parameters onto their constraints."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))

    @torch.no_grad()
    def project_decoder_gradient(self) -> None:
        """Remove the component of the gradient that only changes the directions' lengths."""
        grad = self.W_dec.grad
        if grad is not None:
            along = torch.linalg.vecdot(grad, self.W_dec)
            grad.addcmul_(along[:, None], self.W_dec, value=-1)

    @torch.no_grad()
    def folded(self, scale: float) -> SAE:
        """The trained function on raw activations, which are `scale` times the scaled ones.

        Latents become `scale` times larger; the active set is the same.
        """
        sae = SAE(
            self.W_dec.shape[1], self.config.width, k=None, architecture=self.config.architecture
        )
        sae.W_enc.copy_(self.W_enc.T)
        sae.W_dec.copy_(self.W_dec)
        sae.b_enc.copy_(scale * (self.b_enc - self.W_enc @ self.b_dec))
        sae.b_dec.copy_(scale * self.b_dec)
        return sae.eval()


class AdaptivePenalty(TrainingSAE):
    """A penalty whose weight is adjusted so that L0 reaches `target_l0`."""

    @torch.no_grad()
    def after_step(self, l0: float, progress: float) -> None:
        """Raise the weight by up to 2% if too many latents are active, otherwise lower it."""
        super().after_step(l0, progress)
        target = self.config.target_l0
        if target is not None and progress >= 1:
            self.sparsity_weight *= 1 + 0.02 * max(-1.0, min(1.0, l0 / target - 1))


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Squared error of [B, d], summed over d, mean over the batch: scalar."""
    return (reconstruction - x).square().sum(1).mean()
