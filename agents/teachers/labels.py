"""What a synthetic teacher answered: the record beside its answers."""

from collections.abc import Mapping
from typing import ClassVar

from agents.teachers.teacher import Teacher
from basalt.core.comparisons import Winner
from basalt.core.controls import Control
from basalt.core.records import Record
from basalt.core.settings import Count

FILE, LABELS = "labels.json", "comparisons.parquet"
"""Files of a folder of labels: the record, and the answers."""


class LabelSet(Record):
    """What a synthetic teacher answered: `labels.json`.

    Attributes:
        task: Name of the task.
        world: World of the recordings.
        world_version: Version of that world.
        teacher_name: Name of the synthetic teacher.
        teacher: Its settings.
        recordings: Folders of recordings, as they were given.
        episodes: Number of episodes that clips were taken from.
        clip: Length of each clip in steps.
        uniform_share: Share of pairs of uniform clips.
        selector: Rule that chose the pairs.
        reward: Run of the reward model that chose; None with `uniform`.
        seed: Seed of the clips, the pairs and the errors.
        spread: Standard deviation of the difference of scores over random pairs, the unit of the errors.
        answers: Number of each answer.
        truth: Share of the teacher's decided answers that name the clip that scores more; pairs of equal scores are
            left out. The ceiling of any model's accuracy. None without such answers.
        controls: How well numbers that say nothing of the play predict the answers.
    """

    FORMAT: ClassVar[str] = "basalt-labels"

    task: str
    world: str
    world_version: str
    teacher_name: str
    teacher: Teacher
    recordings: tuple[str, ...]
    episodes: Count
    clip: Count
    uniform_share: float
    selector: str = "uniform"
    reward: str | None = None
    seed: int
    spread: float
    answers: Mapping[Winner, int]
    truth: float | None
    controls: tuple[Control, ...]

    def lines(self) -> list[str]:
        """The labels in lines of text."""
        counts = ", ".join(f"{count} {answer}" for answer, count in sorted(self.answers.items()))
        ceiling = "not known" if self.truth is None else f"{self.truth:.1%}"
        return [
            f"{sum(self.answers.values())} answers by the synthetic teacher {self.teacher_name!r} "
            f"({self.task}, {self.episodes} episodes, clips of {self.clip} steps): {counts}",
            f"right where one clip scores more: {ceiling}; spread of differences: {self.spread:.3f}",
            "controls, at 50% where they say nothing:",
            *(f"  {one}" for one in self.controls),
        ]
