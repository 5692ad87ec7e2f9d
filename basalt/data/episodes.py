"""Episodes: plays as training data, selected, labelled and split."""

import hashlib
import math
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import VPTActions
from basalt.core.published import data_folder
from basalt.core.recording import Recording
from basalt.core.tasks import TASKS, Task, refuse_test_seeds
from basalt.core.video import FrameSize
from basalt.data.bedd import SHARED_IDS, Play, RecordingName, find_plays
from basalt.data.labels import LabelMode
from basalt.data.sources import CacheSource, FrameSource, VideoSource
from basalt.data.steps import prepare_step_tables, step_table
from basalt.io.errors import ConfigError, RecordingError

DEFAULT_CACHE_GB = 2.0

DEFAULT_INPUT_SIZE = FrameSize(width=128, height=128)
"""Size of the frames that VPT's published policies see."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One play as training data; eight bytes a frame are in memory.

    Attributes:
        name: Name of the play's first recording.
        task: Name of the task; None where the recordings do not say.
        split_group: Key for splitting: episodes with the same key show the same world. See
            `split_group_of`.
        kept: int32 [n], the frames of the play that are used, ascending.
        buttons: int16 [n], VPT index of each used frame; see `actions`.
        camera: int16 [n], VPT index of each used frame.
        esc: bool [n], ESC was pressed.
        source: Where the frames come from, or what a policy made of them.
        play: The recordings; None where only embeddings are present.
    """

    name: str
    task: str | None
    split_group: str
    kept: NDArray[np.int32]
    buttons: NDArray[np.int16]
    camera: NDArray[np.int16]
    esc: NDArray[np.bool_]
    source: FrameSource
    play: Play | None = None

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The play's recordings; none where only embeddings are present."""
        return self.play.parts if self.play else ()

    @property
    def actions(self) -> VPTActions:
        """VPT indices of the used frames."""
        return self.actions_between(0, len(self))

    def actions_between(self, start: int, stop: int) -> VPTActions:
        """VPT indices of the used frames start..stop."""
        buttons, camera = (x[start:stop].astype(np.int64) for x in (self.buttons, self.camera))
        return VPTActions(buttons, camera, self.esc[start:stop])

    def read(self) -> NDArray[Any]:
        """The source's inputs at all used frames, [n, *source.shape]."""
        return self.read_frames(self.kept)

    def read_frames(self, frames: NDArray[np.integer]) -> NDArray[Any]:
        """The source's inputs at frames of the play, used ones or not, [len(frames), *source.shape]."""
        inputs = np.empty((len(frames), *self.source.shape), self.source.dtype)
        with closing(self.source.open()) as reader:
            reader.read_into(inputs, frames)
        return inputs


def split_group_of(play: Play) -> str:
    """Key for splitting: plays with the same key show the same world.

    Task and seed where the recording has them; for BEDD's recordings the session, or the play itself
    where many players share the session's id.
    """
    meta = play.parts[0].meta
    if meta is not None:
        return f"{meta.task}:{meta.seed}"
    name = RecordingName.parse(play.name)
    if name is None or name.session_id in SHARED_IDS:
        return play.name
    return f"{play.task}:{name.session}"


def seed_of(split_group: str) -> int | None:
    """The world's seed in a split group; None where the recordings do not say it."""
    task, _, seed = split_group.partition(":")
    return int(seed) if task in TASKS and seed.isdecimal() else None


def load_episodes(
    source: str | Path | Sequence[str | Path],
    *,
    task: Task | None = None,
    size: FrameSize = DEFAULT_INPUT_SIZE,
    drop_null: bool = False,
    labels: LabelMode = "corrected",
    cache_gb: float = DEFAULT_CACHE_GB,
    jobs: int = 1,
) -> list[Episode]:
    """Episodes of folders of recordings, in order of path in each. Frames are decoded when first used.

    The files of one play are one episode. Recordings that are quarantined, incomplete, or of a
    crashed world are left out.

    Args:
        source: A folder, or `sample` for the recordings that ship with the package; or several of them.
        task: Keep only this task's plays. Recordings that do not say their task are kept.
        size: Size of the policy's input frame.
        drop_null: Leave out frames without any action. This is decided after quantisation: a mouse
            movement too small for the camera's bins does not count. A frame with ESC stays.
            Frames of a recording whose expert has no answer for them are always left out.
        labels: `corrected`, or `legacy` as the published loaders made them.
        cache_gb: Largest size, in gigabytes, of decoded frames to keep on disk. If all episodes need
            more, videos are decoded as they are read.
        jobs: Number of processes that parse recorder lines which are not in the cache yet.

    Raises:
        RecordingError: A recording is damaged, or the folder holds none.
        ConfigError: No recording is of this task, one was played on an official evaluation seed, or
            all frames are null.
    """
    folders = [data_folder(one) for one in ([source] if isinstance(source, str | Path) else source)]
    folder = ", ".join(map(str, folders))
    plays = []
    for play in (play for one in folders for play in find_plays(one)):
        meta = play.parts[0].meta
        if task and play.task not in (None, task.name):
            continue
        if task and meta:
            refuse_test_seeds(task, [meta.seed], f"training on {play.parts[0].stem}")
        plays.append(play)
    try:
        prepare_step_tables(plays, labels, jobs=jobs)
        episodes = [_episode(play, size, drop_null, labels) for play in plays]
    except RecordingError as err:
        raise RecordingError(
            f"{err}; `basalt data validate {folder}` lists what is broken, and it is left out"
        ) from err
    episodes = [episode for episode in episodes if len(episode)]
    if not episodes:
        wanted = f"of task {task.name} " if task else ""
        raise ConfigError(f"data: {folder} holds no recording {wanted}with an action in it")
    frames = sum(int(episode.kept[-1]) + 1 for episode in episodes)
    if frames * math.prod(size.shape) <= cache_gb * 1e9:
        return [replace(e, source=CacheSource(e.play, size)) for e in episodes if e.play]
    return episodes


def _episode(play: Play, size: FrameSize, drop_null: bool, labels: LabelMode) -> Episode:
    steps = step_table(play, labels)
    keep = ~(steps["null"].to_numpy() & drop_null) | steps["esc"].to_numpy()
    keep &= steps["labelled"].to_numpy()
    columns = steps[["buttons", "camera", "esc"]][keep]
    return Episode(
        name=play.name,
        task=play.task,
        split_group=split_group_of(play),
        kept=np.flatnonzero(keep).astype(np.int32),
        buttons=columns["buttons"].to_numpy(),
        camera=columns["camera"].to_numpy(),
        esc=columns["esc"].to_numpy(),
        source=VideoSource(play, size),
        play=play,
    )


def split_episodes(
    episodes: Sequence[Episode], held_out: float, seed: int = 0
) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes; recordings of the same world stay on one side.

    The choice depends only on the split groups (task and seed) and `seed`, not on file names or order.

    Args:
        episodes: Episodes of at least two split groups, unless `held_out` is 0.
        held_out: Share of split groups to hold out; rounded up to at least one if above 0.
        seed: Seed of the choice.

    Raises:
        ConfigError: The share is not in [0, 1), or leaves one side empty.
    """
    test_groups = held_out_groups({episode.split_group for episode in episodes}, held_out, seed)
    train = [episode for episode in episodes if episode.split_group not in test_groups]
    test = [episode for episode in episodes if episode.split_group in test_groups]
    return train, test


def held_out_groups(groups: Collection[str], held_out: float, seed: int = 0) -> set[str]:
    """The split groups to hold out; the choice depends on the groups and `seed` only.

    Args:
        groups: At least two split groups, unless `held_out` is 0.
        held_out: Share of groups to hold out; rounded up to at least one if above 0.
        seed: Seed of the choice.

    Raises:
        ConfigError: The share is not in [0, 1), or leaves nothing.
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out: expected a share of at least 0 and below 1, got {held_out}")
    order = sorted(
        set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest()
    )
    count = math.ceil(held_out * len(order) - 1e-9)
    if count >= len(order):
        raise ConfigError(
            f"held_out: {held_out} of {len(order)} different world(s) leaves nothing to train on; "
            "add recordings or set held_out=0"
        )
    return set(order[:count])
