"""Sources of an episode's frames: its video, the cache of decoded frames, embeddings, encoder output.

A batch holds what its episodes' source gives, so nothing is decoded that is not used.
"""

import json
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from basalt.core.video import FrameSize
from basalt.data.bedd import Play
from basalt.data.frames import FrameReader, decoded_frames

InputKind = Literal["frames", "encoded", "latents"]
"""What a source gives: RGB frames, the image encoder's output, or the input of the policy's heads."""


class SourceReader(Protocol):
    """Reads one episode's inputs."""

    def read_into(self, out: NDArray[Any], frames: NDArray[np.integer]) -> None:
        """Write the inputs for the given frames of the play into `out` [n, *shape]."""

    def close(self) -> None:
        """Release open files."""


class FrameSource(Protocol):
    """Where an episode's inputs come from.

    Attributes:
        kind: What the inputs are.
        shape: Shape of the input at one frame.
        dtype: Type of its numbers.
    """

    @property
    def kind(self) -> InputKind: ...  # noqa: D102 (see the class)

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102

    def open(self) -> SourceReader:
        """A reader, for one thread."""


class _ArrayReader:
    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def read_into(self, out: NDArray[Any], frames: NDArray[np.integer]) -> None:
        out[:] = self._array[frames]

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class VideoSource:
    """Frames decoded from the recordings' videos each time they are read; fastest in order.

    Attributes:
        play: The recordings.
        size: Size of the frames given.
    """

    play: Play
    size: FrameSize

    kind: ClassVar[InputKind] = "frames"
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3)."""
        return self.size.shape

    def open(self) -> SourceReader:
        """A reader that decodes forward."""
        return FrameReader(self.play, self.size)


@dataclass(frozen=True)
class CacheSource(VideoSource):
    """Frames decoded once into the cache folder, then read in any order."""

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """uint8 [frames of the play, height, width, 3], memory-mapped."""
        return decoded_frames(self.play, self.size)

    def __getstate__(self) -> dict[str, Any]:
        # Each process maps the file itself; pickled, a memory map becomes a copy.
        return {name: value for name, value in vars(self).items() if name != "frames"}

    def open(self) -> SourceReader:
        """A reader of the decoded frames; decodes them on first use."""
        return _ArrayReader(self.frames)


@dataclass(frozen=True)
class EmbeddingSource:
    """Latents that `basalt embed` stored.

    Attributes:
        path: The play's shard; see `basalt.data.embeddings`.
    """

    path: Path

    kind: ClassVar[InputKind] = "latents"

    @cached_property
    def latents(self) -> NDArray[Any]:
        """float16 or float32 [frames of the play, width], memory-mapped."""
        with self.path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(length))["latents"]
        dtype = {"F16": np.float16, "F32": np.float32}[entry["dtype"]]
        offset = 8 + length + entry["data_offsets"][0]
        return np.memmap(self.path, dtype, "r", offset, tuple(entry["shape"]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "latents"}

    @property
    def shape(self) -> tuple[int, ...]:
        """(width,)."""
        return self.latents.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 or float32."""
        return self.latents.dtype

    def open(self) -> SourceReader:
        """A reader of the stored latents."""
        return _ArrayReader(self.latents)


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """A policy's image encoder's output in memory, for running the rest of the policy many times.

    Attributes:
        values: float32 [n, hidsize].
        frames: int32 [n], the frame of the play that each row encodes, ascending.
    """

    values: NDArray[np.float32]
    frames: NDArray[np.int32]

    kind: ClassVar[InputKind] = "encoded"

    @property
    def shape(self) -> tuple[int, ...]:
        """(hidsize,)."""
        return self.values.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return self.values.dtype

    def open(self) -> SourceReader:
        """A reader by frame of the play."""
        return self

    def read_into(self, out: NDArray[Any], frames: NDArray[np.integer]) -> None:
        """Write the encoded frames into `out` [n, hidsize]."""
        out[:] = self.values[np.searchsorted(self.frames, frames)]

    def close(self) -> None:
        """Nothing is open."""
