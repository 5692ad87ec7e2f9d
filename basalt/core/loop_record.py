"""What a loop of feedback found in each round: `loop.json`, which needs no torch to be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from basalt.core.records import Record
from basalt.io.errors import ConfigError

FILE = "loop.json"

MAX_BYTES = 16 * 2**20
"""Larger files are not read."""

Share = Annotated[float, Field(ge=0, le=1)]


class LoopRound(BaseModel):
    """A round, and how the policy of its end plays. Round 0 is the start, which nothing was asked about.

    Attributes:
        number: Number of the round.
        run: Run of the policy of its end.
        labels: Number of answers so far.
        decided: Number of them that name a winner.
        accuracy: Held-out accuracy of the reward model; None in round 0.
        accuracy_interval: Its 95% bootstrap interval over worlds, where known.
        ceiling: The largest accuracy that a model can reach on these answers, where known.
        control: Largest accuracy of a control that sees no behaviour, such as brightness alone.
        proxy: What the round's reward model makes of the evaluation's episodes, against those of the start: see `against_start`.
            0 in round 0; None where the start's episodes are all worth the same.
        gold: Mean score of an episode by its telemetry, which nothing was trained on; None where it is not reported.
        divergence: Divergence of the policy from the start, in nats a frame.
        success: Share of the evaluation's episodes that succeed.
        success_interval: Its 95% interval.
        stop_rate: Share of the evaluation's episodes that the player ended by ESC.
        episodes: Number of the evaluation's episodes.
        seconds: Wall time of the round; less if it was resumed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: Annotated[int, Field(ge=0)]
    run: str
    labels: Annotated[int, Field(ge=0)]
    decided: Annotated[int, Field(ge=0)]
    accuracy: Share | None = None
    accuracy_interval: tuple[float, float] | None = None
    ceiling: float | None = None
    control: Share | None = None
    proxy: float | None = None
    gold: float | None = None
    divergence: Annotated[float, Field(ge=0)]
    success: Share
    success_interval: tuple[float, float]
    stop_rate: Share
    episodes: Annotated[int, Field(ge=1)]
    seconds: float


class LoopRecord(Record):
    """The rounds of a loop so far.

    Attributes:
        task: Name of the task.
        init: The start.
        improve: Name of the algorithm that improves the policy.
        teacher: Name of the synthetic teacher, or `people`.
        planned: Number of rounds that are planned.
        stage: What is being done, in words.
        ended: Why the loop ended before the last round; empty if it did not.
        rounds: The complete rounds, round 0 among them.
    """

    FORMAT: ClassVar[str] = "basalt-loop"

    task: str
    init: str
    improve: str
    teacher: str
    planned: int
    stage: str = ""
    ended: str = ""
    rounds: tuple[LoopRound, ...] = ()

    @property
    def run(self) -> str:
        """Run of the last good policy: that of the newest round, or the start."""
        return self.rounds[-1].run if self.rounds else self.init

    def lines(self) -> list[str]:
        """A table of the rounds in lines of text."""
        head = "round  labels  accuracy (ceiling)   proxy   gold    KL      ESC   success"
        return [head, *(_line(one) for one in self.rounds)]


def against_start(scores: Sequence[float], of_start: Sequence[float]) -> float | None:
    """How far the mean of some episodes' scores is above that of the start, in standard deviations of the start's episodes.

    This is Glass's delta. The zero and the unit of a reward model's scores mean nothing by themselves and differ from round to
    round; those of this figure are the start's in every round.

    Args:
        scores: Score of each episode.
        of_start: Score of each episode of the start, by the same reward model.

    Returns:
        None if the start's scores are all the same.
    """
    spread = float(np.std(of_start))
    return float(np.mean(scores) - np.mean(of_start)) / spread if spread > 0 else None


def _line(one: LoopRound) -> str:
    def text(value: float | None, spec: str) -> str:
        return "-" if value is None else format(value, spec)

    low, high = one.success_interval
    ceiling = text(one.ceiling, ".1%")
    cells = [
        (str(one.number), 7),
        (str(one.labels), 8),
        (f"{text(one.accuracy, '.1%')} ({ceiling})", 21),
        (text(one.proxy, "+.2f"), 8),
        (text(one.gold, "+.3f"), 8),
        (f"{one.divergence:.4f}", 8),
        (f"{one.stop_rate:.0%}", 6),
    ]
    return (
        "".join(f"{cell:<{width}}" for cell, width in cells)
        + f"{one.success:.0%} ({low:.0%} to {high:.0%})"
    )


def find_loops(root: Path, deepest: int) -> Iterator[tuple[Path, LoopRecord]]:
    """Loops below a folder, in order of path; those that cannot be read are skipped.

    Args:
        root: Folder to search.
        deepest: Largest depth below it.
    """
    files = (
        file for depth in range(deepest + 1) for file in root.glob("/".join(["*"] * depth + [FILE]))
    )
    for file in sorted(files):
        try:
            if file.stat().st_size <= MAX_BYTES:
                yield file.parent, LoopRecord.read(file)
        except (OSError, ConfigError):
            continue
