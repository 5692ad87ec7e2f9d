"""Training data of behavioural cloning: episodes of recordings or embeddings, split by (task, seed)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.bc.config import TrainConfig
from basalt.core.tasks import get_task
from basalt.core.video import FrameSize
from basalt.data.catalogue import find_manifest, is_catalogue, load_catalogued
from basalt.data.copies import require_room
from basalt.data.embeddings import load_embedded
from basalt.data.episodes import Episode, load_episodes, split_episodes
from basalt.io.errors import ConfigError


@dataclass(frozen=True)
class TrainingData:
    """Episodes of a training run.

    Attributes:
        training: Episodes to learn from.
        held_out: Episodes to test on; none shows the world (task and seed) of a training episode.
        embedded_by: SHA-256 of the policy that made the embeddings; "" for recordings.
    """

    training: list[Episode]
    held_out: list[Episode]
    embedded_by: str

    @classmethod
    def load(cls, cfg: TrainConfig, frame_size: FrameSize) -> "TrainingData":
        """Load the episodes that the settings name.

        Args:
            cfg: Settings of the training run.
            frame_size: Size to which frames are scaled.

        Raises:
            BasaltError: There are no such recordings, or the embeddings have other labels.
        """
        task = get_task(cfg.task)
        episodes: Sequence[Episode] = ()
        if (made := find_manifest(cfg.data)) is not None:
            if made.labels != cfg.labels:
                raise ConfigError(
                    f"labels: expected {made.labels}, the labels of the embeddings in {cfg.data}, got "
                    f"{cfg.labels}; give labels={made.labels}, or embed with labels={cfg.labels}"
                )
            if not is_catalogue(cfg.data):
                episodes = load_embedded(cfg.data, task=task, drop_null=cfg.drop_null)
            embedded_by = made.fingerprint
        else:
            folders = cfg.rollouts if is_catalogue(cfg.data) else (cfg.data, *cfg.rollouts)
            if folders:
                episodes = load_episodes(
                    folders,
                    task=task,
                    size=frame_size,
                    drop_null=cfg.drop_null,
                    labels=cfg.labels,
                    cache_gb=cfg.cache_gb,
                    jobs=max(cfg.workers, 1),
                )
            embedded_by = ""
        if is_catalogue(cfg.data):
            listed = load_catalogued(
                cfg.data,
                embedded=made is not None,
                task=task,
                size=frame_size,
                drop_null=cfg.drop_null,
                labels=cfg.labels,
                cache_gb=cfg.cache_gb,
            )
            episodes = [*listed, *episodes]
        if cfg.segment:
            require_room(episodes, cfg.shuffle_plays or len(episodes))
        return cls(*split_episodes(episodes, cfg.held_out, cfg.seed), embedded_by)

    def facts(self, cfg: TrainConfig) -> dict[str, Any]:
        """Metadata of the training run, kept in its checkpoints."""
        return {
            "agent": "bc",
            "task": cfg.task,
            "data": cfg.data,
            "drop_null": cfg.drop_null,
            "labels": cfg.labels,
            "train_places": sorted({e.split_group for e in self.training}),
            "held_out_places": sorted({e.split_group for e in self.held_out}),
        }
