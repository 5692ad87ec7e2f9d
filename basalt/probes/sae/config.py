"""Architectures of sparse autoencoders, and the settings of one training. Imports no torch."""

from typing import Annotated, NamedTuple

from pydantic import Field

from basalt.core.registry import Registry
from basalt.core.settings import Count, Float, Int, Positive, settings
from basalt.io.errors import ConfigError


class Architecture(NamedTuple):
    """One way to train a sparse autoencoder.

    Attributes:
        training: `module:class` of a subclass of `basalt.probes.sae.base.TrainingSAE`.
        fixed_k: Whether `target_l0` is the number of active latents itself, and therefore required.
        resamples: Whether dead latents are re-initialised during the first half of the training.
    """

    training: str
    fixed_k: bool = False
    resamples: bool = False


ARCHITECTURES: Registry[Architecture] = Registry("architecture")
"""By name; add one with `ARCHITECTURES.register("name", Architecture("my_module:MyTraining"))`."""

_HERE = "basalt.probes.sae"
for _name, _entry in {
    "relu": Architecture(f"{_HERE}.relu:ReLUTraining", resamples=True),
    "gated": Architecture(f"{_HERE}.gated:GatedTraining", resamples=True),
    "jumprelu": Architecture(f"{_HERE}.jumprelu:JumpReLUTraining"),
    "topk": Architecture(f"{_HERE}.topk:TopKTraining", fixed_k=True),
    "batchtopk": Architecture(f"{_HERE}.batchtopk:BatchTopKTraining", fixed_k=True),
    "matryoshka": Architecture(f"{_HERE}.matryoshka:MatryoshkaTraining", fixed_k=True),
}.items():
    ARCHITECTURES.register(_name, _entry)


@settings
class SAEConfig:
    """Settings of one training; defaults suit a thousand steps, not Gemma Scope's million.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        width: Number of latents M.
        sparsity: Weight lambda of the sparsity term; the TopK family has none.
        target_l0: Wanted mean number of active latents. TopK family: k, required. JumpReLU: the term
            is lambda * (L0 / target_l0 - 1)^2 on the batch's mean L0, instead of lambda * L0. ReLU and
            Gated: lambda starts at `sparsity` and is adjusted from step to step to reach it.
        bandwidth: Width of JumpReLU's straight-through kernel, in units of the scaled activation.
            Gemma Scope's 0.001 needs a million steps; about 0.3 / sqrt(L0) suits a thousand.
        active_only: JumpReLU's L0 term takes its gradient from active latents alone (upper half of the
            kernel) instead of from both sides of the threshold, the paper's form. It recovers more of
            a dictionary at a penalty with a target, and under-penalises without one.
        initial_density: Share of latents that are active at the start (by JumpReLU's threshold, else by
            the bias), or twice `target_l0` if that is more. Biases and thresholds at 0 would activate
            half of the latents: as good at the end, but slower, since all products are then needed.
        aux: Weight of the TopK family's auxiliary loss, in which dead latents explain the error.
        dead_after: Number of activations without firing after which a latent counts as dead.
        resample: Number of moments, evenly spread over the first half of the training, at which ReLU
            and Gated re-initialise their dead latents.
        lr: Adam's step size after the warm-up, which takes a tenth of the steps.
        decay: Share of the steps, at the end, in which the step size falls to zero.
        steps: Optimizer steps.
        batch: Activations per step.
        warmup: Share of the steps in which lambda rises from 0.
        grad_clip: Largest norm of the gradient. Without it the first steps, in which half of the
            latents fire, remain in Adam's moments for a thousand steps.
        seed: Seed of the weights and of the order of activations.

    Raises:
        ConfigError: an unknown architecture, or a value outside its range.
    """

    architecture: str = "jumprelu"
    width: Count = 256
    sparsity: Float = 0.3
    target_l0: Positive | None = None
    bandwidth: Positive = 0.1
    active_only: bool = False
    initial_density: Annotated[Float, Field(gt=0, lt=1)] = 0.05
    aux: Float = 1 / 32
    dead_after: Count = 20_000
    resample: Int = 2
    lr: Positive = 3e-3
    decay: Annotated[Float, Field(ge=0, lt=1)] = 0.2
    steps: Count = 1000
    batch: Count = 512
    warmup: Annotated[Float, Field(ge=0, le=1)] = 0.2
    grad_clip: Positive = 1.0
    seed: Int = 0

    def __post_init__(self) -> None:
        fixed_k = ARCHITECTURES.get(self.architecture).fixed_k
        if fixed_k and not 1 <= self.k <= self.width:
            raise ConfigError(
                f"target_l0: expected k of {self.architecture}, between 1 and width={self.width}, got "
                f"{'null' if self.target_l0 is None else self.target_l0}"
            )

    @property
    def k(self) -> int:
        """The TopK family's number of active latents per activation."""
        return round(self.target_l0 or 0)
