"""Latents of whole recordings by a frozen policy, embedded once (`basalt embed`) and kept in the cache."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.published import data_folder
from basalt.core.recording import Recording, RecordingMeta, find_recordings
from basalt.data.sources import EmbeddingSource
from basalt.io.errors import RecordingError
from basalt.io.locks import locked
from basalt.io.paths import cache_dir
from basalt.policies.checkpoint import choose_device
from basalt.policies.embed import EmbedConfig, embed, shard_path
from basalt.policies.source import fingerprint, open_policy


@dataclass(frozen=True, eq=False)
class EpisodeLatents:
    """An episode and what a policy made of it.

    Attributes:
        recording: The recording.
        meta: Its metadata.
        values: Latents at all n steps, float16 [n, width], mapped from disk.
        shard: File of the latents, with the actions at these steps (`basalt.data.embeddings`).
    """

    recording: Recording
    meta: RecordingMeta
    values: NDArray[Any]
    shard: Path


def load_latents(
    folders: Sequence[str],
    trunk: str,
    *,
    wanted: Collection[str] | None = None,
    expected: str | None = None,
    setting: str = "trunk",
    device: str = "auto",
    progress: bool = True,
) -> tuple[dict[str, EpisodeLatents], str]:
    """Latents of the episodes in folders; those that are not in the cache are embedded first.

    Args:
        folders: Folders of recordings, or `sample`.
        trunk: The policy (`basalt.policies.source.open_policy`).
        wanted: SHA-256 of the videos of the episodes that are needed; None for all.
        expected: Fingerprint that the policy must have; None for any.
        setting: Name of the setting that gives the policy, for messages.
        device: Device of the policy.
        progress: Whether to show a progress bar.

    Returns:
        Episodes by the SHA-256 of their videos, and the fingerprint of the policy's weights.

    Raises:
        ConfigError: The policy cannot be used.
        RecordingError: A folder is missing, its recordings are damaged, or an episode has steps without a latent.
    """
    found_trunk = fingerprint(open_policy(trunk, choose_device(device), setting))
    if expected is not None and found_trunk != expected:
        raise RecordingError(
            f"{setting}: {trunk} is no longer the policy whose latents were learned from; restore it, or train "
            "again"
        )
    found: dict[str, EpisodeLatents] = {}
    for folder in folders:
        source = data_folder(folder)
        place = sha256(str(source.resolve()).encode()).hexdigest()[:16]
        out = cache_dir() / "latents" / found_trunk[:16] / place
        recordings = [one for one in find_recordings(source) if _wanted(one, wanted)]
        if not recordings:
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out.with_name(f"{place}.lock")):  # another training may embed the same ones
            embed(
                EmbedConfig(
                    data=str(source), policy=trunk, out=str(out), device=device, progress=progress
                )
            )
        for one in recordings:
            file = shard_path(out, source, one.stem)
            if one.meta is not None and file.is_file():  # none where it is quarantined
                values = EmbeddingSource(file).latents
                _check_steps(one, one.meta, len(values))
                found.setdefault(one.meta.video_sha256, EpisodeLatents(one, one.meta, values, file))
    return found, found_trunk


def spread_steps(start: int, stop: int, limit: int) -> NDArray[np.int64]:
    """Steps of a clip that are read, spread evenly, int64 [at most `limit`].

    Args:
        start: First step.
        stop: Step after the last one.
        limit: Largest number of steps.
    """
    length = stop - start
    count = min(limit, length)
    # The middle of each of `count` equal parts.
    return start + ((2 * np.arange(count) + 1) * length // (2 * count)).astype(np.int64)


def _wanted(recording: Recording, wanted: Collection[str] | None) -> bool:
    meta = recording.meta
    return meta is not None and (wanted is None or meta.video_sha256 in wanted)


def _check_steps(recording: Recording, meta: RecordingMeta, latents: int) -> None:
    if latents != meta.steps:
        raise RecordingError(
            f"recordings: expected a latent for each of the {meta.steps} steps of {recording.stem}, got {latents}: its expert "
            f"({meta.labels}) has no answer for the others; use recordings of rollouts, without labels"
        )
