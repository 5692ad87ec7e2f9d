"""Clone chosen stretches of recordings. The latents are those of whole episodes, so a stretch keeps its memory exactly."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from agents.bc.config import TrainConfig
from agents.bc.data import TrainingData
from agents.bc.train import TrainResult
from agents.bc.train import train as clone
from agents.common.latents import EpisodeLatents
from agents.preferences.config import CloneConfig
from basalt.core.comparisons import Side
from basalt.core.records import Record
from basalt.data.embeddings import open_shard
from basalt.data.episodes import Episode, split_episodes
from basalt.data.sources import EmbeddingSource


class Chosen(Record):
    """What a run imitates: `chosen.json`.

    Attributes:
        agent: Name of the algorithm that chose.
        by: Files of answers or run of a reward model that it chose by.
        clips: Number of stretches.
        frames: Number of their steps.
        digest: SHA-256 of the stretches.
    """

    FORMAT: ClassVar[str] = "basalt-chosen-clips"

    agent: str
    by: tuple[str, ...]
    clips: int
    frames: int
    digest: str


def clone_clips(
    cfg: CloneConfig,
    agent: str,
    by: Sequence[str],
    clips: Sequence[Side],
    episodes: Mapping[str, EpisodeLatents],
    embedded_by: str,
) -> TrainResult:
    """Train the heads of `cfg.init` on clips, or resume the run in `cfg.out`.

    Args:
        cfg: Settings.
        agent: Name of the algorithm.
        by: What it chose the clips by, for the record.
        clips: The clips; one that is named twice is imitated once.
        episodes: Latents by `cfg.init` of the episodes, by the SHA-256 of their videos.
        embedded_by: Fingerprint of `cfg.init`.

    Raises:
        ConfigError: The folder was made for other clips or settings, or there are too few worlds.
    """
    unique = sorted(set(clips), key=lambda side: (side.episode, side.start or 0, side.stop or 0))
    found = [
        part
        for video in dict.fromkeys(side.episode for side in unique)
        for part in _parts(episodes[video], [one for one in unique if one.episode == video])
    ]
    training, held_out = split_episodes(found, cfg.held_out, cfg.seed)
    run = Path(cfg.out)
    Chosen(
        agent=agent,
        by=tuple(by),
        clips=len(found),
        frames=sum(map(len, found)),
        digest=hashlib.sha256("\n".join(map(str, unique)).encode()).hexdigest(),
    ).claim(run / "chosen.json", "training run")
    shared = {
        name: getattr(cfg, name)
        for name in (
            *("out", "task", "init", "steps", "batch_size", "seq_len", "lr", "kl", "held_out", "seed"),
            *("device", "checkpoint_every", "log_every", "progress"),
        )
    }  # fmt: skip
    settings = TrainConfig(
        **shared, data="chosen.json", warmup=min(20, cfg.steps), trainable="heads", mirror=False
    )  # fmt: skip
    return clone(settings, TrainingData(training, held_out, embedded_by))


def _parts(whole: EpisodeLatents, sides: Sequence[Side]) -> list[Episode]:
    """Clips of an episode as episodes of their own, in the latents of the whole one."""
    columns = open_shard(whole.shard).read(("buttons", "camera", "esc"))
    buttons, camera, esc = (value.numpy() for value in columns.values())
    source, found = EmbeddingSource(whole.shard), []
    for side in sides:
        start, stop = side.start or 0, whole.meta.steps if side.stop is None else side.stop
        rows = np.arange(start, stop, dtype=np.int32)
        found.append(
            Episode(
                name=f"{whole.recording.name} {start}..{stop}",
                task=whole.meta.task,
                split_group=f"{whole.meta.task}:{whole.meta.seed}",
                kept=rows,
                buttons=buttons[rows],
                camera=camera[rows],
                esc=esc[rows],
                source=source,
            )
        )
    return found
