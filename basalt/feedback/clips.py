"""Clips of recordings, and pairs of them to ask about.

Clips have one length, since a sum over longer ones would teach length. Uniform clips begin at any step; event clips
show something that counts: the end before ESC, or a visible change. Pairs are of two episodes of the same world, on the
same seed where there is another episode of it, so that the scenery says nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from basalt.core.comparisons import Side
from basalt.core.published import data_folder
from basalt.core.recording import Recording, RecordingMeta, find_recordings
from basalt.core.scoring import can_score, visible_change
from basalt.core.tasks import Task, refuse_test_seeds
from basalt.core.tasks.visible import Changes
from basalt.core.telemetry import Telemetry
from basalt.io.console import progress_bar
from basalt.io.errors import RecordingError

BEFORE_ESC = 10
"""Steps before ESC that half of the clips of an end leave out, so that a picture of the end alone decides nothing."""

UNIFORM_SHARE = 0.2
"""Smallest share of pairs of uniform clips: the part of the answers to test on."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip, and what a viewer sees change in it.

    Attributes:
        side: Where it is.
        changes: Score of each of its steps, float64 [steps]; see `basalt.core.scoring.visible_change`.
    """

    side: Side
    changes: Changes


@dataclass(frozen=True, eq=False)
class ClippedEpisode:
    """An episode's clips to draw from.

    Attributes:
        recording: The recording.
        meta: Its metadata.
        starts: Number of steps at which a clip can begin.
        uniform: Clips that begin at random steps.
        events: Clips around its end and its visible changes.
    """

    recording: Recording
    meta: RecordingMeta
    starts: int
    uniform: tuple[Clip, ...]
    events: tuple[Clip, ...]


@dataclass(frozen=True, eq=False)
class ClipPair:
    """Two clips to compare.

    Attributes:
        left: Clip on the left.
        right: Clip on the right.
        kind: `uniform` or `event`: how its clips were drawn.
        chance: Chance to be among the pairs that are drawn; None for events, where it is not known.
    """

    left: Clip
    right: Clip
    kind: str
    chance: float | None = field(default=None)


def load_clips(
    folders: Sequence[str | Path],
    task: Task,
    length: int,
    per_episode: int,
    rng: np.random.Generator,
    *,
    scored: bool = True,
    progress: bool = True,
) -> list[ClippedEpisode]:
    """Draw clips of all episodes in folders that are long enough.

    Args:
        folders: Folders of recordings of the task.
        task: The task.
        length: Length of each clip in steps.
        per_episode: Number of uniform clips of each episode, and largest number of event clips.
        rng: Source of the draws.
        scored: Whether telemetry has to show what changes, as a synthetic teacher needs; for people it may be unknown,
            and then the end before ESC is the only event.
        progress: Whether to show a progress bar.

    Raises:
        RecordingError: A folder is missing, or fewer than two episodes can be used.
        ConfigError: An episode is on a seed kept for testing, or its telemetry does not show success though it has to.
    """
    recordings = [one for folder in folders for one in find_recordings(data_folder(folder))]
    usable = _usable(recordings, task, length)
    refuse_test_seeds(task, (meta.seed for _, meta in usable), "learning from feedback")
    bar = progress_bar(usable, title="clips", unit="episode", shown=progress)
    return [_clipped(one, meta, task, length, per_episode, rng, scored) for one, meta in bar]


def _usable(
    recordings: Sequence[Recording], task: Task, length: int
) -> list[tuple[Recording, RecordingMeta]]:
    found: dict[str, tuple[Recording, RecordingMeta]] = {}
    worlds = set()
    for one in recordings:
        meta = one.meta
        if meta is None or meta.task != task.name or meta.ended == "crash" or meta.steps < length:
            continue
        worlds.add((meta.world, meta.world_version))
        found.setdefault(meta.video_sha256, (one, meta))
    if len(worlds) > 1:
        names = ", ".join(sorted(" ".join(world) for world in worlds))
        raise RecordingError(
            f"recordings: expected recordings of one world and version, got {names}; use folders of one of them"
        )
    if len(found) < 2:
        raise RecordingError(
            f"recordings: expected at least two recordings of {task.name} with {length} steps or more, got {len(found)} "
            f"of {len(recordings)}; use more recordings or a smaller clip="
        )
    return list(found.values())


def _clipped(
    recording: Recording,
    meta: RecordingMeta,
    task: Task,
    length: int,
    per_episode: int,
    rng: np.random.Generator,
    scored: bool,
) -> ClippedEpisode:
    states = recording.telemetry()
    starts = len(states) - length

    def changes(stretch: Sequence[Telemetry]) -> Changes:
        if scored or (task.visible_change is not None and can_score(task, states)):
            return visible_change(task, stretch)
        return np.zeros(len(stretch) - 1)

    def clip(start: int) -> Clip:
        side = Side(meta.player, meta.seed, meta.video_sha256, start, start + length)
        return Clip(side, changes(states[start : start + length + 1]))

    begin = np.unique(_event_starts(changes(states), meta.ended, length, rng))
    events = rng.permutation(begin)[:per_episode]
    uniform = rng.integers(starts, size=per_episode)
    return ClippedEpisode(
        Recording(recording.stem, meta),  # without the lines, which would fill the memory
        meta,
        starts,
        tuple(clip(int(start)) for start in uniform),
        tuple(clip(int(start)) for start in events),
    )


def _event_starts(changes: Changes, ended: str, length: int, rng: np.random.Generator) -> list[int]:
    """First steps of clips that show each visible change somewhere, and of one that shows the end before ESC."""
    latest = len(changes) - length
    found = [
        int(np.clip(step - rng.integers(length), 0, latest)) for step in np.flatnonzero(changes)
    ]
    if ended == "esc":
        found.append(max(0, latest - int(rng.integers(2)) * BEFORE_ESC))
    return found


def draw_pairs(
    episodes: Sequence[ClippedEpisode],
    count: int,
    rng: np.random.Generator,
    *,
    uniform_share: float = 0.5,
) -> list[ClipPair]:
    """Draw pairs of clips, in random order and with random sides.

    Args:
        episodes: Episodes with clips to draw from.
        count: Number of pairs.
        rng: Source of the draws.
        uniform_share: Share of pairs of uniform clips, at least `UNIFORM_SHARE`; in the others one clip shows an
            event where its episode has one, and half of the time the other one does, too.
    """
    by_seed: dict[int, list[int]] = defaultdict(list)
    for n, one in enumerate(episodes):
        by_seed[one.meta.seed].append(n)
    partners = [
        [m for m in by_seed[one.meta.seed] if m != n] or [m for m in range(len(episodes)) if m != n]
        for n, one in enumerate(episodes)
    ]
    uniform = int(np.ceil(max(uniform_share, UNIFORM_SHARE) * count))
    pairs = []
    for number in range(count):
        i = int(rng.integers(len(episodes)))
        j = int(rng.choice(partners[i]))
        if number < uniform:
            clips = [_any(episodes[n].uniform, rng) for n in (i, j)]
            # Either episode may have been drawn first, and a clip begins at any of its steps.
            once = sum(int(b in partners[a]) / len(partners[a]) for a, b in ((i, j), (j, i)))
            starts = episodes[i].starts * episodes[j].starts
            chance = min(1.0, uniform * once / len(episodes) / starts)
            pairs.append(ClipPair(clips[0], clips[1], "uniform", chance))
        else:
            # Two events are often equally good, which is a draw and teaches little.
            other = episodes[j].events if rng.random() < 0.5 else ()
            clips = [
                _any(events or episodes[n].uniform, rng)
                for n, events in ((i, episodes[i].events), (j, other))
            ]
            pairs.append(ClipPair(clips[0], clips[1], "event"))
    sides = rng.random(count) < 0.5
    return [
        pairs[n] if sides[n] else ClipPair(pairs[n].right, pairs[n].left, pairs[n].kind, pairs[n].chance)
        for n in rng.permutation(count)
    ]  # fmt: skip


def _any(clips: Sequence[Clip], rng: np.random.Generator) -> Clip:
    return clips[int(rng.integers(len(clips)))]
