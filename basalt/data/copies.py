"""Copies of plays from an address: fetched when they are needed, checked, and removed when others need the space.

    CACHE/plays/KEY/...        a play's files, complete and checked; KEY depends on address and digests
    CACHE/plays/.KEY/...       files that are being fetched
    CACHE/plays/KEY.lock       held by readers (shared) and by what fetches or removes (alone)

`ReadAhead` fetches what a plan needs soon. Processes share the folder. A file in use is not removed, so what is open at the same time may exceed the limit.
"""

import contextlib
import fcntl
import hashlib
import os
import queue
import shutil
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from basalt.core.published import PublishedFile, fetch_listed, is_address, is_listed
from basalt.core.recording import Recording
from basalt.core.video import FrameSize
from basalt.data.bedd import Play, task_of
from basalt.data.episodes import Episode
from basalt.data.plans import RowPlans
from basalt.data.sources import EmbeddingSource, InputKind, SourceReader, VideoSource
from basalt.io.errors import ConfigError
from basalt.io.paths import cache_dir
from basalt.io.transfer import Transfer


@dataclass(frozen=True)
class PlayCopies:
    """Plays below an address, of which this machine keeps copies; plays of a local folder are read in place.

    Attributes:
        address: Address or path of the folder.
        cache_gb: Size in gigabytes up to which copies are kept, of all addresses together.
    """

    address: str
    cache_gb: float

    @property
    def are_copied(self) -> bool:
        """Whether the plays are at an address."""
        return is_address(self.address)

    @contextlib.contextmanager
    def held(self, files: Sequence[PublishedFile]) -> Iterator[Path]:
        """Fetch a play if it is not here, and keep it while the context lasts.

        Args:
            files: The play's files.

        Yields:
            Folder below which the files are.

        Raises:
            ConfigError: A file is missing, or another than listed.
            BasaltError: It cannot be fetched.
        """
        if not self.are_copied:
            yield self._in_place(files)
            return
        folder = self._folder(files)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("a") as lock:  # closing it releases it
            self._take(folder, files, lock)
            yield folder

    def fetch(self, files: Sequence[PublishedFile]) -> None:
        """Fetch a play if it is not here."""
        with self.held(files):
            pass

    def _in_place(self, files: Sequence[PublishedFile]) -> Path:
        folder = Path(self.address)
        for file in files:
            path = folder / file.path
            size = path.stat().st_size if path.is_file() else None
            if size != file.bytes:
                raise ConfigError(
                    f"{path}: expected the {file.bytes:,} bytes that the catalogue lists, got "
                    f"{'no file' if size is None else f'{size:,}'}; make the catalogue again"
                )
        return folder

    def _folder(self, files: Sequence[PublishedFile]) -> Path:
        # With the address, so that knowing a digest does not give a stranger's catalogue the copy of another's file.
        facts = [self.address, *(f"{file.path}|{file.bytes}|{file.sha256}" for file in files)]
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
        return cache_dir() / "plays" / key

    def _take(self, folder: Path, files: Sequence[PublishedFile], lock: TextIO) -> None:
        """Hold the play's lock with others who read it, and the play is there."""
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if folder.is_dir():
                os.utime(folder)  # the copies used last are removed last
                return
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                self._make_room(sum(file.bytes for file in files))
                self._fetch(folder, files)

    def _fetch(self, folder: Path, files: Sequence[PublishedFile]) -> None:
        unfinished = folder.with_name(f".{folder.name}")
        transfer = Transfer(unfinished)
        for file in files:
            if not is_listed(unfinished / file.path, file):
                fetch_listed(
                    self.address, file, unfinished, transfer,
                    by="the catalogue", remedy="make the catalogue again",
                )  # fmt: skip
            # What is made of a file and kept (`basalt.data.steps`) then serves the next copy of it, too.
            os.utime(unfinished / file.path, (0, 0))
        unfinished.rename(folder)

    def _make_room(self, wanted: int) -> None:
        """Remove the copies that were not used for the longest time, but none that is in use."""
        copies = [
            path
            for path in cache_dir().joinpath("plays").iterdir()
            if path.is_dir() and not path.name.startswith(".")
        ]
        sizes = {
            path: sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
            for path in copies
        }
        total = sum(sizes.values()) + wanted
        for path in sorted(copies, key=lambda path: path.stat().st_mtime):
            if total <= self.cache_gb * 1e9:
                return
            with path.with_name(f"{path.name}.lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]


@dataclass(frozen=True)
class CopiedSource:
    """Inputs of a play that is listed in a catalogue; its files are fetched when it is opened.

    Attributes:
        copies: Where they are.
        files: The play's files.
        size: Size of the frames given; None for embeddings.
        latents: Width and type of the latents of embeddings; None for recordings.
    """

    copies: PlayCopies
    files: tuple[PublishedFile, ...]
    size: FrameSize | None
    latents: tuple[int, str] | None

    @property
    def kind(self) -> InputKind:
        """`latents` of embeddings, `frames` of recordings."""
        return "latents" if self.size is None else "frames"

    @property
    def shape(self) -> tuple[int, ...]:
        """(width,) of latents, (height, width, 3) of frames."""
        if self.size is not None:
            return self.size.shape
        assert self.latents is not None
        return (self.latents[0],)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the latents, or uint8."""
        return np.dtype("uint8" if self.latents is None else self.latents[1])

    def prefetch(self) -> None:
        """Fetch the files, so that opening does not wait for them."""
        if self.copies.are_copied:
            self.copies.fetch(self.files)

    def open(self) -> SourceReader:
        """A reader; fetches the files if they are not here."""
        return _CopiedReader(self)


class _CopiedReader:
    """Reads a play and holds its copy."""

    def __init__(self, source: CopiedSource) -> None:
        self._held = source.copies.held(source.files)
        folder = self._held.__enter__()
        try:
            self._reader = _opened(source, folder)
        except BaseException:
            self._held.__exit__(None, None, None)
            raise

    def read_into(self, out: NDArray[Any], frames: NDArray[np.integer]) -> None:
        """See `basalt.data.sources.SourceReader`."""
        self._reader.read_into(out, frames)

    def close(self) -> None:
        """Close the files; their copy may then be removed."""
        self._reader.close()
        self._held.__exit__(None, None, None)


def _opened(source: CopiedSource, folder: Path) -> SourceReader:
    paths = [folder / file.path for file in source.files]
    if source.size is None:
        path = next(path for path in paths if path.suffix == ".safetensors")
        found = EmbeddingSource(path)
        try:
            fits = (found.shape, found.dtype) == (source.shape, source.dtype)
        except (OSError, ValueError, KeyError, TypeError, struct.error) as err:
            raise ConfigError(
                f"{path}: damaged ({err}); make the embeddings and the catalogue again"
            ) from err
        if not fits:
            raise ConfigError(
                f"{path}: expected latents {source.dtype} of width {source.shape[0]}, got {found.dtype} of shape "
                f"{found.shape}; make the catalogue again"
            )
        return found.open()
    parts = tuple(Recording.open(path) for path in paths if path.suffix == ".mp4")
    return VideoSource(Play(parts, task_of(parts[0])), source.size).open()


def require_room(episodes: Sequence[Episode], plays: int) -> None:
    """Refuse a cache that cannot hold the plays that are used at the same time: each would be fetched for each segment.

    Args:
        episodes: Episodes.
        plays: Number of plays used at the same time.

    Raises:
        ConfigError: The cache is too small; the message says how large it has to be.
    """
    copied = [one.source for one in episodes if isinstance(one.source, CopiedSource)]
    copied = [one for one in copied if one.copies.are_copied]
    if not copied:
        return
    sizes = sorted((sum(file.bytes for file in one.files) for one in copied), reverse=True)
    # The window's plays, and those that are fetched ahead.
    wanted = sum(sizes[: plays + ReadAhead.THREADS]) / 1e9
    if wanted > copied[0].copies.cache_gb:
        raise ConfigError(
            f"cache_gb: expected at least {wanted:.1f} for the {min(plays, len(copied))} largest plays that are used at the "
            f"same time, got {copied[0].copies.cache_gb:g}; raise it, or give a smaller shuffle_plays"
        )


class ReadAhead:
    """Fetches the plays that the next batches of a plan begin, in threads.

    A failure is left to the reader, which meets it again and reports it.

    Args:
        episodes: Episodes that the plan's numbers refer to.
        plan: Pieces of each batch. It is advanced here only.
        rows: Rows of the plan that are read.
    """

    BATCHES = 64
    """Number of batches that are looked ahead."""

    THREADS = 4
    """Number of plays that are fetched at once."""

    def __init__(
        self, episodes: Sequence[Episode], plan: Iterator[RowPlans], rows: Sequence[int]
    ) -> None:
        self._episodes, self._plan, self._rows = episodes, plan, rows
        self._wanted: queue.SimpleQueue[CopiedSource] = queue.SimpleQueue()
        self._last: dict[int, int] = {}
        self._planned = self._needed = 0
        for _ in range(self.THREADS):
            # Daemons: a fetch that is cut off by the program's end is resumed by the next one.
            threading.Thread(target=self._fetch, daemon=True).start()

    def step(self) -> None:
        """Look ahead of one more batch; called before each is read."""
        self._needed += 1
        while self._planned < self._needed + self.BATCHES:
            plans = next(self._plan)
            self._planned += 1
            for row in self._rows:
                for piece in plans[row]:
                    if self._last.get(row) != piece.episode:
                        self._last[row] = piece.episode
                        source = self._episodes[piece.episode].source
                        if isinstance(source, CopiedSource):
                            self._wanted.put(source)

    def _fetch(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                self._wanted.get().prefetch()
