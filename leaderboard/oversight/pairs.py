"""Pairs of recordings of which it is known which one is better, and how it is known."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from basalt.core.published import data_folder
from basalt.core.recording import find_recordings
from basalt.core.relevance import OVERALL
from basalt.core.scoring import outcome, telemetry_judge
from basalt.core.tasks import STEPS_PER_SECOND, Outcome, Task, refuse_test_seeds
from basalt.core.video import read_frames
from basalt.io.errors import ConfigError, RecordingError
from leaderboard.oversight.claims import Evidence, Side
from leaderboard.oversight.events import EventList, event_list
from leaderboard.oversight.messages import digest

Truth = Literal["success", "rank", "made"]
"""How it is known which recording is better.

`success`: by telemetry, exactly one of the two succeeded. `rank`: both or neither succeeded, and the telemetry judge
prefers one. `made`: one of the two is the other, cut before it succeeded. None of them is what people like.
"""


SHOWN_SIZE, SHOWN_QUALITY = (320, 180), 85
"""Width and height of frames that a model is shown, and their quality as JPEG."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two recordings of one task.

    Attributes:
        task: Name of the task.
        seed: Seed of the left recording's world; pairs of one seed are not independent.
        left: Evidence of the left recording.
        right: Evidence of the right recording.
        videos: SHA-256 of the left and the right recording's video.
        truth: The better side; None for a recording paired with itself.
        kind: How the truth is known.
        question: Question about the pair; empty for which player did better.
        paths: Videos of the left and the right recording; None where nobody looks at them.
        believed: What an expert's read-outs say of the left and the right recording; None without an expert.
    """

    task: str
    seed: int
    left: Evidence
    right: Evidence
    videos: tuple[str, str]
    truth: Side | None
    kind: Truth
    question: str = OVERALL
    paths: tuple[Path | None, Path | None] = (None, None)
    believed: tuple[Evidence, Evidence] | None = None

    @cached_property
    def key(self) -> str:
        """Digest of what the pair is: its videos, where they end, and the question."""
        sides = [
            [video, one.last, one.ended]
            for video, one in zip(self.videos, (self.left, self.right), strict=True)
        ]
        return digest([self.task, self.question, sides])

    @cached_property
    def lists(self) -> tuple[EventList, EventList]:
        """Event lists of both recordings."""
        return event_list(self.left), event_list(self.right)

    def evidence(self, side: Side) -> Evidence:
        """Evidence of a side."""
        return self.left if side == "left" else self.right

    def frame(self, side: Side, state: int) -> bytes:
        """A frame of a side as JPEG of 320x180 pixels.

        Raises:
            RecordingError: The video cannot be read, or has no such frame.
        """
        path = self.paths[side == "right"]
        if path is None:
            raise RecordingError("frames: expected a pair with videos, got one without")
        picture = next(read_frames(path, state, state + 1), None)
        if picture is None:
            raise RecordingError(f"{path}: expected a frame {state}, found fewer; record it again")
        return as_shown(picture)


def as_shown(picture: NDArray[np.uint8]) -> bytes:
    """A frame, uint8 [height, width, 3] RGB, as JPEG of 320x180 pixels."""
    small = cv2.resize(picture, SHOWN_SIZE, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, SHOWN_QUALITY]
    )
    return data.tobytes()


@dataclass(frozen=True, eq=False)
class Episode:
    """A recording with its outcome by telemetry, its video, and whether a person played."""

    video: str
    seed: int
    evidence: Evidence
    outcome: Outcome
    path: Path | None = None
    is_person: bool = False


@dataclass(frozen=True)
class Pairs:
    """Pairs with a strict truth.

    Attributes:
        pairs: The pairs.
        left_out: Number of candidates without one.
    """

    pairs: tuple[Pair, ...]
    left_out: int


def load_episodes(folders: Sequence[str], task: Task) -> list[Episode]:
    """Read the recordings of a task, each video once; crashed episodes are left out.

    Args:
        folders: Folders of recordings, or `sample`.
        task: The task.

    Raises:
        RecordingError: A folder or recording cannot be read, there are none of the task, or one has no telemetry.
        ConfigError: A seed is kept for testing, or telemetry does not show success.
    """
    found: dict[str, Episode] = {}
    worlds = set()
    for folder in folders:
        for one in find_recordings(data_folder(folder)):
            meta = one.meta
            if meta is None or meta.task != task.name or meta.ended == "crash":
                continue
            refuse_test_seeds(task, [meta.seed], "oversight")
            worlds.add(f"{meta.world} {meta.world_version}")
            evidence = Evidence(one.telemetry(), meta.ended)
            found[meta.video_sha256] = Episode(
                meta.video_sha256, meta.seed, evidence, outcome(task, evidence.states, meta.ended), one.video_path,
                meta.player_kind == "human",
            )  # fmt: skip
    if len(worlds) > 1:
        raise RecordingError(
            f"recordings: expected recordings of one world and version, got {', '.join(sorted(worlds))}; use folders of "
            "one of them"
        )
    if not found:
        raise RecordingError(
            f"recordings: expected recordings of {task.name}, found none in {', '.join(folders)}; use other folders"
        )
    return sorted(found.values(), key=lambda one: (one.seed, one.video))


def known_pairs(
    episodes: Sequence[Episode], task: Task, kind: Truth, cuts: Sequence[float] = ()
) -> Pairs:
    """Return all pairs whose truth is known in one way; chance, by the pair's digest, decides which side is which.

    Args:
        episodes: Episodes; of `success` and `rank`, those of one seed are paired.
        task: Their task.
        kind: How the truth is known.
        cuts: Seconds that are cut off the end of a successful episode to make its worse twin, for `made`.

    Raises:
        ConfigError: There is no pair.
    """
    candidates = list(_made(episodes, task, cuts) if kind == "made" else _met(episodes, task, kind))
    pairs = tuple(one for one in candidates if one is not None)
    if not pairs:
        wanted = {
            "success": "two recordings of one seed, of which one succeeded",
            "rank": "two recordings of one seed that both succeeded or both failed, unequally well",
            "made": "a recording that succeeded and is longer than the cut",
        }[kind]
        raise ConfigError(
            f"truth={kind}: expected {wanted}, found none among {len(episodes)}; use other recordings or another truth"
        )
    return Pairs(pairs, len(candidates) - len(pairs))


def _met(episodes: Sequence[Episode], task: Task, kind: Truth) -> Iterator[Pair | None]:
    by_seed: dict[int, list[Episode]] = defaultdict(list)
    for one in episodes:
        by_seed[one.seed].append(one)
    for two in (two for same in by_seed.values() for two in combinations(same, 2)):
        winner = telemetry_judge(two[0].outcome, two[1].outcome).winner
        is_strict = two[0].outcome.success != two[1].outcome.success
        if winner == "draw" or is_strict != (kind == "success"):
            yield None
            continue
        better, worse = two if winner == "left" else two[::-1]
        yield _pair(task, kind, better, worse)


def _made(episodes: Sequence[Episode], task: Task, cuts: Sequence[float]) -> Iterator[Pair | None]:
    for one in episodes:
        for cut in cuts:
            steps = round(cut * STEPS_PER_SECOND)
            if not one.outcome.success or not 0 < steps < one.evidence.last:
                yield None
                continue
            shorter = Evidence(one.evidence.states[:-steps], "cut")
            result = outcome(task, shorter.states, shorter.ended)
            yield _pair(task, "made", one, Episode(one.video, one.seed, shorter, result, one.path))


def _pair(task: Task, kind: Truth, better: Episode, worse: Episode) -> Pair:
    mixed = digest([better.video, better.evidence.last, worse.video, worse.evidence.last])
    truth: Side = "left" if int(mixed, 16) % 2 else "right"
    left, right = (better, worse) if truth == "left" else (worse, better)
    return Pair(
        task=task.name,
        seed=left.seed,
        left=left.evidence,
        right=right.evidence,
        videos=(left.video, right.video),
        truth=truth,
        kind=kind,
        paths=(left.path, right.path),
    )
