"""Activations of all asked sites over recordings, on disk: written in one pass, read in any order.

    STORE/store.json                 what it holds: checkpoint, sites, splits, shards
    STORE/shard-00000/SITE.npy       float16 or bfloat16 bits [rows, width], divided by the site's unit
    STORE/shard-00000/frames.npy     int32 [rows, 2]: episode, frame of its play
    STORE/shard-00000/shard.json     sums of the shard; written last, so a shard is whole or not there

A shard holds whole episodes of one split, run from their first frame with an empty memory, so shards
do not depend on one another and an interrupted pass goes on at the first that is missing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from basalt.data.dataset import Episode, single_pass
from basalt.io.atomic import write_array, write_json
from basalt.io.errors import ConfigError
from basalt.io.locks import sole_writer
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import recorded, site_module

FORMAT, VERSION = "basalt-activations", 1
DTYPES = ("float16", "bfloat16")
BLOCK = 64
"""Neighbouring rows that are read together; a shuffled bucket is made of blocks from all over."""


@dataclass(frozen=True)
class StoredEpisode:
    """An episode of a store.

    Attributes:
        name: of its play.
        recordings: paths of its recordings without suffix, in order.
        place: `basalt.data.episodes.Episode.place`.
        split: `training` or `held_out`.
        frames: used frames.
    """

    name: str
    recordings: tuple[str, ...]
    place: str
    split: str
    frames: int


class Rows(NamedTuple):
    """Where rows of activations come from: int64 [n] positions in `episodes`, and frames."""

    episode: NDArray[np.int64]
    frame: NDArray[np.int64]


def spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many row numbers, evenly over n."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def write_store(
    folder: Path,
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    splits: Sequence[str],
    sites: Sequence[str],
    *,
    checkpoint: str,
    dtype: str = "float16",
    shard_frames: int = 16_384,
    rows: int = 8,
    length: int = 64,
    progress: bool = True,
) -> ActivationStore:
    """Run the policy once over episodes and keep the sites' activations; goes on with what is there.

    Args:
        folder: of the store.
        policy: in evaluation mode.
        episodes: which to run over.
        splits: of each episode, `training` or `held_out`.
        sites: of `policy.sites()`.
        checkpoint: fingerprint of the policy's weights, `basalt.probes.subject.Subject.fingerprint`.
        dtype: of the files; both take two bytes. float16 is finer, bfloat16 wider.
        shard_frames: about so many frames a shard.
        rows: episodes side by side.
        length: frames of a call.
        progress: show a bar where the terminal allows.

    Raises:
        ConfigError: no such site, no episodes, activations that are not finite, another process
            writes there, or the folder holds other activations.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"store: dtype {dtype!r} is unknown; known: {', '.join(DTYPES)}")
    if not episodes:
        raise ConfigError("store: no episodes to run the policy over")
    for site in sites:
        site_module(policy, site)
    order = sorted(range(len(episodes)), key=lambda i: splits[i] != "training")
    episodes, splits = [episodes[i] for i in order], [splits[i] for i in order]
    wanted: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "checkpoint": checkpoint,
        "dtype": dtype,
        "sites": list(sites),
        "episodes": [asdict(_stored(e, s)) for e, s in zip(episodes, splits, strict=True)],
        "shards": _plan(episodes, splits, shard_frames),
    }
    # As JSON reads it back: tuples are lists there.
    wanted = json.loads(json.dumps(wanted))
    with sole_writer(folder, "activation store"):
        facts = _claim(folder, wanted)
        bar = tqdm(
            total=sum(map(len, episodes)), desc="activations", unit="frame",
            disable=None if progress else True,
        )  # fmt: skip
        with bar:
            for number, shard in enumerate(facts["shards"]):
                part = folder / _name(number)
                if not (part / "shard.json").is_file():
                    mine = list(range(shard["first"], shard["last"]))
                    columns, index = _run(policy, episodes, mine, sites, rows, length)
                    if "units" not in facts:
                        facts["units"] = {
                            s: float(np.sqrt(np.square(x, dtype=np.float64).mean())) or 1.0
                            for s, x in columns.items()
                        }
                        write_json(folder / "store.json", facts)
                    _write_shard(part, columns, index, facts["units"], dtype)
                bar.update(sum(len(episodes[i]) for i in range(shard["first"], shard["last"])))
    return ActivationStore(folder)


def _stored(episode: Episode, split: str) -> StoredEpisode:
    recordings = tuple(str(part.stem.resolve()) for part in episode.play.parts)
    return StoredEpisode(episode.name, recordings, episode.place, split, len(episode))


def _plan(
    episodes: Sequence[Episode], splits: Sequence[str], shard_frames: int
) -> list[dict[str, int]]:
    """Ranges of episodes, each of one split and about `shard_frames` long."""
    shards: list[dict[str, int]] = []
    frames = shard_frames
    for i, episode in enumerate(episodes):
        if frames >= shard_frames or splits[i] != splits[i - 1]:
            shards.append({"first": i, "last": i})
            frames = 0
        shards[-1]["last"] = i + 1
        frames += len(episode)
    return shards


def _claim(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The facts of the store that is there, or of a new one."""
    file = folder / "store.json"
    if not file.is_file():
        write_json(file, wanted)
        return wanted
    found = _read_facts(folder)
    for key, value in wanted.items():
        if found.get(key) != value:
            what = "" if isinstance(value, list) else f" ({found.get(key)!r}, not {value!r})"
            raise ConfigError(
                f"{file}: holds activations with other {key}{what}; give another folder, or remove it"
            )
    return found


def _run(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    mine: Sequence[int],
    sites: Sequence[str],
    rows: int,
    length: int,
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int32]]:
    """Activations [n, width] of each site over some episodes, and episode and frame [n, 2] of each row."""
    chosen = [episodes[i] for i in mine]
    rows = min(rows, len(chosen))
    state = policy.initial_state(rows)
    parts: dict[str, list[NDArray[np.float32]]] = {site: [] for site in sites}
    index: list[NDArray[np.int64]] = []
    with torch.no_grad(), recorded(policy, sites) as seen:
        for batch in single_pass(chosen, rows, length):
            img = torch.from_numpy(batch.img).to(policy.device)
            first = torch.from_numpy(batch.first).to(policy.device)
            _, state = policy.net.recur(policy.net.encode(img), first, state)
            index.append(np.stack([batch.episode[batch.valid], batch.frame[batch.valid]], 1))
            for site in sites:
                values = seen[site].float().cpu().numpy()[batch.valid]
                bad = ~np.isfinite(values).all(1)
                if bad.any():
                    episode, frame = index[-1][np.flatnonzero(bad)[0]]
                    raise ConfigError(
                        f"site {site}: the activation is not finite at frame {frame} of "
                        f"{chosen[episode].name}; the policy is damaged, train it again"
                    )
                parts[site].append(values)
    where = np.concatenate(index)
    where[:, 0] = np.asarray(mine)[where[:, 0]]
    order = np.lexsort((where[:, 1], where[:, 0]))
    return (
        {site: np.concatenate(values)[order] for site, values in parts.items()},
        where[order].astype(np.int32),
    )


def _write_shard(
    part: Path,
    columns: dict[str, NDArray[np.float32]],
    index: NDArray[np.int32],
    units: dict[str, float],
    dtype: str,
) -> None:
    partial = part.with_name(f".{part.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of one that was killed; nobody else writes here
    partial.mkdir()
    sums: dict[str, Any] = {"rows": len(index), "sum": {}, "square": {}}
    try:
        for site, values in columns.items():
            scaled = torch.from_numpy(values / units[site])
            if dtype == "float16":
                bits = scaled.half().numpy()
                if not np.isfinite(bits).all():
                    raise ConfigError(f"site {site}: too large for float16; set dtype=bfloat16")
            else:
                bits = scaled.bfloat16().view(torch.int16).numpy()
            write_array(partial / f"{site}.npy", bits)
            sums["sum"][site] = values.sum(0, dtype=np.float64).tolist()
            sums["square"][site] = float(np.square(values, dtype=np.float64).sum())
        write_array(partial / "frames.npy", index)
        write_json(partial / "shard.json", sums)
        shutil.rmtree(part, ignore_errors=True)
        partial.replace(part)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _name(number: int) -> str:
    return f"shard-{number:05d}"


def _read_facts(folder: Path) -> dict[str, Any]:
    file = folder / "store.json"
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{file}: not an activation store ({err})") from err
    if (facts.get("format"), facts.get("version")) != (FORMAT, VERSION):
        raise ConfigError(f"{file}: not an activation store of version {VERSION}")
    return facts


class ActivationStore:
    """A whole store, read through memory maps.

    Attributes:
        folder: where it lies.
        sites: whose activations it holds.
        episodes: in the order that `Rows.episode` counts.
        checkpoint: fingerprint of the policy's weights.

    Raises:
        ConfigError: no store there, or one that is not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = _read_facts(folder)
        self.checkpoint: str = facts["checkpoint"]
        self.sites: list[str] = facts["sites"]
        self.episodes = [
            StoredEpisode(**e | {"recordings": tuple(e["recordings"])}) for e in facts["episodes"]
        ]
        self._units: dict[str, float] = facts.get("units", {})
        self._dtype: str = facts["dtype"]
        self._shards: list[dict[str, Any]] = []
        for number, shard in enumerate(facts["shards"]):
            file = folder / _name(number) / "shard.json"
            if not file.is_file():
                raise ConfigError(f"{folder}: not whole; the command that writes it goes on")
            split = self.episodes[shard["first"]].split
            self._shards.append(json.loads(file.read_text(encoding="utf-8")) | {"split": split})
        self._maps: dict[tuple[int, str], NDArray] = {}

    def count(self, split: str) -> int:
        """Rows of a split."""
        return sum(s["rows"] for s in self._shards if s["split"] == split)

    def scale(self, site: str) -> float:
        """Root mean square length of the site's training activations."""
        square = sum(
            s["square"][self._known(site)] for s in self._shards if s["split"] == "training"
        )
        return float(np.sqrt(square / max(self.count("training"), 1))) or 1.0

    def mean(self, site: str) -> Tensor:
        """The site's mean training activation, float32 [width]."""
        sums = [s["sum"][self._known(site)] for s in self._shards if s["split"] == "training"]
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

    def read(self, site: str, split: str, rows: NDArray[np.integer] | None = None) -> Tensor:
        """Raw activations float32 [n, width] of some rows of a split, all by default."""
        wanted = np.arange(self.count(split)) if rows is None else np.asarray(rows)
        out: Tensor | None = None
        start = 0
        for number, shard in enumerate(self._shards):
            if shard["split"] != split:
                continue
            here = (wanted >= start) & (wanted < start + shard["rows"])
            values = self._map(number, site)
            if out is None:
                out = torch.empty(len(wanted), values.shape[1])
            if here.any():
                taken = torch.from_numpy(values[wanted[here] - start])
                if self._dtype == "bfloat16":
                    taken = taken.view(torch.bfloat16)
                out[torch.from_numpy(here)] = taken.float() * self._units[site]
            start += shard["rows"]
        if out is None:
            raise ConfigError(f"{self.folder}: holds no {split} episodes")
        return out

    def batches(
        self, site: str, split: str, batch: int, *, seed: int = 0, bucket: int = 262_144
    ) -> Iterator[Tensor]:
        """Endless raw batches [batch, width] in random order, `bucket` rows in memory at a time.

        A bucket is made of short blocks from all over the split, since neighbouring frames are
        near-copies; each pass over the data takes every row once.

        Raises:
            ConfigError: fewer rows than a batch.
        """
        n = self.count(split)
        if n < batch:
            raise ConfigError(
                f"{self.folder}: {n} {split} frames for batches of {batch}; record more"
            )
        rng = np.random.default_rng(seed)
        starts = np.arange(0, n, BLOCK)
        left = self.read(site, split, np.arange(0))
        while True:
            order = rng.permutation(starts)
            per = max(bucket // BLOCK, 1)
            for at in range(0, len(order), per):
                rows = (order[at : at + per, None] + np.arange(BLOCK)).ravel()
                pool = torch.cat([left, self.read(site, split, rows[rows < n])])
                pool = pool[torch.from_numpy(rng.permutation(len(pool)))]
                whole = len(pool) - len(pool) % batch
                yield from pool[:whole].split(batch)
                left = pool[whole:]

    def _known(self, site: str) -> str:
        if site not in self.sites:
            raise ConfigError(
                f"{self.folder}: holds no site {site!r}; it has {', '.join(self.sites)}"
            )
        return site

    def _map(self, number: int, site: str) -> NDArray:
        key = (number, self._known(site))
        if key not in self._maps:
            self._maps[key] = np.load(self.folder / _name(number) / f"{site}.npy", mmap_mode="r")
        return self._maps[key]
