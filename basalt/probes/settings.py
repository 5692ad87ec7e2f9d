"""Settings of the built-in probes, each default written once. Imports no torch."""

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from basalt.io.errors import ConfigError
from basalt.probes.sae.config import ARCHITECTURES, SAEConfig

SMOKE = SAEConfig(width=256, target_l0=12.0, steps=500, batch=256)
"""Settings of the smoke test's autoencoders."""


@dataclass(frozen=True)
class HookPointsConfig:
    """Settings of `basalt probe sites`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        device: Device of the policy.
    """

    checkpoint: str
    device: str = "auto"


@dataclass(frozen=True)
class SmokeTestConfig:
    """Settings of `basalt probe sae`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: Folder for the report and the two autoencoders; None writes nothing.
        site: Name of the hook point.
        pool: Number of activations in a shuffled pool to stream from; 0 holds all in memory.
        device: Device of the policies; the autoencoders are trained on the CPU.
        sae: Settings of both autoencoders.
    """

    checkpoint: str
    data: str
    out: str | None = None
    site: str = "lastlayer"
    pool: int = 0
    device: str = "auto"
    sae: SAEConfig = SMOKE


@dataclass(frozen=True)
class SuiteConfig:
    """Settings of `basalt probe scope`: what to train, and on how much data to measure.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: Folder of the suite.
        sites: Names of the hook points; empty takes all but `resid_mid`.
        architectures: Names in `basalt.probes.sae.config.ARCHITECTURES`; empty takes all.
        widths: Numbers of latents.
        l0: Wanted numbers of active latents per frame.
        steps: Optimizer steps of each training.
        batch: Activations per step.
        lr: Step size of each training.
        seed: Seed of weights and orders.
        device: Device of the policy.
        dtype: Type of the stored activations, `float16` or `bfloat16`.
        eval_frames: Number of held-out frames for patching, rounded up to whole episodes.
        concept_frames: Number of frames of each split on which concepts are measured.
        effect_frames: Number of held-out frames for effects on the logits.

    Raises:
        ConfigError: a value outside its range.
    """

    checkpoint: str
    data: str
    out: str = "runs/scope"
    sites: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    widths: tuple[int, ...] = (512,)
    l0: tuple[float, ...] = (8.0, 24.0)
    steps: int = 1000
    batch: int = 512
    lr: float = 3e-3
    seed: int = 0
    device: str = "auto"
    dtype: str = "float16"
    eval_frames: int = 8192
    concept_frames: int = 16_384
    effect_frames: int = 1024

    def __post_init__(self) -> None:
        for name in ("sites", "architectures", "widths", "l0"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("widths", "l0"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise ConfigError(
                    f"{name}: expected at least one number, all above 0, got {list(values)}"
                )
        for name in ("eval_frames", "concept_frames", "effect_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}")
        self.trainings()  # checks the settings of each

    def trainings(self) -> list[SAEConfig]:
        """Settings of every autoencoder, ordered by width, L0 and architecture."""
        return [
            SAEConfig(
                architecture=architecture,
                width=int(width),
                target_l0=float(l0),
                bandwidth=0.3 / math.sqrt(l0),
                steps=self.steps,
                batch=self.batch,
                lr=self.lr,
                seed=self.seed,
            )
            for width, l0, architecture in product(
                self.widths, self.l0, self.architectures or tuple(ARCHITECTURES)
            )
        ]


@dataclass(frozen=True)
class LatentConfig:
    """Settings of `basalt probe latent`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        steer: [hook point, latent, value], or a fourth entry: `clamp` (default), `scale` or `add`.
        sae: Folder of the autoencoder, `SUITE/saes/HOOK_POINT/NAME`.
        episodes: Largest number of held-out episodes.
        out: JSON file for the report; None writes nothing.
        device: Device of the policy.
    """

    checkpoint: str
    data: str
    steer: list[Any] = field(default_factory=list)
    sae: str | None = None
    episodes: int = 16
    out: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class SteeredConfig:
    """Settings of `basalt probe steered`.

    Attributes:
        plain: Folder of the rollout without steering.
        steered: Folder of the steered rollout.
        out: JSON file for the report; None writes nothing.
    """

    plain: str
    steered: str
    out: str | None = None
