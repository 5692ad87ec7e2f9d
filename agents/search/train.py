"""Make the index of search-based imitation from embedded demonstrations."""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.common.identity import training_seed_of
from agents.search.config import SearchConfig
from agents.search.index import Demonstration, build_index
from basalt.core.tasks import get_task
from basalt.data.embeddings import load_embedded, read_manifest
from basalt.data.episodes import Episode
from basalt.io.claims import claim
from basalt.io.locks import sole_writer

INDEX = "index"
"""Folder of the index in a run."""

KEPT_FACTS = ("policy", "fingerprint", "labels")
"""What the index keeps of the embeddings' manifest."""


@dataclass(frozen=True)
class SearchResult:
    """What an index was made of.

    Attributes:
        run: Folder of the run.
        episodes: Number of demonstrations.
        frames: Number of frames.
        seconds: Wall time in seconds.
        interrupted: Always False: an index is made as a whole.
    """

    run: Path
    episodes: int
    frames: int
    seconds: float
    interrupted: bool = False

    def lines(self) -> list[str]:
        """The result in lines of text."""
        return [
            f"index of {self.frames:,} frames of {self.episodes} episodes in {self.seconds:.0f} s: {self.run}"
        ]


def train(cfg: SearchConfig) -> SearchResult:
    """Make the index; the `seed` of its run is that of the policy that embedded the demonstrations.

    Raises:
        BasaltError: There are no embeddings of this task, or the folder of the run cannot be used.
    """
    began = time.monotonic()
    run, task = Path(cfg.out), get_task(cfg.task)
    manifest = read_manifest(Path(cfg.data))
    # What differs between indices of the same demonstrations is the policy that embedded them.
    seed = training_seed_of(Path(manifest.policy))
    found = load_embedded(cfg.data, task=task)
    with sole_writer(run, "training run"):
        claim(
            run / "config.json",
            "training run",
            {"agent": "search", **asdict(cfg), "seed": seed},
            may_change=("out",),
        )
        facts = {name: getattr(manifest, name) for name in KEPT_FACTS} | {"task": task.name}
        episodes = [
            Demonstration(partial(_latents, one), manifest.width, one.buttons, one.camera)
            for one in found
        ]
        index = build_index(run / INDEX, episodes, components=cfg.components, facts=facts)
    return SearchResult(run, len(found), len(index), time.monotonic() - began)


def _latents(episode: Episode) -> NDArray[Any]:
    """Latents of an episode's frames, float [n, width]."""
    values = np.empty((len(episode.kept), *episode.source.shape), episode.source.dtype)
    reader = episode.source.open()
    try:
        reader.read_into(values, episode.kept)
    finally:
        reader.close()
    return values
