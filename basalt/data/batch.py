"""A batch of training sequences, and how one row of it is read from recordings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.data.episodes import Episode
from basalt.data.frames import FrameReader
from basalt.data.mirror import mirror_actions, mirror_frames
from basalt.data.plans import Piece


class Batch(NamedTuple):
    """T frames for each of B rows, with what the player did at each.

    Attributes:
        img: uint8 [B, T, height, width, 3] RGB; of embedded episodes the latents, float [B, T, width].
        first: bool [B, T], an episode begins at this frame.
        valid: bool [B, T], False for padding behind the last episode of a finite pass.
        buttons: int64 [B, T] below 8641.
        camera: int64 [B, T] below 121.
        esc: bool [B, T].
        episode: int64 [B, T], position in the list of episodes; -1 for padding.
        position: int64 [B, T], position among the episode's used frames.
        frame: int64 [B, T], frame of the play.
    """

    img: NDArray[Any]
    first: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    buttons: NDArray[np.int64]
    camera: NDArray[np.int64]
    esc: NDArray[np.bool_]
    episode: NDArray[np.int64]
    position: NDArray[np.int64]
    frame: NDArray[np.int64]


PADDING = (0, False, False, 0, 0, False, -1, 0, 0)
"""What stands in each column of a batch behind the last frame."""


def batch_layout(
    rows: int, length: int, episode: Episode
) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each column of a batch of such episodes."""
    small, whole, flag = (rows, length), np.dtype(np.int64), np.dtype(np.bool_)
    pictures = ((*small, *episode.frame_shape), np.dtype(episode.frame_type))
    flags, numbers = (small, flag), (small, whole)
    return [pictures, flags, flags, numbers, numbers, flags, numbers, numbers, numbers]


class RowReader:
    """Fills one row of batches."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = episodes
        self._index = -1
        self._reader: FrameReader | None = None

    def fill(self, batch: Batch, row: int, pieces: Sequence[Piece]) -> None:
        """Put the pieces into the batch's row, and padding behind them."""
        at = 0
        for index, start, stop, begins, mirrored in pieces:
            episode, end = self._episodes[index], at + stop - start
            pictures = batch.img[row, at:end]
            self._read(pictures, index, episode.kept[start:stop])
            actions = episode.actions_between(start, stop)
            if mirrored:
                pictures[:] = mirror_frames(pictures)
                actions = mirror_actions(actions)
            batch.first[row, at:end] = False
            batch.first[row, at] = begins
            batch.valid[row, at:end] = True
            batch.buttons[row, at:end] = actions.buttons
            batch.camera[row, at:end] = actions.camera
            batch.esc[row, at:end] = actions.esc
            batch.episode[row, at:end] = index
            batch.position[row, at:end] = np.arange(start, stop)
            batch.frame[row, at:end] = episode.kept[start:stop]
            at = end
        for column, padding in zip(batch, PADDING, strict=True):
            column[row, at:] = padding

    def _read(self, pictures: NDArray[Any], index: int, frames: NDArray[np.int32]) -> None:
        episode = self._episodes[index]
        if episode.cached:
            pictures[:] = episode.frames[frames]
            return
        if self._reader is None or index != self._index:
            if self._reader is not None:
                self._reader.close()
            self._index, self._reader = index, episode.reader()
        self._reader.read_into(pictures, frames)
