"""A batch of training sequences, and how one row of it is read from episodes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.data.episodes import Episode
from basalt.data.mirror import mirror_actions, mirror_frames
from basalt.data.plans import Piece
from basalt.data.sources import FrameSource, InputKind, SourceReader


class Batch(NamedTuple):
    """T frames for each of B rows, with what the player did at each.

    Attributes:
        kind: What the inputs are.
        inputs: What the episodes' source gives: frames uint8 [B, T, height, width, 3] RGB, encoded
            frames float32 [B, T, hidsize], or latents float [B, T, width].
        first: bool [B, T], an episode begins at this frame.
        valid: bool [B, T], False for padding behind the last episode of a finite pass.
        buttons: int64 [B, T] below 8641.
        camera: int64 [B, T] below 121.
        esc: bool [B, T].
        episode: int64 [B, T], position in the list of episodes; -1 for padding.
        position: int64 [B, T], position among the episode's used frames.
        frame: int64 [B, T], frame of the play.
    """

    kind: InputKind
    inputs: NDArray[Any]
    first: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]
    episode: NDArray[np.int64]
    position: NDArray[np.int64]
    frame: NDArray[np.int64]

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """The arrays in the order of `BatchLayout.columns`."""
        return self[1:]


PADDING = (0, False, False, 0, 0, False, -1, 0, 0)
"""The value of each column of a batch behind the last frame."""


class BatchLayout(NamedTuple):
    """Kind of the inputs, and shape and type of each column of a batch."""

    kind: InputKind
    columns: list[tuple[tuple[int, ...], np.dtype[Any]]]

    @classmethod
    def of(cls, batch_size: int, seq_len: int, source: FrameSource) -> "BatchLayout":
        """The layout of batches from such a source."""
        small, whole, flag = (batch_size, seq_len), np.dtype(np.int64), np.dtype(np.bool_)
        inputs = ((*small, *source.shape), source.dtype)
        flags, numbers = (small, flag), (small, whole)
        columns = [inputs, flags, flags, numbers, numbers, flags, numbers, numbers, numbers]
        return cls(source.kind, columns)

    def empty(self) -> Batch:
        """A batch whose values are not set."""
        return Batch(self.kind, *(np.empty(*column) for column in self.columns))


class RowReader:
    """Fills one row of batches."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = episodes
        self._index = -1
        self._reader: SourceReader | None = None

    def fill(self, batch: Batch, row: int, pieces: Sequence[Piece]) -> None:
        """Write the pieces into the batch's row, and padding behind them."""
        at = 0
        for index, start, stop, begins, mirrored in pieces:
            episode, end = self._episodes[index], at + stop - start
            inputs = batch.inputs[row, at:end]
            self._open(index).read_into(inputs, episode.kept[start:stop])
            actions = episode.actions_between(start, stop)
            if mirrored:
                inputs[:] = mirror_frames(inputs)
                actions = mirror_actions(actions)
            first, position = np.zeros(stop - start, np.bool_), np.arange(start, stop)
            first[0] = begins
            values = (first, True, *actions, index, position, episode.kept[start:stop])
            for column, value in zip(batch.columns[1:], values, strict=True):
                column[row, at:end] = value
            at = end
        for column, padding in zip(batch.columns, PADDING, strict=True):
            column[row, at:] = padding

    def _open(self, index: int) -> SourceReader:
        """The reader of an episode; the previous episode's is closed."""
        if self._reader is None or index != self._index:
            if self._reader is not None:
                self._reader.close()
            self._index, self._reader = index, self._episodes[index].source.open()
        return self._reader
