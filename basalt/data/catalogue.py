"""Catalogues: one Parquet file that says what a folder of recordings or embeddings holds, labels included.

A row is a play: its files with sizes and SHA-256, and what there is to learn at each frame. Training reads this one
file and lists nothing; a play's own files are copied here when they are first needed (`basalt.data.copies`), so the
folder may be at any address that fsspec reads. A catalogue may come from a stranger: paths stay below its folder, and each
file has to be the one that is listed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from pydantic import Field, ValidationError

from basalt.core.actions import N_BUTTONS, N_CAMERA
from basalt.core.published import PublishedFile, describe, is_address
from basalt.core.records import Record
from basalt.core.tasks import Task, refuse_test_seeds
from basalt.core.video import FrameSize
from basalt.data.bedd import Play, find_plays
from basalt.data.copies import CopiedSource, PlayCopies
from basalt.data.embeddings import (
    MANIFEST,
    LatentsType,
    Manifest,
    Shard,
    find_shards,
    read_manifest,
)
from basalt.data.episodes import (
    DEFAULT_CACHE_GB,
    DEFAULT_INPUT_SIZE,
    Episode,
    seed_of,
    split_group_of,
)
from basalt.data.labels import LabelMode, LabelSetting
from basalt.data.steps import prepare_step_tables, step_table
from basalt.io.atomic import replacing
from basalt.io.console import progress_bar
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.paths import cache_dir
from basalt.io.processes import spawned_pool
from basalt.io.transfer import Transfer, reason
from basalt.io.untrusted import parse_json

SUFFIX = ".parquet"
NAME = f"plays{SUFFIX}"
"""Usual name of a catalogue, in the folder whose files it lists."""

MAX_BYTES = 4 * 2**30
MAX_PLAYS = 1_000_000

_GROUP = 64
"""Plays that are written and read at a time."""

_FLAGS = ("esc", "null", "labelled")
_NUMBERS = {"buttons": N_BUTTONS, "camera": N_CAMERA}
"""Columns of VPT indices, and below what they are."""

_SHARED = ("labels", "policy", "fingerprint", "width", "dtype")
"""Facts of a folder of embeddings that its catalogue repeats."""

_FILES = pa.list_(
    pa.struct([("path", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())])
)
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("task", pa.string()),
        ("split_group", pa.string()),
        ("files", _FILES),
        ("frames", pa.int32()),
        *((name, pa.list_(pa.int16())) for name in _NUMBERS),
        *((name, pa.list_(pa.bool_())) for name in _FLAGS),
    ]
)
"""Columns; the lists have a value for each frame of the play, see `basalt.data.steps.step_table`."""


class CatalogueFacts(Record):
    """What all rows share; in the metadata of the Parquet file.

    Attributes:
        labels: Labelling rules.
        frames: Number of frames of all plays.
        policy: Policy that made the embeddings, as the user gave it; "" for recordings.
        fingerprint: SHA-256 of its weights; "" for recordings.
        width: Width of the latents; 0 for recordings.
        dtype: Type of the latents.
    """

    FORMAT: ClassVar[str] = "basalt-catalogue"

    labels: LabelSetting
    frames: Annotated[int, Field(ge=1)]
    policy: str = ""
    fingerprint: str = ""
    width: Annotated[int, Field(ge=0)] = 0
    dtype: LatentsType = "float16"


def is_catalogue(source: str | Path) -> bool:
    """Whether a data setting names a catalogue."""
    return str(source).endswith(SUFFIX)


# ---- making one ----


def write_catalogue(
    folder: Path, out: Path | None = None, *, labels: LabelMode = "corrected", jobs: int = 1,
    progress: bool = True,
) -> CatalogueFacts:  # fmt: skip
    """Write the catalogue of a folder; every file is read once for its digest.

    Args:
        folder: Folder of recordings, or of embeddings.
        out: File to write; `plays.parquet` in the folder if None. It works beside a copy of the same files.
        labels: Labelling rules of recordings; embeddings have theirs.
        jobs: Number of processes.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        BasaltError: The folder holds nothing of these, something is damaged, or a name has letters that not every
            system takes.
    """
    items: Sequence[Any]
    shared: dict[str, Any] = {"labels": labels}
    if (folder / MANIFEST).is_file():
        made = read_manifest(folder)
        shared = {name: getattr(made, name) for name in _SHARED}
        items, make = find_shards(folder), partial(_row_of_shard, folder=folder)
    else:
        items = find_plays(folder)
        prepare_step_tables(items, labels, jobs=jobs)
        make = partial(_row_of_play, folder=folder, labels=labels)
    frames = 0
    with replacing(out or folder / NAME) as unfinished:
        bar = progress_bar(total=len(items), title="catalogue", unit="play", shown=progress)
        with bar, parquet.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
            rows: list[dict[str, Any]] = []
            for number, row in enumerate(_each(make, items, jobs), 1):
                rows.append(row)
                frames += row["frames"]
                if len(rows) == _GROUP or number == len(items):
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows = []
                bar.update()
            facts = CatalogueFacts(**shared, frames=frames)
            write_facts(writer, facts)
    return facts


def write_facts(writer: parquet.ParquetWriter, facts: CatalogueFacts) -> None:
    """Write what all rows share into a catalogue that is being written."""
    writer.add_key_value_metadata({"basalt": json.dumps(facts.to_json())})


def _each(
    make: Callable[[Any], dict[str, Any]], items: Sequence[Any], jobs: int
) -> Iterator[dict[str, Any]]:
    if jobs < 2:
        yield from map(make, items)
        return
    with spawned_pool(jobs) as pool:
        yield from pool.map(make, items, chunksize=4)


def _row_of_play(play: Play, folder: Path, labels: LabelMode) -> dict[str, Any]:
    steps = step_table(play, labels)
    columns = {name: steps[name].to_numpy() for name in (*_NUMBERS, *_FLAGS)}
    paths = [
        path
        for part in play.parts
        for path in (part.video_path, part.lines_path, part.meta_path)
        if path.is_file()
    ]
    return _row(play.name, play.task, split_group_of(play), folder, paths, columns)


def _row_of_shard(shard: Shard, folder: Path) -> dict[str, Any]:
    names = (*_NUMBERS, "esc", "null")
    columns = {name: values.numpy() for name, values in shard.read(names).items()}
    columns["labelled"] = np.ones(len(shard), np.bool_)
    return _row(shard.name, shard.task, shard.place, folder, [shard.path], columns)


def _row(
    name: str, task: str | None, group: str, folder: Path, paths: Sequence[Path], columns: dict[str, Any]
) -> dict[str, Any]:  # fmt: skip
    below = [path.relative_to(folder).as_posix() for path in paths]
    files = [file.model_dump() for file in describe(folder, below, "recordings").files]
    facts = {"name": name, "task": task, "split_group": group, "files": files}
    return facts | {"frames": len(columns["esc"]), **columns}


# ---- reading one ----


def find_manifest(source: str | Path) -> Manifest | None:
    """The facts of the embeddings that a data setting names; None where it names recordings.

    Raises:
        ConfigError: The manifest or the catalogue is damaged.
    """
    if is_catalogue(source):
        facts = _opened(source)[1]
        return Manifest(**{name: getattr(facts, name) for name in _SHARED}) if facts.width else None
    folder = Path(source)
    return read_manifest(folder) if (folder / MANIFEST).is_file() else None


def load_catalogued(
    source: str | Path,
    *,
    embedded: bool,
    task: Task | None = None,
    size: FrameSize = DEFAULT_INPUT_SIZE,
    drop_null: bool = False,
    labels: LabelMode | None = None,
    cache_gb: float = DEFAULT_CACHE_GB,
) -> list[Episode]:
    """Episodes of a catalogue, in its order. Nothing but the catalogue is read; nine bytes a frame are in memory.

    Args:
        source: Path or address of a catalogue, `FOLDER/plays.parquet`; the files it lists are below FOLDER.
        embedded: Whether embeddings are expected, and not recordings.
        task: Keep only this task's plays. Plays that do not say their task are kept.
        size: Size of the policy's input frame, for recordings.
        drop_null: Leave out frames without any action.
        labels: Labelling rules that are expected; None for those of the catalogue.
        cache_gb: Size in gigabytes up to which copies of plays of an address are kept on this machine.

    Raises:
        ConfigError: The catalogue cannot be read, has other labels, holds no play of this task, or one on an official
            evaluation seed.
    """
    file, facts = _opened(source)
    if embedded != bool(facts.width):
        kinds = ("recordings", "embeddings")
        raise ConfigError(
            f"data: expected {kinds[embedded]}, got {kinds[not embedded]} in {source}"
        )
    if labels not in (None, facts.labels):
        raise ConfigError(
            f"labels: expected {facts.labels}, the labels of {source}, got {labels}; give labels={facts.labels}, or "
            f"make the catalogue again with --labels {labels}"
        )
    copies = PlayCopies(str(source).rpartition("/")[0] or ".", cache_gb)
    episodes: list[Episode] = []
    for batch in file.iter_batches(batch_size=_GROUP):
        try:
            episodes += _episodes(batch, facts, copies, size, drop_null)
        except (ValueError, pa.ArrowException) as err:  # ValidationError is a ValueError
            raise _damaged(source, err) from err
    if task:
        episodes = [one for one in episodes if one.task in (None, task.name)]
        for one in episodes:
            if (seed := seed_of(one.split_group)) is not None:
                refuse_test_seeds(task, [seed], f"training on {one.name}")
    if not episodes:
        wanted = f" of task {task.name}" if task else ""
        raise ConfigError(f"data: {source} lists no play{wanted} with an action in it")
    return episodes


def _episodes(
    batch: pa.RecordBatch, facts: CatalogueFacts, copies: PlayCopies, size: FrameSize, drop_null: bool
) -> Iterator[Episode]:  # fmt: skip
    texts = [batch.column(name).to_pylist() for name in ("name", "task", "split_group")]
    files, counts = batch.column("files").to_pylist(), batch.column("frames").to_pylist()
    values = {name: _lists(batch, name, counts) for name in (*_NUMBERS, *_FLAGS)}
    for name, limit in _NUMBERS.items():
        if len(values[name]) and not 0 <= values[name].min() <= values[name].max() < limit:
            raise ValueError(f"{name}: expected indices from 0 to {limit - 1}")
    keep = values["labelled"] & (~(values["null"] & drop_null) | values["esc"])
    starts = np.cumsum([0, *counts]).tolist()
    wanted = ".safetensors" if facts.width else ".mp4"
    for row, (name, task, group) in enumerate(zip(*texts, strict=True)):
        if not isinstance(name, str) or not isinstance(group, str):
            raise ValueError("expected a name and a split group in each row")
        here = slice(starts[row], starts[row + 1])
        kept = np.flatnonzero(keep[here]).astype(np.int32)
        if not len(kept):
            continue
        buttons, camera, esc = (values[column][here] for column in ("buttons", "camera", "esc"))
        if len(kept) < len(esc):
            buttons, camera, esc = buttons[kept], camera[kept], esc[kept]
        listed = tuple(PublishedFile(**one) for one in files[row] or ())
        if not any(file.path.endswith(wanted) for file in listed):
            raise ValueError(f"expected a file {wanted} of each play")
        latents = (facts.width, facts.dtype) if facts.width else None
        source = CopiedSource(copies, listed, None if latents else size, latents)
        yield Episode(name, task, group, kept, buttons, camera, esc, source)


def _lists(batch: pa.RecordBatch, name: str, counts: list[int]) -> NDArray[Any]:
    """The values of a column of lists, one list after another."""
    column = batch.column(name)
    lengths = column.value_lengths().to_pylist()
    if lengths != counts or column.flatten().null_count:
        raise ValueError(f"{name}: expected a value for each frame of each play")
    return column.flatten().to_numpy(zero_copy_only=False)


def _opened(source: str | Path) -> tuple[parquet.ParquetFile, CatalogueFacts]:
    path = _local(str(source)) if is_address(source) else Path(source)
    try:
        file = parquet.ParquetFile(path, memory_map=True)
        metadata = file.metadata.metadata or {}
        if not file.schema_arrow.equals(SCHEMA) or b"basalt" not in metadata:
            raise ValueError("other columns")
        if file.metadata.num_rows > MAX_PLAYS:
            raise ValueError(f"more than {MAX_PLAYS:,} plays")
        facts = CatalogueFacts.from_json(parse_json(metadata[b"basalt"]), str(source))
    except FileNotFoundError as err:
        raise ConfigError(
            f"{source}: no such catalogue; make it with `basalt data catalogue FOLDER`"
        ) from err
    except (ValueError, OSError, pa.ArrowException) as err:
        raise _damaged(source, err) from err
    return file, facts


def _damaged(source: str | Path, err: Exception) -> ConfigError:
    fault = err.errors()[0]["msg"] if isinstance(err, ValidationError) else reason(err)
    return ConfigError(
        f"{source}: expected a catalogue ({fault}); make it again with `basalt data catalogue FOLDER`"
    )


def _local(address: str) -> Path:
    """This machine's copy of a catalogue at an address; another version there is another copy."""
    folder = cache_dir() / "catalogues"
    transfer = Transfer(folder)
    try:
        remote = transfer.look_up(address)
        if remote.size is None or remote.size > MAX_BYTES:
            raise ConfigError(
                f"{address}: expected a catalogue of at most {MAX_BYTES:,} bytes, got {remote.size or 'an unknown number'}"
            )
        state = hashlib.sha256(f"{address}|{remote.size}|{remote.version}".encode())
        path = folder / f"{state.hexdigest()[:32]}{SUFFIX}"
        if not path.is_file():
            transfer.fetch(path.name, remote, lambda _: None)
    except FileNotFoundError as err:
        raise ConfigError(
            f"{address}: no such catalogue; make it with `basalt data catalogue FOLDER`"
        ) from err
    except BasaltError:
        raise
    except Exception as err:  # each file system has its own
        raise ConfigError(
            f"{address}: cannot be read ({reason(err)}); check address and login"
        ) from err
    return path
