"""Bundles: an agent's recordings for a study in one zip file, with a manifest.

A bundle holds `manifest.json`, and `TASK/seed_N.mp4`, `.jsonl` and `.json` for each episode. It is untrusted:
names, sizes and counts are bounded and compared with the study's episodes before anything is unpacked, and only files
whose SHA-256 is in the manifest are accepted.
"""

import hashlib
import re
import shutil
import stat
import zipfile
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import basalt
from basalt.core.recording import MAX_LINE_FILE_BYTES, MAX_META_BYTES, Recording, sha256_of
from basalt.io.atomic import replacing
from basalt.io.errors import StudyError, problem_list

MAX_FILES = 1_000
"""Maximum number of files of a bundle; the official study's four tasks need 132."""

MAX_FILE_BYTES = 2**30
"""Maximum size of one unpacked file in bytes; 3 minutes of video need about 40 MB."""

MAX_BYTES = 64 * 2**30
"""Maximum size of all unpacked files in bytes."""

MAX_SIZES = {".mp4": MAX_FILE_BYTES, ".jsonl": MAX_LINE_FILE_BYTES, ".json": MAX_META_BYTES}
"""Maximum size of an unpacked file in bytes, by suffix."""

MAX_RATIO = 200
"""Maximum size of an unpacked file divided by its size in the bundle. Lines of an agent that does nothing reach 83, and
deflated zeros 1,000."""

FREE_RATIO = 2**20
"""Size in bytes up to which a file may unpack to any multiple of its size."""

MAX_MANIFEST_BYTES = 2**20

MAX_DIRECTORY_BYTES = 2**20
"""Maximum size of a zip file's table of contents in bytes; each entry takes about 100."""

MANIFEST = "manifest.json"

_NAME = re.compile(r"([a-z_]{1,60})/seed_([0-9]{1,19})(\.mp4|\.jsonl|\.json)")
_CHUNK = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END_64, _LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"


class BundleError(StudyError):
    """A bundle that is not valid.

    Attributes:
        faults: All problems found, one line each.
    """

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.faults = faults
        super().__init__(problem_list(f"{path}: not a valid bundle", faults))


class BundledFile(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class About(BaseModel):
    """Description of a submission's agent.

    Attributes:
        agent: Name of the agent.
        agent_version: Version of the agent, in its authors' own numbering.
        authors: Names of the authors.
        description: What the agent is and how it works.
        training_data: Data that the agent learned from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: str = Field(min_length=1, max_length=64)
    agent_version: str = Field(default="", max_length=64)
    authors: tuple[str, ...] = Field(default=(), max_length=100)
    description: str = Field(default="", max_length=5000)
    training_data: str = Field(default="", max_length=5000)

    @field_validator("agent", "agent_version", "authors", "description", "training_data")
    @classmethod
    def _printable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (value,) if isinstance(value, str) else value:
            if len(text) > 5000 or not text.replace("\n", " ").isprintable():
                raise ValueError("contains characters that cannot be printed")
        return value


class BundleManifest(About):
    """Content of a bundle's `manifest.json`."""

    format: Literal["basalt-bundle"] = "basalt-bundle"
    version: Literal[1] = 1
    world: str = Field(min_length=1, max_length=100)
    world_version: str = Field(min_length=1, max_length=1000)
    package_version: str = Field(max_length=50)
    created: datetime
    files: dict[str, BundledFile] = Field(max_length=MAX_FILES)


def manifest_of(recordings: Iterable[Recording], about: About) -> BundleManifest:
    """The manifest of checked recordings: each has its NAME.json, and all are of one world."""
    files, world, versions = {}, "", set()
    for recording in recordings:
        assert recording.meta is not None
        world = recording.meta.world
        versions.add(recording.meta.world_version)
        for path in (recording.video_path, recording.lines_path, recording.meta_path):
            name = f"{recording.meta.task}/seed_{recording.meta.seed}{path.suffix}"
            files[name] = BundledFile(sha256=sha256_of(path), bytes=path.stat().st_size)
    return BundleManifest(
        **about.model_dump(),
        world=world,
        world_version=", ".join(sorted(versions)),
        package_version=basalt.__version__,
        created=datetime.now(UTC).replace(microsecond=0),
        files=files,
    )


def write_bundle(path: Path, recordings: list[Recording], about: About) -> BundleManifest:
    """Write a bundle of checked recordings, as a whole or not at all.

    Raises:
        WriteError: The file cannot be written.
    """
    manifest = manifest_of(recordings, about)
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        for recording in recordings:
            assert recording.meta is not None
            stem = f"{recording.meta.task}/seed_{recording.meta.seed}"
            # Video is compressed already.
            file.write(recording.video_path, f"{stem}.mp4", zipfile.ZIP_STORED)
            file.write(recording.lines_path, f"{stem}.jsonl")
            file.write(recording.meta_path, f"{stem}.json")
    return manifest


def unpack_bundle(
    path: Path, into: Path, episodes: Collection[tuple[str, int]] | None = None
) -> BundleManifest:
    """Unpack a bundle's recordings into an empty folder and check their hashes.

    Args:
        path: The bundle.
        into: The folder, made if it is missing.
        episodes: Task and seed of each episode of the study, which may be in the bundle; None accepts all.

    Raises:
        BundleError: With the list of all problems; the caller removes what was unpacked so far.
    """
    try:
        if fault := _directory_fault(path):
            raise BundleError(path, [fault])
        into.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path) as file:
            manifest = _manifest(path, file)
            faults = _faults_of_entries(file, manifest, episodes)
            faults = faults or _faults_of_sizes(path, file, shutil.disk_usage(into).free)
            if faults:
                raise BundleError(path, faults)
            for name, claimed in manifest.files.items():
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(name) as source, target.open("wb") as copy:
                    if (fault := _copy(source, copy, claimed)) is not None:
                        faults.append(f"{name}: {fault}")
    # ValueError: names that are not UTF-8, offsets before the file's start.
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        ValueError,
        OverflowError,
    ) as err:
        raise BundleError(path, [f"not a zip file, or damaged ({err})"]) from err
    except RuntimeError as err:
        raise BundleError(path, [f"is encrypted ({err})"]) from err
    except OSError as err:
        raise BundleError(path, [f"cannot be read ({err.strerror or err})"]) from err
    except Exception as err:
        # Damaged data raises zlib.error or LZMAError.
        if type(err).__name__ not in ("error", "LZMAError"):
            raise
        raise BundleError(path, [f"damaged ({err})"]) from err
    if faults:
        raise BundleError(path, faults)
    return manifest


def _manifest(path: Path, file: zipfile.ZipFile) -> BundleManifest:
    entries = [entry for entry in file.infolist() if entry.filename == MANIFEST]
    if len(entries) != 1:
        raise BundleError(path, [f"{MANIFEST} is missing, or present twice"])
    with file.open(entries[0]) as source:
        text = source.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(path, [f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes"])
    try:
        return BundleManifest.model_validate_json(text)
    except ValidationError as err:
        faults = [
            f"{MANIFEST}: {'.'.join(map(str, fault['loc'])) or 'the object'}: {fault['msg']}"
            for fault in err.errors()[:20]
        ]
        raise BundleError(path, faults) from err


def _directory_fault(path: Path) -> str | None:
    """What is wrong with the size of the table of contents; `zipfile` reads it whole into memory.

    By PKWARE's APPNOTE.TXT, 4.3.14 to 4.3.16.
    """
    with path.open("rb") as file:
        start = max(path.stat().st_size - 2**16 - 200, 0)  # the end has a comment of up to 64 KiB
        file.seek(start)
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0:
        return "not a zip file, or damaged (it has no table of contents)"
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if tail[max(end - 20, 0) : end].startswith(_LOCATOR_64):
        record = tail[max(end - 76, 0) : end - 20]
        if not record.startswith(_END_64):
            return "not a zip file, or damaged (its table of contents is not where it should be)"
        size = int.from_bytes(record[40:48], "little")
    if size > MAX_DIRECTORY_BYTES:
        return (
            f"expected a table of contents of at most {MAX_DIRECTORY_BYTES:,} bytes, got {size:,}"
        )
    return None


def _faults_of_sizes(path: Path, file: zipfile.ZipFile, free: int) -> list[str]:
    """Problems of the sizes of entries whose names are valid.

    Args:
        path: The bundle.
        file: The same, opened.
        free: Number of free bytes where it is unpacked.
    """
    faults = []
    entries = file.infolist()
    for entry in entries:
        if entry.filename == MANIFEST:
            continue
        limit = MAX_SIZES[Path(entry.filename).suffix]
        if entry.file_size > limit:
            faults.append(
                f"{entry.filename}: expected at most {limit:,} bytes, got {entry.file_size:,}"
            )
        elif entry.file_size > max(MAX_RATIO * entry.compress_size, FREE_RATIO):
            faults.append(
                f"{entry.filename}: unpacks from {entry.compress_size:,} bytes to {entry.file_size:,}, more than "
                f"{MAX_RATIO} times as many; pack the recordings by `basalt submit --pack`"
            )
    if sum(entry.compress_size for entry in entries) > path.stat().st_size:
        faults.append("files share their bytes; pack the recordings by `basalt submit --pack`")
    total = sum(entry.file_size for entry in entries)
    if total > free:
        faults.append(
            f"unpacks to {total:,} bytes, and the temporary folder has {free:,}; set TMPDIR to a larger disk"
        )
    return faults


def _faults_of_entries(
    file: zipfile.ZipFile,
    manifest: BundleManifest,
    episodes: Collection[tuple[str, int]] | None,
) -> list[str]:
    """Problems of the table of contents, found before anything is unpacked."""
    entries = [entry for entry in file.infolist() if entry.filename != MANIFEST]
    if len(entries) > MAX_FILES:
        return [f"expected at most {MAX_FILES} files, got {len(entries)}"]
    faults = []
    names: set[str] = set()
    for entry in entries:
        shown = ascii(entry.filename[:100])
        kind = stat.S_IFMT(entry.external_attr >> 16)
        name = _NAME.fullmatch(entry.filename)
        if name is None:
            faults.append(
                f"{shown}: not a valid file name (expected TASK/seed_N.mp4, .jsonl or .json)"
            )
        elif kind not in (0, stat.S_IFREG):
            faults.append(f"{shown}: is not a regular file")
        elif entry.compress_type not in _METHODS:
            faults.append(f"{shown}: expected to be stored or deflated, got another compression")
        elif episodes is not None and (name[1], int(name[2])) not in episodes:
            faults.append(f"{shown}: the study has no episode of {name[1]} with seed {name[2]}")
        elif entry.filename in names:
            faults.append(f"{shown}: is present twice")
        elif entry.filename not in manifest.files:
            faults.append(f"{shown}: is not in {MANIFEST}")
        elif entry.file_size != manifest.files[entry.filename].bytes:
            faults.append(f"{shown}: its size differs from the manifest")
        names.add(entry.filename)
    faults += [
        f"{name[:100]!a}: is in {MANIFEST} but not in the bundle"
        for name in sorted(set(manifest.files) - names)
    ]
    if sum(one.bytes for one in manifest.files.values()) > MAX_BYTES:
        faults.append(f"unpacks to more than {MAX_BYTES} bytes")
    return faults


def _copy(source: IO[bytes], copy: IO[bytes], claimed: BundledFile) -> str | None:
    """Unpack one file, never more bytes than the manifest says; returns the problem with it."""
    digest, left = hashlib.sha256(), claimed.bytes
    while chunk := source.read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            return "unpacks to more bytes than the manifest says"
        digest.update(chunk)
        copy.write(chunk)
    if left or digest.hexdigest() != claimed.sha256:
        return "its content differs from the manifest"
    return None
