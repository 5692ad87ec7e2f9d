"""Folders that somebody published at an address: what they hold, and how they come here.

    ADDRESS/basalt-published.json    the kind of the folder, and path, size and SHA-256 of each file
    ADDRESS/README.md                a card for people
    ADDRESS/...                      the files

An address is any that fsspec reads: `hf://USER/NAME`, `s3://BUCKET/FOLDER`, `https://...`. The list of files is part
of what is published, so a plain web server will do. Publishers are strangers: sizes are bounded, no path
leaves the folder, and every file has to be the one that the list names.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from basalt.core.recording import sha256_of
from basalt.core.records import Record
from basalt.io.atomic import is_full
from basalt.io.console import note, progress_bar
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.locks import sole_writer
from basalt.io.paths import cache_dir, sample_dir
from basalt.io.transfer import LengthError, Remote, Transfer, reason
from basalt.io.untrusted import MAX_JSON_BYTES, parse_json

MANIFEST = "basalt-published.json"
CARD = "README.md"

Kind = Literal["recordings", "policy", "suite", "board", "lerobot"]

MAX_FILES = 100_000
MAX_DEPTH = 8

THREADS = 8
"""Number of files that are fetched at once."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]*", re.ASCII)


class PublishedFile(BaseModel):
    """One file.

    Attributes:
        path: Path below the folder, with slashes.
        bytes: Its size.
        sha256: Its SHA-256, in hex.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: Annotated[int, Field(ge=0, strict=True)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("path")
    @classmethod
    def _stays_below(cls, path: str) -> str:
        parts = path.split("/")
        if len(parts) > MAX_DEPTH or not all(_NAME.fullmatch(part) for part in parts):
            raise ValueError(
                f"expected a relative path of at most {MAX_DEPTH} plain names, got {path[:80]!r}"
            )
        return path


class Manifest(Record):
    """What was published (`basalt-published.json`).

    Attributes:
        kind: What the folder holds.
        files: Its files, without this one.
    """

    FORMAT: ClassVar[str] = "basalt-published"

    kind: Kind
    files: Annotated[tuple[PublishedFile, ...], Field(min_length=1, max_length=MAX_FILES)]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        # Two names that differ in case alone are one file on some disks.
        paths = [file.path.lower() for file in self.files]
        folders = {str(one) for path in paths for one in PurePosixPath(path).parents}
        if len(set(paths)) < len(paths) or folders.intersection(paths) or MANIFEST in paths:
            raise ValueError("files: expected each path once, and no file where a folder is")
        return self


def is_address(source: str | Path) -> bool:
    """Whether a setting names an address, and not a path."""
    return isinstance(source, str) and _ADDRESS.match(source) is not None


def data_folder(source: str | Path) -> Path:
    """The folder of a data setting: the sample recordings for `sample`, a copy of an address, or the folder itself.

    Raises:
        BasaltError: The address cannot be fetched, or the sample is missing.
    """
    return sample_dir() if source == "sample" else local_copy(source)


def local_copy(source: str | Path) -> Path:
    """A path as it is, or this machine's copy of an address, which is fetched once and then stays as it is.

    Args:
        source: A path, the address of something published, or a folder in that: `hf://USER/NAME/ending`.

    Raises:
        BasaltError: The address cannot be fetched.
    """
    if not is_address(source):
        return Path(source)
    address = str(source).rstrip("/")
    parent, _, name = address.rpartition("/")
    places = ((address, ""), (parent, name))
    for whole, below in places:
        if (copy_of(whole) / MANIFEST).is_file() and (copy_of(whole) / below).is_dir():
            return copy_of(whole) / below
    for whole, below in places:
        manifest = find_manifest(whole)
        if manifest and any(f"/{file.path}".startswith(f"/{below}") for file in manifest.files):
            note(f"fetching {whole}; it is kept in {copy_of(whole)}")
            fetch(whole, copy_of(whole))
            return copy_of(whole) / below
    raise _nothing_at(address)


def copy_of(address: str) -> Path:
    """Where this machine keeps its copy of an address."""
    return cache_dir() / "published" / hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]


def fetch(address: str, out: Path, *, progress: bool = True) -> Manifest:
    """Fetch what was published at an address, or bring an earlier copy up to date; an interrupted one is resumed.

    The list of files is written last: a folder with a list is complete.

    Args:
        address: Address of the folder.
        out: Folder of the copy. Files that the address does not list are left alone.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        What was fetched.

    Raises:
        ConfigError: The address is wrong, holds nothing that was published, or a file is not the one that is listed.
        BasaltError: A file cannot be fetched or written; the same call resumes.
    """
    address = address.rstrip("/")
    manifest = read_manifest(address)
    with sole_writer(out, "download"):
        (out / MANIFEST).unlink(missing_ok=True)
        _fetch_files(
            address,
            [file for file in manifest.files if not is_listed(out / file.path, file)],
            out,
            progress,
        )
        manifest.write(out / MANIFEST)
    return manifest


def _fetch_files(address: str, files: list[PublishedFile], out: Path, progress: bool) -> None:
    """Fetch files that are missing or others than listed."""
    transfer = Transfer(out)
    total = sum(file.bytes for file in files)
    with (
        progress_bar(total=total, title="fetch", unit="B", shown=progress) as bar,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        bar.unit_scale = True
        waiting = [
            pool.submit(
                fetch_listed, address, file, out, transfer,
                by=MANIFEST, remedy="publish it again", on_bytes=bar.update,
            )
            for file in files
        ]  # fmt: skip
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            transfer.stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def fetch_listed(
    address: str,
    file: PublishedFile,
    out: Path,
    transfer: Transfer,
    *,
    by: str,
    remedy: str,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> None:
    """Fetch a file below an address, and check it; it is removed where it is another than listed.

    Args:
        address: Address of the folder.
        file: What the list says of the file.
        out: Folder of the copy.
        transfer: Transfer into this folder.
        by: Name of the list, for errors.
        remedy: What to do where the file is another one, for errors.
        on_bytes: Called with the number of bytes that came.

    Raises:
        ConfigError: The file is missing, or another than listed.
        BasaltError: It cannot be fetched.
        OSError: The disk is full.
    """
    url = f"{address}/{file.path}"
    listed = f"the {file.bytes:,} bytes with SHA-256 {file.sha256[:12]}... that {by} lists"
    try:
        # Size and version are those of the list, so a server that has other ones is found out.
        transfer.fetch(file.path, Remote(url, file.bytes, file.sha256), on_bytes)
    except (FileNotFoundError, LengthError) as err:
        raise ConfigError(f"{url}: expected {listed}, got {reason(err)}; {remedy}") from err
    except BasaltError:
        raise
    except Exception as err:  # each file system has its own
        if is_full(err):
            raise
        raise BasaltError(f"{url}: cannot be fetched ({reason(err)}); try again") from err
    if not is_listed(out / file.path, file):
        (out / file.path).unlink()
        raise ConfigError(f"{url}: expected {listed}, got others; {remedy}")


def read_manifest(address: str) -> Manifest:
    """What was published at an address.

    Raises:
        ConfigError: There is no list of files, or it is not valid.
    """
    found = find_manifest(address)
    if found is None:
        raise _nothing_at(address)
    return found


def _nothing_at(address: str) -> ConfigError:
    return ConfigError(
        f"{address}: expected a folder that `basalt hub publish` made, got none with {MANIFEST}; check the address"
    )


def find_manifest(address: str) -> Manifest | None:
    """What was published at an address; None if nothing was.

    Raises:
        ConfigError: The address cannot be read, or its list of files is not valid.
    """
    url = f"{address}/{MANIFEST}"
    try:
        content = Transfer(cache_dir()).read(url, MAX_JSON_BYTES)
    except FileNotFoundError:
        return None
    except BasaltError:
        raise
    except Exception as err:  # each file system has its own
        raise ConfigError(
            f"{url}: cannot be read ({reason(err)}); check address and login"
        ) from err
    try:
        return Manifest.from_json(parse_json(content), url)
    except ValueError as err:
        raise ConfigError(f"{url}: expected a {Manifest.FORMAT} file ({err})") from err


def describe(folder: Path, paths: Sequence[str], kind: Kind) -> Manifest:
    """The list of files of a folder that is to be published.

    Args:
        folder: The folder.
        paths: Files below it, with slashes.
        kind: What it holds.

    Raises:
        ConfigError: A path has letters that not every system takes.
        OSError: A file cannot be read.
    """
    files = [
        {"path": path, "bytes": (folder / path).stat().st_size, "sha256": sha256_of(folder / path)}
        for path in sorted(paths)
    ]
    return Manifest.from_json({"kind": kind, "files": files}, str(folder))


def is_listed(path: Path, file: PublishedFile) -> bool:
    """Whether a file is there and the one that is listed."""
    return path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256
