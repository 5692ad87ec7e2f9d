"""What behavioural cloning learns from: episodes of recordings or of embeddings, split by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.bc.config import TrainConfig
from basalt.core.tasks import get_task
from basalt.core.video import FrameSize
from basalt.data.embeddings import MANIFEST, load_embedded, read_manifest
from basalt.data.episodes import Episode, load_episodes, split_episodes
from basalt.data.labels import label_mode
from basalt.io.errors import ConfigError


@dataclass(frozen=True)
class TrainingData:
    """Episodes of a training, and how they come.

    Attributes:
        training, held_out: episodes.
        embedded_by: SHA-256 of the policy that made the embeddings; "" for pictures.
    """

    training: list[Episode]
    held_out: list[Episode]
    embedded_by: str

    @classmethod
    def load(cls, cfg: TrainConfig, frame_size: FrameSize) -> TrainingData:
        """The episodes that the settings name."""
        task = get_task(cfg.task)
        episodes: Sequence[Episode]
        if (Path(cfg.data) / MANIFEST).is_file():
            made = read_manifest(Path(cfg.data))
            if made.labels != label_mode(cfg.labels):
                raise ConfigError(
                    f"labels: {cfg.data} holds {made.labels}, not {cfg.labels}; give "
                    f"labels={made.labels}, or embed with the others"
                )
            episodes = load_embedded(cfg.data, task=task, drop_null=cfg.drop_null)
            embedded_by = made.fingerprint
        else:
            episodes = load_episodes(
                cfg.data,
                task=task,
                size=frame_size,
                drop_null=cfg.drop_null,
                labels=label_mode(cfg.labels),
                cache_gb=cfg.cache_gb,
                jobs=max(cfg.workers, 1),
            )
            embedded_by = ""
        return cls(*split_episodes(episodes, cfg.held_out, cfg.seed), embedded_by)

    def facts(self, cfg: TrainConfig) -> dict[str, Any]:
        """What a checkpoint says of its training."""
        return {
            "agent": "bc",
            "task": cfg.task,
            "data": cfg.data,
            "drop_null": cfg.drop_null,
            "labels": cfg.labels,
            "train_places": sorted({e.split_group for e in self.training}),
            "held_out_places": sorted({e.split_group for e in self.held_out}),
        }
