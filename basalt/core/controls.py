"""Controls: how well answers are predicted without looking at what was done.

Each control is one number of a clip, such as its length. Whether more or less of it wins is read from one half of the
pairs and tested on the other half, both ways, so that a number that says nothing comes out at 50%.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import av
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from basalt.core.comparisons import Comparison, Side
from basalt.core.intervals import rate_interval
from basalt.core.key_frames import open_video
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import RecordingError


class Control(BaseModel):
    """How well one number alone predicts answers.

    Attributes:
        name: What it is, as in "length alone".
        accuracy: Share of decided pairs that it predicts, a pair of equal numbers counts half; 0.5 if there are none.
        interval: 95% Wilson interval of the accuracy.
        pairs: Number of decided pairs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    accuracy: Annotated[float, Field(ge=0, le=1)]
    interval: tuple[float, float]
    pairs: Annotated[int, Field(ge=0)]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.name} alone: {self.accuracy:.1%} of {self.pairs} (95% {low:.1%} to {high:.1%})"
        )


def controls(
    comparisons: Sequence[Comparison], brightness: Mapping[Side, float] | None = None
) -> list[Control]:
    """Controls of the decided pairs among comparisons: length, start, seed and, where it is known, brightness.

    Args:
        comparisons: Comparisons of clips.
        brightness: Mean brightness of each clip; see `clip_brightness`.
    """
    decided = [one for one in comparisons if one.winner in ("left", "right") and not one.is_check]
    left_won = np.array([one.winner == "left" for one in decided], dtype=bool)

    def of(name: str, number: Mapping[Side, float]) -> Control:
        sides = [[number[side] for side in (one.left, one.right)] for one in decided]
        differences = np.array(sides, dtype=float).reshape(-1, 2)
        return control(name, differences[:, 0] - differences[:, 1], left_won)

    every = {side for one in decided for side in (one.left, one.right)}
    length = {side: float((side.stop or 0) - (side.start or 0)) for side in every}
    start = {side: float(side.start or 0) for side in every}
    found = [of("length", length), of("start", start)]
    if brightness is not None:
        found.append(of("brightness", brightness))
    return [*found, balance_control("seed", decided, lambda side: side.seed)]


def control(name: str, differences: ArrayLike, left_won: ArrayLike) -> Control:
    """How well the sign of a difference predicts which side won.

    Args:
        name: What the difference is of.
        differences: Number of the left clip minus that of the right one, float [pairs].
        left_won: Whether left won, bool [pairs].
    """
    signs = np.sign(np.asarray(differences, dtype=float))
    won = np.where(np.asarray(left_won, dtype=bool), 1.0, -1.0)
    return _halves(name, len(won), lambda learn: signs * np.sign((signs * won)[learn].sum()), won)


def balance_control(
    name: str, decided: Sequence[Comparison], group: Callable[[Side], Hashable]
) -> Control:
    """How well groups of clips predict which side won: the one whose clips won more often in the other half.

    Args:
        name: What the groups are.
        decided: Comparisons with a winner.
        group: Group of a clip, such as its seed or its player.
    """
    won = np.array([1.0 if one.winner == "left" else -1.0 for one in decided])

    def predict(learn: NDArray[np.bool_]) -> NDArray[np.float64]:
        balance: dict[Hashable, float] = defaultdict(float)
        for one, vote, counts in zip(decided, won, learn, strict=True):
            if counts:
                balance[group(one.left)] += vote
                balance[group(one.right)] -= vote
        differences = [balance[group(one.left)] - balance[group(one.right)] for one in decided]
        signs: NDArray[np.float64] = np.sign(np.array(differences, dtype=float))
        return signs

    return _halves(name, len(decided), predict, won)


def _halves(
    name: str,
    count: int,
    predict: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    won: NDArray[np.float64],
) -> Control:
    """The control of a prediction (-1, 0 or 1 for each pair) that is learned from the pairs of a mask."""
    odd = np.arange(count) % 2 == 1
    hits = np.zeros(count)
    for learn in (odd, ~odd):
        hits[~learn] = (0.5 + 0.5 * predict(learn) * won)[~learn]
    total = float(hits.sum())
    low, high = rate_interval(round(total), count) if count else (0.0, 1.0)
    return Control(
        name=name, accuracy=total / count if count else 0.5, interval=(low, high), pairs=count
    )


def clip_brightness(video: Path, clips: Sequence[Side]) -> dict[Side, float]:
    """Mean brightness of clips, from 0 to 255, by the key frames in them (at least one a second).

    Args:
        video: Video of the episode.
        clips: Clips of it. One without a key frame has the brightness of the key frame before it.

    Raises:
        RecordingError: The file is not a video that can be read.
    """
    steps, values = [], []
    try:
        with open_video(video) as container:
            stream = container.streams.video[0]
            stream.codec_context.skip_frame = "NONKEY"
            for frame in container.decode(stream):
                steps.append(round(float(frame.time or 0.0) * STEPS_PER_SECOND))
                values.append(float(frame.to_ndarray(format="gray").mean()))
    except av.FFmpegError as err:
        raise RecordingError(f"{video}: not a video that can be read ({err})") from err
    if not steps:
        raise RecordingError(f"{video}: has no frames; record it again")
    at, mean = np.array(steps), np.array(values)
    found = {}
    for clip in clips:
        start, stop = clip.start or 0, clip.stop if clip.stop is not None else at[-1] + 1
        inside = (at >= start) & (at < stop)
        if not inside.any():
            inside[max(0, int(np.searchsorted(at, start, side="right")) - 1)] = True
        found[clip] = float(mean[inside].mean())
    return found
