"""Recordings with labels and latents, for the heads and for the thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.hybrid.labels import label
from basalt.core.recording import Recording
from basalt.core.tasks import Task
from basalt.core.video import FrameSize
from basalt.data.episodes import DEFAULT_INPUT_SIZE, Episode, load_episodes
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.policies.embed import EmbedConfig, embed_and_open

MIN_FRAMES, MIN_EPISODES = 20, 3
"""Least number of training frames on which a fact holds, and on which it does not, and of episodes in which it holds."""


@dataclass(frozen=True)
class LabelledEpisode:
    """An episode with labels at its n used frames.

    Attributes:
        episode: The episode.
        holds: bool [n, heads].
        known: bool [n, heads].
        latents: Latents [n, hidsize], once they are computed.
    """

    episode: Episode
    holds: NDArray[np.bool_]
    known: NDArray[np.bool_]
    latents: NDArray[np.floating] = field(default_factory=lambda: np.empty((0, 0)))


def load_labelled(
    folders: Sequence[str],
    task: Task,
    heads: Sequence[str],
    setting: str,
    progress: bool,
    size: FrameSize = DEFAULT_INPUT_SIZE,
    cache_gb: float = 0,
) -> list[list[LabelledEpisode]]:
    """The episodes of each folder, labelled.

    Args:
        folders: Folders of recordings.
        task: Their task.
        heads: Names of the labels.
        setting: Name of the setting that gave the folders, for messages.
        progress: Whether to show a progress bar.
        size: Size of the frames.
        cache_gb: Largest size, in gigabytes, of decoded frames to keep on disk.

    Raises:
        BasaltError: A recording has no telemetry, its telemetry does not report a fact, or it was played on an official
            or held-out seed.
    """
    found = [load_episodes(folder, task=task, size=size, cache_gb=cache_gb) for folder in folders]
    with progress_bar(
        total=sum(map(len, found)), title="labels", unit="episode", shown=progress
    ) as bar:

        def labelled(episode: Episode) -> LabelledEpisode:
            bar.update()
            return _label(episode, heads, setting)

        return [[labelled(episode) for episode in each] for each in found]


def _label(episode: Episode, heads: Sequence[str], setting: str) -> LabelledEpisode:
    stems = [one.stem for one in episode.recordings]
    # Opened again, so that its lines leave the memory with it.
    recording = Recording.open(stems[0])
    if len(stems) != 1 or recording.meta is None or not recording.telemetry():
        raise ConfigError(
            f"{setting}: expected recordings with telemetry, got {episode.name}; use those of basalt record or basalt rollout"
        )
    columns = []
    for name in heads:
        found = label(name, recording)
        if found is None:
            raise ConfigError(
                f"{setting}: the telemetry of {episode.name} does not report what the head {name} is trained on; leave "
                "that head out of the machine and of heads="
            )
        columns.append(found)
    holds, known = (
        np.stack([getattr(one, part) for one in columns], axis=1)[episode.kept]
        for part in ("holds", "known")
    )
    return LabelledEpisode(episode, holds, known)


def check_learnable(training: Sequence[LabelledEpisode], heads: Sequence[str]) -> None:
    """Refuse heads that these episodes show too little of.

    Raises:
        ConfigError: A fact holds, or does not hold, on too few frames or in too few episodes.
    """
    short = []
    for number, name in enumerate(heads):
        yes = [int((one.holds & one.known)[:, number].sum()) for one in training]
        no = sum(int((~one.holds & one.known)[:, number].sum()) for one in training)
        if min(sum(yes), no) < MIN_FRAMES or sum(map(bool, yes)) < MIN_EPISODES:
            short.append(f"{name} (on {sum(yes)} of {sum(yes) + no} frames)")
    if short:
        raise ConfigError(
            f"data: expected, for each head, {MIN_FRAMES} training frames of either kind in {MIN_EPISODES} episodes, "
            f"too few for {', '.join(short)}; add rollouts=[FOLDER], or give a machine without these heads"
        )


def with_latents(
    labelled: Sequence[Sequence[LabelledEpisode]], folders: Sequence[str], embedding: EmbedConfig
) -> list[LabelledEpisode]:
    """The episodes with their latents; those that the folder of embeddings does not have yet are computed.

    Args:
        labelled: What `load_labelled` returned.
        folders: Folders of recordings, as `load_labelled` was given them.
        embedding: How latents are computed; its `out` has a folder for each folder of recordings.
    """
    found = []
    for number, (episodes, folder) in enumerate(zip(labelled, folders, strict=True)):
        latents = embed_and_open(
            replace(embedding, data=folder, out=str(Path(embedding.out) / str(number)))
        )
        found += [
            replace(one, latents=values) for one, values in zip(episodes, latents, strict=True)
        ]
    return found
