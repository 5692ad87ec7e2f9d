"""Activations over recordings on disk: written in one pass, read in any order.

    STORE/store.json                   what it holds (`records.StoreSettings`)
    STORE/shard-00000/HOOK_POINT.npy   float16 or bfloat16 bits [rows, width], divided by the unit
    STORE/shard-00000/frames.npy       int32 [rows, 2]: episode, frame
    STORE/shard-00000/shard.json       sums of the shard

A shard holds whole episodes of one split, run from their first frame with an empty memory. Shards are
therefore independent, and an interrupted pass resumes at the first one that is missing.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.data.episodes import Episode
from basalt.io.atomic import replacing_folder, write_array, write_json
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import Activations, collect
from basalt.probes.hooks.points import hook_point
from basalt.probes.records import Shard, StoredEpisode, StoreSettings

SETTINGS = "store.json"
DTYPES = ("float16", "bfloat16")
BLOCK = 64
"""Number of neighbouring rows that are read together; a shuffled bucket is made of scattered blocks."""


class Rows(NamedTuple):
    """Where rows of activations come from: index in the store's `episodes` and frame, int64 [n] each."""

    episode: NDArray[np.int64]
    frame: NDArray[np.int64]


def evenly_spaced(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` row numbers below n, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def write_store(
    folder: Path,
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    splits: Sequence[str],
    names: Sequence[str],
    *,
    checkpoint: str,
    dtype: str = "float16",
    shard_frames: int = 16_384,
    batch_size: int = 8,
    seq_len: int = 64,
) -> "ActivationStore":
    """Run the policy once over episodes and keep its activations; resumes an interrupted pass.

    Args:
        folder: Folder of the store.
        policy: Policy in evaluation mode.
        episodes: Episodes to run over.
        splits: Split of each episode, `training` or `held_out`.
        names: Names of the hook points.
        checkpoint: Fingerprint of the policy's weights, `basalt.probes.subject.Subject.fingerprint`.
        dtype: Type of the stored bits, both of two bytes: float16 is finer, bfloat16 has a wider range.
        shard_frames: Approximate number of frames per shard.
        batch_size: Number of episodes per call.
        seq_len: Number of frames per call.

    Raises:
        ConfigError: unknown hook point or dtype, no episodes, activations that are not finite, or the
            folder holds other activations.
        BusyError: another process is writing there.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    if not episodes:
        raise ConfigError("store: expected at least one episode to run the policy over, got none")
    for name in names:
        hook_point(policy, name)
    order = sorted(range(len(episodes)), key=lambda i: splits[i] != "training")
    episodes, splits = [episodes[i] for i in order], [splits[i] for i in order]
    wanted = StoreSettings(
        checkpoint=checkpoint,
        dtype=dtype,
        hook_points=tuple(names),
        episodes=tuple(_stored(e, s) for e, s in zip(episodes, splits, strict=True)),
        shards=_plan(episodes, splits, shard_frames),
    )
    file = folder / SETTINGS
    with sole_writer(folder, "activation store"):
        settings = wanted.claim(file, "activation store", apart=("units",))
        total = sum(map(len, episodes))
        with progress_bar(total=total, title="activations", unit="frame") as bar:
            for number, shard in enumerate(settings.shards):
                part, mine = folder / _name(number), episodes[shard.first : shard.last]
                if not (part / "shard.json").is_file():
                    found = collect(policy, mine, names, batch_size=batch_size, seq_len=seq_len)
                    columns = {name: x.numpy() for name, x in found.values.items()}
                    _check_finite(columns, mine, found)
                    if not settings.units:
                        units = {
                            name: float(np.sqrt(np.square(x, dtype=np.float64).mean())) or 1.0
                            for name, x in columns.items()
                        }
                        settings = settings.model_copy(update={"units": units})
                        settings.write(file)
                    index = np.stack([found.episode + shard.first, found.frame], 1)
                    _write_shard(part, columns, index.astype(np.int32), settings.units, dtype)
                bar.update(sum(map(len, mine)))
    return ActivationStore(folder)


def _stored(episode: Episode, split: str) -> StoredEpisode:
    return StoredEpisode(
        name=episode.name,
        recordings=tuple(str(part.stem.resolve()) for part in episode.recordings),
        split_group=episode.split_group,
        split=split,
        frames=len(episode),
    )


def _plan(
    episodes: Sequence[Episode], splits: Sequence[str], shard_frames: int
) -> tuple[Shard, ...]:
    """Ranges of episodes, each of one split and about `shard_frames` long."""
    starts: list[int] = []
    frames = 0
    for i, episode in enumerate(episodes):
        if not starts or frames >= shard_frames or splits[i] != splits[i - 1]:
            starts.append(i)
            frames = 0
        frames += len(episode)
    return tuple(Shard(first=a, last=b) for a, b in pairwise([*starts, len(episodes)]))


def _check_finite(
    columns: dict[str, NDArray[np.float32]], episodes: Sequence[Episode], rows: Activations
) -> None:
    for name, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if len(bad):
            raise ConfigError(
                f"hook point {name}: the activation is NaN or infinite at frame {rows.frame[bad[0]]} of "
                f"{episodes[rows.episode[bad[0]]].name}; the weights are damaged, train the policy again"
            )


def _write_shard(
    part: Path,
    columns: dict[str, NDArray[np.float32]],
    index: NDArray[np.int32],
    units: dict[str, float],
    dtype: str,
) -> None:
    sums: dict[str, Any] = {"rows": len(index), "sum": {}, "square": {}}
    with replacing_folder(part) as partial:
        for name, values in columns.items():
            scaled = torch.from_numpy(values / units[name])
            if dtype == "float16":
                bits = scaled.half().numpy()
                if not np.isfinite(bits).all():
                    raise ConfigError(
                        f"hook point {name}: activations exceed float16; set dtype=bfloat16"
                    )
            else:
                bits = scaled.bfloat16().view(torch.int16).numpy()
            write_array(partial / f"{name}.npy", bits)
            sums["sum"][name] = values.sum(0, dtype=np.float64).tolist()
            sums["square"][name] = float(np.square(values, dtype=np.float64).sum())
        write_array(partial / "frames.npy", index)
        write_json(partial / "shard.json", sums)


def _name(number: int) -> str:
    return f"shard-{number:05d}"


class ActivationStore:
    """A complete store, read through memory maps.

    Attributes:
        folder: Folder of the store.
        hook_points: Names of the hook points.
        episodes: Episodes in the order that `Rows.episode` counts.
        checkpoint: Fingerprint of the policy's weights.

    Raises:
        ConfigError: the folder is not a store, or not a complete one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings = settings = StoreSettings.read(folder / SETTINGS)
        self.checkpoint, self.hook_points = settings.checkpoint, settings.hook_points
        self.episodes = settings.episodes
        self._shards: list[dict[str, Any]] = []
        for number, shard in enumerate(settings.shards):
            file = folder / _name(number) / "shard.json"
            if not file.is_file():
                raise ConfigError(
                    f"{folder}: the store is not complete; run the command that writes it again to resume it"
                )
            split = self.episodes[shard.first].split
            self._shards.append(json.loads(file.read_text(encoding="utf-8")) | {"split": split})
        self._maps: dict[tuple[int, str], NDArray[Any]] = {}

    def count(self, split: str) -> int:
        """Number of rows of a split."""
        return sum(s["rows"] for s in self._shards if s["split"] == split)

    def scale(self, name: str) -> float:
        """Root mean square length of the training activations at a hook point."""
        square = sum(
            s["square"][self._known(name)] for s in self._shards if s["split"] == "training"
        )
        return float(np.sqrt(square / max(self.count("training"), 1))) or 1.0

    def mean(self, name: str) -> Tensor:
        """Mean training activation at a hook point, float32 [width]."""
        sums = [s["sum"][self._known(name)] for s in self._shards if s["split"] == "training"]
        return torch.tensor(np.sum(sums, axis=0) / max(self.count("training"), 1)).float()

    def rows(self, split: str) -> Rows:
        """Where each row of a split comes from, in the order of `read`."""
        parts = [
            np.load(self.folder / _name(i) / "frames.npy", mmap_mode="r")
            for i, s in enumerate(self._shards)
            if s["split"] == split
        ]
        index = np.concatenate(parts).astype(np.int64) if parts else np.zeros((0, 2), np.int64)
        return Rows(index[:, 0], index[:, 1])

    def read(self, name: str, split: str, rows: NDArray[np.integer] | None = None) -> Tensor:
        """Raw activations float32 [n, width] of some rows of a split; all rows by default."""
        wanted = np.arange(self.count(split)) if rows is None else np.asarray(rows)
        out: Tensor | None = None
        start = 0
        for number, shard in enumerate(self._shards):
            if shard["split"] != split:
                continue
            here = (wanted >= start) & (wanted < start + shard["rows"])
            values = self._map(number, name)
            if out is None:
                out = torch.empty(len(wanted), values.shape[1])
            if here.any():
                taken = torch.from_numpy(values[wanted[here] - start])
                if self._settings.dtype == "bfloat16":
                    taken = taken.view(torch.bfloat16)
                out[torch.from_numpy(here)] = taken.float() * self._settings.units[name]
            start += shard["rows"]
        if out is None:
            raise ConfigError(f"{self.folder}: expected {split} episodes, found none")
        return out

    def batches(
        self, name: str, split: str, batch: int, *, seed: int = 0, bucket: int = 262_144
    ) -> Iterator[Tensor]:
        """Endless raw batches [batch, width] in random order, `bucket` rows in memory at a time.

        A bucket is made of short blocks from the whole split, since neighbouring frames are near-copies;
        each pass over the data uses every row once.

        Raises:
            ConfigError: fewer rows than a batch.
        """
        n = self.count(split)
        if n < batch:
            raise ConfigError(
                f"{self.folder}: expected at least {batch} {split} frames for one batch, got {n}; record more"
            )
        rng = np.random.default_rng(seed)
        starts = np.arange(0, n, BLOCK)
        left = self.read(name, split, np.arange(0))
        while True:
            order = rng.permutation(starts)
            per = max(bucket // BLOCK, 1)
            for at in range(0, len(order), per):
                rows = (order[at : at + per, None] + np.arange(BLOCK)).ravel()
                pool = torch.cat([left, self.read(name, split, rows[rows < n])])
                pool = pool[torch.from_numpy(rng.permutation(len(pool)))]
                whole = len(pool) - len(pool) % batch
                yield from pool[:whole].split(batch)
                left = pool[whole:]

    def _known(self, name: str) -> str:
        if name not in self.hook_points:
            raise ConfigError(
                f"{self.folder}: hook point {name!r} is not in this store; it has {', '.join(self.hook_points)}"
            )
        return name

    def _map(self, number: int, name: str) -> NDArray[Any]:
        key = (number, self._known(name))
        if key not in self._maps:
            self._maps[key] = np.load(self.folder / _name(number) / f"{name}.npy", mmap_mode="r")
        return self._maps[key]
