"""Settings of behavioural cloning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from agents.common.objective import PARTS
from agents.common.runs import read_settings
from basalt.data.embeddings import read_manifest
from basalt.data.episodes import DEFAULT_CACHE_GB
from basalt.data.labels import LabelMode
from basalt.io.errors import ConfigError

MAY_CHANGE = frozenset(
    {
        *("out", "steps", "device", "devices", "progress", "checkpoint_every", "log_every"),
        *("workers", "cache_gb"),
    }
)
"""Settings that do not change what is learned, or only how far."""

PLAY_SETTINGS = ("agent", "checkpoint", "steer", "sae", "along")
"""Settings of ``configs/agent/bc.yaml``: how a checkpoint plays, nothing about how it is trained."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training.

    Attributes:
        out: the run's folder. The same command goes on with a run that was interrupted.
        task: which task's recordings to learn from.
        data: folder of recordings or of embeddings (`basalt embed`), or `sample`. On embeddings only
            the heads are trained.
        steps: optimizer steps.
        rows: sequences side by side in a batch.
        length: frames of a sequence between optimizer steps; memory is carried on, gradients are not.
        lr: Adam's largest step size; warms up linearly, then follows a half cosine to a tenth. At
            1e-3 some runs of the small policy ended at the training frequencies, blind.
        warmup: steps of the warm-up.
        weight_decay: of AdamW, on weights of two or more dimensions.
        grad_clip: largest norm of the gradient.
        esc_weight: largest weight of a frame with ESC against one without.
        size: `small`, or a published size `1x`, `2x`, `3x`; of a fresh policy only.
        init: policy to begin with, see `basalt.policies.source.open_policy`; "" = a fresh one, or
            that of the embeddings.
        train: what changes: `all`, `last` (last layer and heads) or `heads`.
        kl: weight of the divergence from `init`.
        held_out: share of places (task and seed) kept for testing.
        mirror: show half of the episodes mirrored, actions included, which doubles small data.
        drop_null: leave out frames without any action.
        labels: Labelling rules: `corrected`, or `legacy` as the published loaders made them.
        cache_gb: see `load_episodes`.
        workers: processes that decode; 0 = decode between the steps.
        devices: GPUs, or processes on a CPU, that share the rows.
        seed: of the weights, the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: steps between checkpoints; there is always one at the end.
        log_every: steps between rows of metrics.
        progress: show a progress bar where the terminal allows.
    """

    out: str
    task: str = "find_cave"
    data: str = "sample"
    steps: int = 120
    rows: int = 8
    length: int = 16
    lr: float = 3e-4
    warmup: int = 20
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    esc_weight: float = 50.0
    size: str = "small"
    init: str = ""
    train: str = "all"
    kl: float = 0.0
    held_out: float = 0.3
    mirror: bool = True
    drop_null: bool = False
    labels: str = "corrected"
    cache_gb: float = DEFAULT_CACHE_GB
    workers: int = 0
    devices: int = 1
    seed: int = 0
    device: str = "auto"
    checkpoint_every: int = 100
    log_every: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "rows", "length", "checkpoint_every", "log_every", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} must be at least 1")
        for name in ("lr", "grad_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} must be above 0")
        if self.esc_weight < 1:
            raise ConfigError(f"esc_weight: {self.esc_weight} must be at least 1")
        for name, known in (("train", tuple(PARTS)), ("labels", get_args(LabelMode))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")
        if self.kl < 0:
            raise ConfigError(f"kl: {self.kl} must be at least 0")
        if self.rows % self.devices:
            raise ConfigError(f"devices: {self.devices} cannot share {self.rows} rows evenly")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Config from plain settings, e.g. a composed Hydra config.

        Raises:
            ConfigError: an unknown or missing name, or a value of the wrong type.
        """
        values = read_settings(cls, settings, "training")
        if "out" not in values:
            raise ConfigError("training: give a folder for the run, out=FOLDER")
        return cls(**values)


def settled(cfg: TrainConfig, embedded: bool) -> TrainConfig:
    """The settings with what follows from them filled in.

    Raises:
        ConfigError: settings that do not go together.
    """
    if embedded:
        if cfg.train not in ("all", "heads"):
            raise ConfigError(
                f"train: on embeddings only heads can be trained, not {cfg.train!r}; give train=heads, "
                "or data of recordings"
            )
        origin = cfg.init or read_manifest(Path(cfg.data)).policy
        # Latents have no left and right.
        return replace(cfg, train="heads", init=origin, mirror=False)
    if not cfg.init and (cfg.train != "all" or cfg.kl):
        raise ConfigError(
            f"init: train={cfg.train} and kl={cfg.kl:g} need a policy to begin with, "
            "e.g. init=foundation-1x"
        )
    return cfg
