"""Settings of one autoencoder's training."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from basalt.io.errors import ConfigError

ARCHITECTURES = ("relu", "gated", "jumprelu", "topk", "batchtopk", "matryoshka")

_COUNTED = ("topk", "batchtopk", "matryoshka")


@dataclass(frozen=True)
class SAEConfig:
    """Settings of one training; defaults suit a thousand steps, not Gemma Scope's million.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        width: latents M.
        sparsity: lambda, weight of the sparsity term; not used by the TopK family.
        target_l0: wanted mean number of active latents. TopK family: k, and needed. JumpReLU: the
            term is lambda * (L0 / target_l0 - 1)^2 on the batch's mean L0, instead of lambda * L0.
            ReLU and Gated: lambda, from `sparsity` on, is steered towards it from step to step.
        bandwidth: of JumpReLU's straight-through kernel, in units of the scaled activation. Gemma
            Scope's 0.001 needs a million steps; about 0.3 / sqrt(L0) suits a thousand.
        active_only: JumpReLU's L0 term takes its gradient from active latents alone (upper half of the
            kernel) instead of from both sides of the threshold, the paper's form. It recovers more of
            a dictionary at a penalty with a target, and under-penalises without one.
        initial_density: share of latents that are active at the start (by JumpReLU's threshold, else by
            the bias), or twice `target_l0` where that is more. Biases and thresholds at 0 would begin
            with half of the latents: as good at the end, but slower, since all products are then needed.
        aux: weight of the TopK family's auxiliary loss, in which silent latents explain the error.
        dead_after: activations without firing after which a latent counts as silent.
        resample: ReLU and Gated begin their silent latents anew at so many moments, evenly spread over
            the first half of the training.
        lr: Adam's step size after the warm-up, which takes a tenth of the steps.
        decay: share of the steps at the end in which the step size falls to zero.
        steps: optimizer steps.
        batch: activations a step.
        warmup: share of the steps in which lambda rises from 0.
        grad_clip: largest norm of the gradient; without it the first steps, in which half of the
            latents fire, stay in Adam's moments for a thousand steps.
        seed: of weights and order.
    """

    architecture: str = "jumprelu"
    width: int = 256
    sparsity: float = 0.3
    target_l0: float | None = None
    bandwidth: float = 0.1
    active_only: bool = False
    initial_density: float = 0.05
    aux: float = 1 / 32
    dead_after: int = 20_000
    resample: int = 2
    lr: float = 3e-3
    decay: float = 0.2
    steps: int = 1000
    batch: int = 512
    warmup: float = 0.2
    grad_clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            close = get_close_matches(self.architecture, ARCHITECTURES, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"sae: unknown architecture {self.architecture!r}; {hint}known: {', '.join(ARCHITECTURES)}"
            )
        for name in ("width", "steps", "batch", "dead_after"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sae: {name}={getattr(self, name)} must be at least 1")
        for name in ("bandwidth", "lr", "grad_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"sae: {name}={getattr(self, name)} must be above 0")
        if self.target_l0 is not None and not self.target_l0 > 0:
            raise ConfigError(f"sae: target_l0={self.target_l0} must be above 0, or null")
        if not 0 < self.initial_density < 1:
            raise ConfigError(f"sae: initial_density={self.initial_density} is not between 0 and 1")
        if not 0 <= self.decay < 1 or not 0 <= self.warmup <= 1:
            raise ConfigError(f"sae: decay={self.decay}, warmup={self.warmup} are not shares")
        if self.architecture in _COUNTED and not 1 <= self.k <= self.width:
            raise ConfigError(
                f"sae: {self.architecture} needs target_l0, its k, between 1 and width={self.width}; "
                f"it is {self.target_l0}"
            )

    @property
    def k(self) -> int:
        """The TopK family's number of active latents per activation."""
        return round(self.target_l0 or 0)
