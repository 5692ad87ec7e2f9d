"""Episodes: plays as training data, chosen, labelled and split."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from basalt.core.actions import VPTActions
from basalt.core.tasks import TASKS, Task, refuse_official
from basalt.data.bedd import SHARED_IDS, Play, RecordingName, find_plays
from basalt.data.frames import FrameReader, decoded_frames
from basalt.data.labels import LabelMode
from basalt.data.steps import prepare_step_tables, step_table
from basalt.io.errors import ConfigError, RecordingError
from basalt.io.paths import sample_dir

DEFAULT_CACHE_GB = 2.0


@dataclass(frozen=True)
class Episode:
    """One play as training data; eight bytes a frame are in memory.

    Attributes:
        play: its recordings in order.
        kept: int32 [n], which frames of the play are used, in order.
        buttons: int16 [n], VPT index of each used frame; see `actions`.
        camera: int16 [n], likewise.
        esc: bool [n].
        size: (height, width) of the frames.
        cached: whether its frames are decoded into the cache folder once, or on the way each time.
    """

    play: Play
    kept: NDArray[np.int32]
    buttons: NDArray[np.int16]
    camera: NDArray[np.int16]
    esc: NDArray[np.bool_]
    size: tuple[int, int]
    cached: bool = True

    def __len__(self) -> int:
        return len(self.kept)

    def __getstate__(self) -> dict[str, Any]:
        # Workers map the frames themselves; a copy of them would travel as a whole.
        return {name: value for name, value in vars(self).items() if name != "frames"}

    @property
    def name(self) -> str:
        """The first recording's file name without suffix."""
        return self.play.name

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return (*self.size, 3)

    @property
    def frame_type(self) -> str:
        """Type of its numbers."""
        return "uint8"

    @property
    def actions(self) -> VPTActions:
        """VPT indices of the frames used."""
        return self.actions_between(0, len(self))

    def actions_between(self, start: int, stop: int) -> VPTActions:
        """VPT indices of the used frames start..stop."""
        buttons, camera = (x[start:stop].astype(np.int64) for x in (self.buttons, self.camera))
        return VPTActions(buttons, camera, self.esc[start:stop])

    @property
    def place(self) -> str:
        """What two plays share when they show the same ground.

        Task and seed where the recording says so; among BEDD's, the session, unless many players'
        carry its id.
        """
        meta = self.play.parts[0].meta
        if meta is not None:
            return f"{meta.task}:{meta.seed}"
        name = RecordingName.parse(self.name)
        if name is None or name.session_id in SHARED_IDS:
            return self.name
        return f"{self.play.task}:{name.session}"

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """uint8 [frames of the play, height, width, 3], memory-mapped from the cache folder."""
        return decoded_frames(self.play, self.size)

    def reader(self) -> FrameReader:
        """A reader of the play's frames at the episode's size."""
        return FrameReader(self.play, self.size)


def seed_of(place: str) -> int | None:
    """The world's seed in an episode's place; None where the recording did not say it."""
    task, _, seed = place.partition(":")
    return int(seed) if task in TASKS and seed.isdecimal() else None


def load_episodes(
    source: str | Path,
    *,
    task: Task | None = None,
    size: tuple[int, int] = (128, 128),
    drop_null: bool = False,
    labels: LabelMode = "mended",
    cache_gb: float = DEFAULT_CACHE_GB,
    jobs: int = 1,
) -> list[Episode]:
    """Episodes of a folder of recordings, in order of path. Frames are decoded when first used.

    Files of one play are one episode; what is quarantined, half there, or of a crashed world is left
    out.

    Args:
        source: a folder, or ``sample`` for the recordings that ship with the package.
        task: keep this task's plays only. Recordings that do not say their task are kept.
        size: (height, width) of the policy's picture.
        drop_null: leave out frames without any action. Judged after quantisation: a mouse movement
            too small for the camera's bins is no action. A frame with ESC stays.
        labels: ``mended``, or ``original`` as the published loaders made them.
        cache_gb: up to how many gigabytes of decoded frames are worth keeping on disk; where all
            episodes take more, videos are decoded as they are read.
        jobs: processes that read lines for the first time.

    Raises:
        RecordingError: a recording is damaged, or the folder holds none.
        ConfigError: none is of this task, one was played on an official evaluation seed, or all
            frames are null.
    """
    folder = sample_dir() if source == "sample" else Path(source)
    plays = []
    for play in find_plays(folder):
        meta = play.parts[0].meta
        if task and play.task not in (None, task.name):
            continue
        if task and meta:
            refuse_official(task, [meta.seed], f"training on {play.parts[0].stem}")
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
    cached = frames * size[0] * size[1] * 3 <= cache_gb * 1e9
    return [replace(episode, cached=cached) for episode in episodes]


def _episode(play: Play, size: tuple[int, int], drop_null: bool, labels: LabelMode) -> Episode:
    steps = step_table(play, labels)
    keep = ~(steps["null"].to_numpy() & drop_null) | steps["esc"].to_numpy()
    columns = steps[["buttons", "camera", "esc"]][keep]
    return Episode(
        play=play,
        kept=np.flatnonzero(keep).astype(np.int32),
        buttons=columns["buttons"].to_numpy(),
        camera=columns["camera"].to_numpy(),
        esc=columns["esc"].to_numpy(),
        size=size,
    )


def split_episodes(
    episodes: Sequence[Episode], held_out: float, seed: int = 0
) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes, by place: recordings of the same ground stay together.

    The choice depends on task, seed and `seed` only, neither on file names nor on their order.

    Args:
        episodes: at least two places, unless `held_out` is 0.
        held_out: share of places to hold out, at least one if above 0.
        seed: another number gives another split.

    Raises:
        ConfigError: the share is not in 0..1 or leaves one side empty.
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out: {held_out} is not a share from 0 to below 1")
    places = sorted(
        {episode.place for episode in episodes},
        key=lambda place: hashlib.sha256(f"{seed}:{place}".encode()).digest(),
    )
    count = math.ceil(held_out * len(places) - 1e-9)
    if count >= len(places):
        raise ConfigError(
            f"held_out: {held_out} of {len(places)} place(s) leaves nothing to train on; "
            "add recordings or set held_out=0"
        )
    test_places = set(places[:count])
    train = [episode for episode in episodes if episode.place not in test_places]
    test = [episode for episode in episodes if episode.place in test_places]
    return train, test
