"""Embeddings of plays by a frozen policy: one safetensors shard a play, with the play's labels.

    OUT/embeddings.json            format, which policy, which labels
    OUT/<path of the play>.safetensors
        latents  float16 or float32 [n, width], the input of the policy's heads at every frame
        buttons  int16 [n], camera int16 [n], esc bool [n], null bool [n]: what the player did

A shard appears under its final name only when it is whole.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from basalt.core.tasks import Task, refuse_official
from basalt.data.episodes import Episode, seed_of
from basalt.data.labels import label_mode
from basalt.data.sources import EmbeddingSource
from basalt.io.atomic import write_json
from basalt.io.errors import ConfigError
from basalt.io.locks import LOCK_FILE, sole_writer
from basalt.io.tensors import write_tensors

MANIFEST = "embeddings.json"
JOBS = ".jobs"
FORMAT, VERSION = "basalt-embeddings", 1

COLUMNS = ("latents", "buttons", "camera", "esc", "null")


@dataclass(frozen=True)
class Manifest:
    """What all shards of a folder have in common.

    Attributes:
        policy: where the policy came from, as it was given.
        fingerprint: SHA-256 of its weights.
        width: of the latents.
        labels: Labelling rules; see `basalt.data.labels.label_mode`.
        dtype: of the latents, ``float16`` or ``float32``.
    """

    policy: str
    fingerprint: str
    width: int
    labels: str
    dtype: str


@dataclass(frozen=True)
class Shard:
    """One play's embeddings.

    Attributes:
        path: the file.
        name, place, task: of the play; see `basalt.data.episodes.Episode`. The task may be unknown.
        source: state of the recordings it was made from.
        frames: n.
    """

    path: Path
    name: str
    place: str
    task: str | None
    source: str
    frames: int

    def __len__(self) -> int:
        return self.frames

    def read(self) -> dict[str, Tensor]:
        """All columns, by name.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in COLUMNS}
        except (OSError, SafetensorError) as err:
            raise _damaged(self.path, err) from err


def load_embedded(
    folder: str | Path, *, task: Task | None = None, drop_null: bool = False
) -> list[Episode]:
    """Episodes of a folder of embeddings, in order of path.

    Args:
        folder: what `basalt embed` made.
        task: keep this task's plays only. Plays that do not say their task are kept.
        drop_null: leave out frames without any action.

    Raises:
        ConfigError: no embeddings there, none of this task, one of a play on an official evaluation
            seed of it, or a damaged shard.
    """
    episodes = []
    for shard in find_shards(folder):
        if task and shard.task not in (None, task.name):
            continue
        if task and (seed := seed_of(shard.place)) is not None:
            refuse_official(task, [seed], f"training on {shard.path}")
        with safe_open(shard.path, framework="np") as file:
            buttons, camera, esc, null = (file.get_tensor(name) for name in COLUMNS[1:])
        kept = np.flatnonzero(~(null & drop_null) | esc).astype(np.int32)
        if len(kept):
            episodes.append(
                Episode(
                    name=shard.name,
                    task=shard.task,
                    split_group=shard.place,
                    kept=kept,
                    buttons=buttons[kept],
                    camera=camera[kept],
                    esc=esc[kept],
                    source=EmbeddingSource(shard.path),
                )
            )
    if not episodes:
        wanted = f" of task {task.name}" if task else ""
        raise ConfigError(f"data: {folder} holds no embedded play{wanted} with an action in it")
    return episodes


def claim_folder(folder: Path, manifest: Manifest) -> None:
    """Make the folder, or check that what is in it was made the same way.

    Raises:
        ConfigError: it holds embeddings of another policy or other labels, or is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MANIFEST).is_file():
        before, now = asdict(read_manifest(folder)), asdict(manifest)
        for key in ("fingerprint", "labels", "dtype"):
            if before[key] != now[key]:
                raise ConfigError(
                    f"{folder / MANIFEST}: these embeddings were made with {key} {before[key]}, not "
                    f"{now[key]}; give another out=FOLDER"
                )
        return
    write_json(folder / MANIFEST, {"format": FORMAT, "version": VERSION, **asdict(manifest)})


def read_manifest(folder: Path) -> Manifest:
    """What all shards of a folder have in common.

    Raises:
        ConfigError: no embeddings there, or not readable.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ConfigError(f"{path}: missing; make embeddings with `basalt embed ... out={folder}`")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content.pop("format"), content.pop("version")) != (FORMAT, VERSION):
            raise ConfigError(f"{path}: not {FORMAT} version {VERSION}; make the embeddings again")
        content["labels"] = label_mode(content["labels"])
        return Manifest(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ConfigError(f"{path}: damaged ({err}); make the embeddings again") from err


@contextmanager
def claim_job(folder: Path, shard: int, shards: int) -> Iterator[Path]:
    """Refuse a second writer of the same share of the plays; what a killed one left is removed.

    Yields:
        The folder in which this job's shards lie until they are whole.

    Raises:
        ConfigError: another process is at it.
    """
    staging = folder / JOBS / f"{shard}-of-{shards}"
    with sole_writer(staging, "embedding"):
        for leftover in staging.iterdir():
            if leftover.name != LOCK_FILE:
                leftover.unlink()
        yield staging


def write_shard(
    path: Path, columns: Mapping[str, Tensor], facts: Mapping[str, Any], staging: Path
) -> None:
    """Write one play's shard as a whole.

    Args:
        path: final name.
        columns: :data:`COLUMNS`, n rows each.
        facts: JSON-ready ``name``, ``place``, ``task``, ``source``.
        staging: of `claim_job`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = staging / f"{path.name}.partial"
    try:
        write_tensors(partial, columns, {"basalt": json.dumps(dict(facts))})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def open_shard(path: Path) -> Shard:
    """What a shard says of itself, without reading its tensors.

    Raises:
        ConfigError: damaged, or no shard of embeddings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["basalt"])
            shapes = {name: file.get_slice(name).get_shape() for name in COLUMNS}
        frames = {shape[0] for shape in shapes.values()}
        if len(frames) != 1 or len(shapes["latents"]) != 2:
            raise ValueError(f"shapes {shapes}")
        return Shard(path, frames=frames.pop(), **facts)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as err:
        raise _damaged(path, err) from err


def find_shards(folder: str | Path) -> list[Shard]:
    """All shards of a folder, in order of path.

    Raises:
        ConfigError: no embeddings there, or a damaged shard.
    """
    folder = Path(folder)
    read_manifest(folder)
    paths = sorted(p for p in folder.rglob("*.safetensors") if not p.name.startswith("."))
    if not paths:
        raise ConfigError(f"{folder}: holds no shard yet; `basalt embed ... out={folder}` goes on")
    return [open_shard(path) for path in paths]


def latents_dtype(name: str) -> torch.dtype:
    """The type of that name.

    Raises:
        ConfigError: neither float16 nor float32.
    """
    known = {"float16": torch.float16, "float32": torch.float32}
    if name not in known:
        raise ConfigError(f"dtype: {name!r} is not one of {', '.join(known)}")
    return known[name]


def _damaged(path: Path, err: Exception) -> ConfigError:
    return ConfigError(f"{path}: damaged ({err}); remove it and run the same `basalt embed` again")
