"""A weak judge that learned: a linear head on a few key frames, and what claims add to it.

Its eyes are 16x9 pixels a frame. For each recording it adds up a score of the last frame and one of the mean of the other
key frames; the difference of two recordings' scores is its log-odds. So it has no preference for a place: shown in the
other order, a pair gets the opposite answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from basalt.core.intervals import rate_interval
from basalt.core.records import Record
from basalt.core.settings import Count, Paths, PathText, Positive, settings
from basalt.core.tasks import Task, get_task
from basalt.core.video import read_frames
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError, RecordingError
from leaderboard.oversight.claims import SIDES
from leaderboard.oversight.events import key_steps
from leaderboard.oversight.judges import Bayes
from leaderboard.oversight.messages import NAMES, JudgeRequest, Name, Ruling
from leaderboard.oversight.pairs import Pair, Truth, as_shown, known_pairs, load_episodes
from leaderboard.oversight.players import Frames, name_with_settings
from leaderboard.ratings.newton import mode

EYES = (16, 9)
"""Width and height to which the judge shrinks a frame."""

PIXELS = EYES[0] * EYES[1] * 3

FOLDS = 5
"""Parts of the worlds; the head's scale is fitted to pairs of worlds that it was not trained on."""

Weights = Annotated[tuple[float, ...], Field(min_length=PIXELS, max_length=PIXELS)]


class Head(BaseModel):
    """A head for one number of key frames.

    Attributes:
        frames: Number of key frames of each recording.
        last: Weights of the last frame's pixels.
        others: Weights of the mean of the others.
        right: Pairs of worlds that it was not trained on, on which it was right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    frames: Annotated[int, Field(ge=1, le=64)]
    last: Weights
    others: Weights
    right: int

    def score(self, frames: Sequence[NDArray[np.float32]]) -> float:
        """Score of a recording.

        Args:
            frames: `see` of its key frames in order, float32 [PIXELS] each.
        """
        return float(_features(frames) @ np.array([*self.last, *self.others]))


class Look(Record):
    """What `basalt oversight learn` writes.

    Attributes:
        task: Task of the recordings.
        truth: How it was known which recording is better.
        seeds: Worlds that it has seen; pairs of these are refused.
        pairs: Number of pairs.
        heads: One for each number of frames.
    """

    FORMAT: ClassVar[str] = "basalt-look"

    task: str
    truth: Truth
    seeds: tuple[int, ...]
    pairs: int
    heads: Annotated[tuple[Head, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_one_head_of_a_kind(self) -> "Look":
        numbers = [one.frames for one in self.heads]
        if sorted(set(numbers)) != numbers:
            raise ValueError("expected heads for different numbers of frames, the fewest first")
        return self

    def refuse_seen(self, task: Task, pairs: Sequence[Pair]) -> None:
        """Refuse pairs of another task, or of worlds that it has seen.

        Raises:
            ConfigError: There is one.
        """
        if task.name != self.task:
            raise ConfigError(f"eyes: expected ones trained on {task.name}, got {self.task}")
        if seen := sorted({pair.seed for pair in pairs} & set(self.seeds)):
            raise ConfigError(
                f"eyes: expected ones that have not seen the worlds of these recordings, got ones trained on {len(seen)} of "
                f"them, such as {seen[0]}; train them on other recordings"
            )

    def lines(self) -> list[str]:
        """What it has learned, in lines of text."""
        lines = [f"{self.task}, truth={self.truth}: {self.pairs} pairs of {len(self.seeds)} worlds"]
        for one in self.heads:
            low, high = rate_interval(one.right, self.pairs)
            lines.append(
                f"{one.frames} frames: right in {one.right / self.pairs:.3f} ({low:.2f} to {high:.2f}) of the pairs of "
                "worlds left out"
            )
        return lines


def see(jpeg: bytes) -> NDArray[np.float32]:
    """A frame as the judge sees it, float32 [PIXELS] between -0.5 and 0.5.

    Raises:
        RecordingError: It is not a picture.
    """
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise RecordingError(
            "frames: expected a JPEG, got something else; record the episode again"
        )
    small = cv2.resize(picture, EYES, interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel() / 255 - 0.5, dtype=np.float32)


def _features(frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """The last frame, and the mean of the others (the last one where it is alone), float64 [2 * PIXELS]."""
    return np.concatenate([frames[-1], np.mean(frames[:-1] or frames, axis=0)]).astype(np.float64)


@dataclass(frozen=True)
class Learned:
    """Decides by its own look at the key frames, and by what the checks of claims add to it as for `Bayes`.

    Without frames it has no look. Of more frames than any of its heads was trained on, the head of the most is used.

    Attributes:
        look: What it has learned.
        bayes: How it takes claims.
        digest: First digits of the SHA-256 of the look's file.
    """

    look: Look
    bayes: Bayes
    digest: str = ""

    @property
    def name(self) -> str:
        """Name in records."""
        return f"{name_with_settings('learned', self.bayes)} look={self.digest}"

    def decide(self, request: JudgeRequest, frames: Frames) -> Ruling:
        """Return its answer.

        Raises:
            ConfigError: It was trained for more frames than it is shown.
        """
        if not request.frames:
            return self.bayes.decide(request)
        seen: dict[Name, list[NDArray[np.float32]]] = {name: [] for name in NAMES}
        for ref in request.frames:
            seen[ref.name].append(see(frames(ref)))
        shown = min(map(len, seen.values()))
        fitting = [one for one in self.look.heads if one.frames <= shown] or self.look.heads[:1]
        first, second = (fitting[-1].score(seen[name]) for name in NAMES)
        chance = round(1 / (1 + np.exp(np.clip(second - first, -30, 30))), 9)
        return self.bayes.decide(request.model_copy(update={"look": chance}))


@settings
class LearnConfig:
    """A linear head learns from key frames which of two recordings is better: the judge `learned` of `basalt oversight run`.

    Attributes:
        task: Task of the recordings.
        recordings: Folders of recordings on training seeds; those of the study have to be of other seeds.
        truth: How it is known which recording is better: success, rank or made.
        cuts: Seconds cut off a successful recording to make its worse twin, for made.
        frames: Numbers of key frames; one head each.
        weight_decay: L2 penalty on the weights.
        out: File of the heads.
        progress: Whether to show a progress bar.
    """

    task: str
    recordings: Annotated[Paths, Field(min_length=1)] = ("sample",)
    truth: Truth = "made"
    cuts: tuple[Positive, ...] = (3.0, 6.0)
    frames: Annotated[tuple[Annotated[Count, Field(le=64)], ...], Field(min_length=1)] = (1, 4, 8)
    weight_decay: Positive = 1.0
    out: PathText = "runs/oversight/look.json"
    progress: bool = True


def learn(config: LearnConfig) -> Look:
    """Train one head for each number of frames, and write them.

    Raises:
        ConfigError: A setting cannot be used, or there are pairs of fewer than `FOLDS` worlds.
        RecordingError: The recordings cannot be used.
        WriteError: The file cannot be written.
    """
    task = get_task(config.task)
    episodes = load_episodes(config.recordings, task)
    pairs = known_pairs(episodes, task, config.truth, config.cuts).pairs
    worlds = sorted({pair.seed for pair in pairs})
    if len(worlds) < FOLDS:
        raise ConfigError(
            f"recordings: expected pairs of {FOLDS} worlds or more, got {len(worlds)}; use more recordings"
        )
    numbers = tuple(sorted(set(config.frames)))
    seen = _seen(pairs, numbers, config.progress)
    left = np.array([pair.truth == "left" for pair in pairs])
    fold = np.array([worlds.index(pair.seed) % FOLDS for pair in pairs])
    heads = []
    for number in numbers:
        x = np.array([_difference(pair, number, seen) for pair in pairs])
        weights, right = _fitted(x, left, fold, config.weight_decay)
        last, others = np.split(weights, 2)
        heads.append(
            Head(
                frames=number, last=tuple(last.tolist()), others=tuple(others.tolist()), right=right
            )
        )
    look = Look(
        task=task.name, truth=config.truth, seeds=tuple(worlds), pairs=len(pairs), heads=tuple(heads)
    )  # fmt: skip
    look.write(Path(config.out))
    return look


Seen = dict[tuple[str, int], NDArray[np.float32]]
"""What the judge sees, by the SHA-256 of a video and the state."""


def _seen(pairs: Sequence[Pair], numbers: Sequence[int], progress: bool) -> Seen:
    """All key frames; each video is read once."""
    wanted: dict[str, tuple[Path, set[int]]] = {}
    for pair in pairs:
        for side, video, path in zip(SIDES, pair.videos, pair.paths, strict=True):
            assert path is not None, "recordings have videos"
            _, states = wanted.setdefault(video, (path, set()))
            for number in numbers:
                states.update(key_steps(pair.evidence(side).last, number))
    seen: Seen = {}
    for video, (path, states) in progress_bar(
        wanted.items(), title="look", unit="recording", shown=progress
    ):
        for state, picture in enumerate(read_frames(path, 0, max(states) + 1)):
            if state in states:
                seen[video, state] = see(as_shown(picture))
        if missing := [state for state in states if (video, state) not in seen]:
            raise RecordingError(
                f"{path}: expected a frame {max(missing)}, found fewer; record it again"
            )
    return seen


def _difference(pair: Pair, number: int, seen: Seen) -> NDArray[np.float64]:
    """Left's features less right's, float64 [2 * PIXELS]."""
    left, right = (
        _features([seen[video, state] for state in key_steps(pair.evidence(side).last, number)])
        for side, video in zip(SIDES, pair.videos, strict=True)
    )
    return left - right


def _fitted(
    x: NDArray[np.float64], left: NDArray[np.bool_], fold: NDArray[np.int64], weight_decay: float
) -> tuple[NDArray[np.float64], int]:
    """Weights whose score differences are calibrated log-odds, and how many pairs left out they are right on."""
    margins = np.zeros(len(x))
    for number in range(FOLDS):
        out = fold == number
        margins[out] = x[out] @ logistic(x[~out], left[~out], weight_decay)
    # One number, fitted to pairs of worlds that the weights have not seen: calibrated, and never of the other sign.
    scale = max(0.0, float(logistic(margins[:, None], left, 1e-3)[0]))
    right = int(((margins > 0) == left).sum())
    return scale * logistic(x, left, weight_decay), right


def logistic(
    x: NDArray[np.float64], positive: NDArray[np.bool_], weight_decay: float
) -> NDArray[np.float64]:
    """Weights of a logistic regression without intercept, float64 [d].

    Args:
        x: Features [n, d].
        positive: Labels, bool [n].
        weight_decay: L2 penalty on the weights; the sum of log losses has weight 1.
    """
    # In the span of the rows, which has at most n dimensions.
    _, singular, basis = np.linalg.svd(x, full_matrices=False)
    basis = basis[singular > 1e-9 * singular[0]]
    z, sign = x @ basis.T, np.where(positive, 1.0, -1.0)

    def density(
        point: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        margin = sign * (z @ point)
        wrong = 1 / (1 + np.exp(np.clip(margin, -500, 500)))
        value = -np.logaddexp(0, -margin).sum() - weight_decay * point @ point / 2
        gradient = z.T @ (sign * wrong) - weight_decay * point
        curvature = (z * (wrong * (1 - wrong))[:, None]).T @ z
        return float(value), gradient, curvature + weight_decay * np.eye(len(point))

    weights, _ = mode(density, np.zeros(z.shape[1]), "logistic regression")
    return np.asarray(weights @ basis)
