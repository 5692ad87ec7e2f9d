"""What a loop of feedback found in each round: `loop.json`, which needs no torch to be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

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
        proxy: Mean reward of a step of the evaluation's episodes; None in round 0.
        proxy_of_start: The same reward model on the episodes of the start.
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
    proxy_of_start: float | None = None
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
        head = "round  labels  accuracy (ceiling)   proxy (start)     gold    KL      ESC   success"
        return [head, *(_line(one) for one in self.rounds)]


def _line(one: LoopRound) -> str:
    def text(value: float | None, spec: str) -> str:
        return "-" if value is None else format(value, spec)

    low, high = one.success_interval
    ceiling, start = text(one.ceiling, ".1%"), text(one.proxy_of_start, "+.3f")
    cells = [
        (str(one.number), 7),
        (str(one.labels), 8),
        (f"{text(one.accuracy, '.1%')} ({ceiling})", 21),
        (f"{text(one.proxy, '+.3f')} ({start})", 18),
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
