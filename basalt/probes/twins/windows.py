"""Windows of frames from a library of twins, as a policy is shown them."""

from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import VPTActions
from basalt.data.episodes import Episode, load_episodes, seed_of
from basalt.data.labels import label_mode
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import Checkpoint
from basalt.probes.twins.library import SEEN, Twin, TwinLibrary


class TwinWindows(NamedTuple):
    """The frames of a twin up to a moment at which it looks different and the player's state is still the same.

    Attributes:
        twin: The twin.
        plain: Frames in the world as it is, uint8 [T, height, width, 3].
        changed: Frames in the changed world, same shape.
        action: What the player did at the last of them; one row.
    """

    twin: Twin
    plain: NDArray[np.uint8]
    changed: NDArray[np.uint8]
    action: VPTActions


def twin_windows(
    info: Checkpoint,
    folder: str | Path,
    changes: tuple[str, ...],
    count: int,
    frames: int,
    moments: int = 1,
) -> list[TwinWindows]:
    """Windows of the twins in worlds that a policy was not trained on.

    Args:
        info: Checkpoint of the policy.
        folder: Folder of the library.
        changes: Names of changes; empty takes all.
        count: Largest number of windows, taken from each seed in turn.
        frames: Number of frames T of a window.
        moments: Largest number of windows of each twin; of several, the first ends at the twin's moment.

    Raises:
        BasaltError: The folder holds no library, or no twin of it fits.
    """
    library = TwinLibrary.open(folder)
    if library.task != info.task:
        raise ConfigError(
            f"data: expected twins of {info.task}, which the policy plays, got {library.task}"
        )
    trained = {seed_of(place) for place in info.train_places}
    by_seed: dict[int, list[Twin]] = {}
    for twin in library.select(changes, frames):
        if twin.seed not in trained:
            by_seed.setdefault(twin.seed, []).append(twin)
    found: list[TwinWindows] = []
    for twin in (one for turn in zip_longest(*by_seed.values()) for one in turn if one):
        if len(found) < count:
            found += _windows(info, Path(folder), twin, frames, moments)
    if not found:
        raise ConfigError(
            f"data: expected twins of worlds that the policy was not trained on, of {frames} frames with an action, found "
            f"none in {folder}; lower frames, or make some of other seeds"
        )
    return found[:count]


def _windows(
    info: Checkpoint, folder: Path, twin: Twin, frames: int, moments: int
) -> list[TwinWindows]:
    """Windows of a twin; none if it is too short without the frames that the policy is not shown."""
    plain, changed = (_episode(info, folder / path) for path in (twin.plain, twin.changed))
    assert twin.moment is not None and twin.seen is not None
    ends = [twin.moment]
    if moments > 1:
        spaced = np.linspace(max(twin.seen, frames - 1), twin.moment, moments).astype(int)
        ends += sorted({*spaced.tolist()} - {twin.moment})
    found = []
    for end in ends:
        # The end may itself be a frame without an action.
        before = plain.kept[plain.kept < end]
        if len(before) < frames - 1:
            continue
        shown = np.append(before[len(before) - frames + 1 :], end)
        pictures = plain.read_frames(shown), changed.read_frames(shown)
        at = min(int(np.searchsorted(plain.kept, end)), len(plain) - 1)
        if np.abs(pictures[0][-1].astype(np.int16) - pictures[1][-1]).mean() > SEEN:
            found.append(TwinWindows(twin, *pictures, plain.actions_between(at, at + 1)))
    return found


def _episode(info: Checkpoint, stem: Path) -> Episode:
    """The one recording of a folder of the library."""
    (episode,) = load_episodes(
        stem.parent,
        size=info.policy.frame_size,
        drop_null=info.drop_null,
        labels=label_mode(info.labels),
    )
    return episode
