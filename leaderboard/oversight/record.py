"""What a run's folder says about itself."""

from typing import ClassVar, Literal

from basalt.core.records import Record
from leaderboard.oversight.pairs import Truth

FILE = "oversight.json"
"""Name of the record in a run's folder."""

ArmName = Literal[
    "floor", "ceiling", "consultancy", "open_consultancy", "double_consultancy", "debate", "open_debate",
]  # fmt: skip
"""A form of protocol; `floor` and `ceiling` are direct judging with the judge's frames, or with everything."""


class OversightRun(Record):
    """What a run's folder was made with; fields as of `leaderboard.oversight.run.RunConfig`, and the number of pairs without a strict truth."""

    FORMAT: ClassVar[str] = "basalt-oversight-run"

    task: str
    recordings: tuple[str, ...]
    truth: tuple[Truth, ...]
    cuts: tuple[float, ...]
    arms: tuple[ArmName, ...]
    judges: tuple[str, ...]
    endpoint: str | None = None
    model: str | None = None
    honest: str
    dishonest: str
    eyes: str | None = None
    expert: str | None = None
    expected_true: tuple[float, float] | None = None
    look: float | None
    rounds: int
    claims: int
    words: int
    checked: float
    prose: bool
    frames: int
    repeats: int
    seed: int
    left_out: dict[Truth, int]
