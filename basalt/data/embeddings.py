"""Embeddings of plays by a frozen policy: one safetensors shard per play, with the play's labels.

    OUT/embeddings.json            format, policy, labelling rules
    OUT/<path of the play>.safetensors
        latents  float16 or float32 [n, width], the input of the policy's heads at every frame
        buttons  int16 [n], camera int16 [n], esc bool [n], null bool [n]: what the player did

A shard appears under its final name only when it is complete.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from basalt.core.records import Record
from basalt.core.tasks import Task, refuse_test_seeds
from basalt.data.episodes import Episode, seed_of
from basalt.data.labels import LabelSetting
from basalt.data.sources import EmbeddingSource
from basalt.io.claims import make_folder
from basalt.io.errors import ConfigError
from basalt.io.locks import LOCK_FILE, sole_writer
from basalt.io.tensors import write_tensors
from basalt.io.untrusted import parse_json

MANIFEST = "embeddings.json"
JOBS = ".jobs"
KIND = "folder of embeddings"

LatentsType = Literal["float16", "float32"]
"""Type of the latents on disk."""

COLUMNS = ("latents", "buttons", "camera", "esc", "null")


class Manifest(Record):
    """Facts that all shards of a folder share: `embeddings.json`.

    Attributes:
        policy: Source of the policy, as the user gave it.
        fingerprint: SHA-256 of the policy's weights.
        width: Width of the latents.
        labels: Labelling rules; see `basalt.data.labels.label_mode`.
        dtype: Type of the latents, `float16` or `float32`.
    """

    FORMAT: ClassVar[str] = "basalt-embeddings"

    policy: str
    fingerprint: str
    width: int
    labels: LabelSetting
    dtype: LatentsType


@dataclass(frozen=True)
class Shard:
    """One play's embeddings.

    Attributes:
        path: Its file.
        name: Name of the play.
        place: The play's split group; see `basalt.data.episodes.Episode`.
        task: Name of the task; None where the recordings do not say.
        source: Names and sizes of the recordings' files when they were embedded.
        frames: Number of frames, n.
    """

    path: Path
    name: str
    place: str
    task: str | None
    source: str
    frames: int

    def __len__(self) -> int:
        return self.frames

    def read(self, names: Collection[str] = COLUMNS) -> dict[str, Tensor]:
        """Columns by name.

        Args:
            names: Names of the columns.

        Raises:
            ConfigError: The file is damaged.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as err:
            raise _damaged(self.path, err) from err


def load_embedded(
    folder: str | Path, *, task: Task | None = None, drop_null: bool = False
) -> list[Episode]:
    """Episodes of a folder of embeddings, in order of path.

    Args:
        folder: Folder made by `basalt embed`.
        task: Keep only this task's plays. Plays that do not say their task are kept.
        drop_null: Leave out frames without any action.

    Raises:
        ConfigError: The folder has no embeddings, none of this task, or a damaged shard; or a play was
            recorded on an official evaluation seed of the task.
    """
    episodes = []
    for shard in find_shards(folder):
        if task and shard.task not in (None, task.name):
            continue
        if task and (seed := seed_of(shard.place)) is not None:
            refuse_test_seeds(task, [seed], f"training on {shard.path}")
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


def claim_embeddings(folder: Path, manifest: Manifest) -> None:
    """Make the folder, or check that the embeddings in it were made with the same settings.

    Raises:
        ConfigError: It holds embeddings of another policy or other labels, or its manifest is damaged.
    """
    file = folder / MANIFEST
    if file.is_file():  # with today's names of the labelling rules
        read_manifest(folder).write(file)
    manifest.claim(file, KIND, may_change=("policy",))


def read_manifest(folder: Path) -> Manifest:
    """The facts that all shards of a folder share.

    Raises:
        ConfigError: The manifest is missing or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ConfigError(f"{path}: missing; make embeddings with `basalt embed ... out={folder}`")
    try:
        return Manifest.read(path)
    except ConfigError as err:
        raise ConfigError(f"{err}; make the embeddings again") from err


@contextmanager
def claim_job(folder: Path, shard: int, shards: int) -> Iterator[Path]:
    """Refuse a second writer of the same share of the plays; remove what a killed job left.

    Shards are written here first, not beside their final names (`basalt.io.atomic`): safetensors writes a
    temporary file of its own, which is removed with the rest after a kill.

    Yields:
        Folder in which this job writes shards until they are complete.

    Raises:
        BusyError: Another process is writing this share.
    """
    make_folder(folder, KIND)
    staging = folder / JOBS / f"{shard}-of-{shards}"
    with sole_writer(staging, "embedding"):
        for leftover in staging.iterdir():
            if leftover.name != LOCK_FILE:
                leftover.unlink()
        yield staging


def write_shard(
    path: Path, columns: Mapping[str, Tensor], facts: Mapping[str, Any], staging: Path
) -> None:
    """Write one play's shard; it appears under its final name when it is complete.

    Args:
        path: Final name.
        columns: `COLUMNS`, n rows each.
        facts: JSON-ready `name`, `place` (the split group), `task`, `source`.
        staging: The job's folder, from `claim_job`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = staging / f"{path.name}.partial"
    write_tensors(partial, columns, {"basalt": json.dumps(dict(facts))})
    partial.replace(path)


def open_shard(path: Path) -> Shard:
    """A shard's facts, without reading its tensors.

    Raises:
        ConfigError: The file is damaged, or not a shard of embeddings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = parse_json((file.metadata() or {})["basalt"])
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
        ConfigError: The folder has no embeddings, or a shard is damaged.
    """
    folder = Path(folder)
    read_manifest(folder)
    paths = sorted(p for p in folder.rglob("*.safetensors") if not p.name.startswith("."))
    if not paths:
        raise ConfigError(f"{folder}: holds no shard yet; run `basalt embed ... out={folder}`")
    return [open_shard(path) for path in paths]


def _damaged(path: Path, err: Exception) -> ConfigError:
    return ConfigError(f"{path}: damaged ({err}); remove it and run the same `basalt embed` again")
