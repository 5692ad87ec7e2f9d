"""What a reward model says of recordings: a folder of scores, which needs no torch to be read.

OUT/scores.json                 which model
OUT/episodes/VIDEO.json         an episode by the SHA-256 of its video
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from basalt.core.comparisons import VideoHash
from basalt.core.records import Record
from basalt.io.errors import ConfigError

SCORES, EPISODES = "scores.json", "episodes"
"""Names in a folder of scores: the record of the model, and the folder of episodes."""

MAX_STEPS = 1_000_000
"""Largest number of steps of an episode."""

MAX_BYTES = 128 * 2**20
"""Larger files are not read."""

PerStep = Annotated[tuple[float, ...], Field(max_length=MAX_STEPS)]


class RewardScores(Record):
    """Which reward model scored the recordings of a folder: `scores.json`.

    Attributes:
        reward: Where the model was.
        fingerprint: SHA-256 of its weights.
        task: Task of the answers that it learned from.
        question: Question that was answered; empty for "which did better?".
        synthetic: Whether the answers were those of a program.
    """

    FORMAT: ClassVar[str] = "basalt-reward-scores"

    reward: str
    fingerprint: str
    task: str
    question: str
    synthetic: bool


class EpisodeScores(Record):
    """Scores of the n steps of an episode.

    Attributes:
        episode: SHA-256 of the video.
        player: Name of the player.
        seed: Seed of the episode.
        reward: Reward of each step, in units of its spread over the model's training frames.
        spread: Standard deviation over the members of the ensemble.
        distance: Distance from the training frames; above 1 the model has not seen the like.
    """

    FORMAT: ClassVar[str] = "basalt-episode-scores"

    episode: VideoHash
    player: str
    seed: int
    reward: PerStep
    spread: PerStep
    distance: PerStep

    @model_validator(mode="after")
    def _equal_lengths(self) -> "EpisodeScores":
        if not len(self.reward) == len(self.spread) == len(self.distance):
            raise ValueError("expected reward, spread and distance of the same steps")
        return self

    @property
    def outside(self) -> float:
        """Share of the steps that are unlike the training frames; 0 without steps."""
        return sum(one > 1 for one in self.distance) / len(self.distance) if self.distance else 0.0


def scores_file(folder: Path, video: str) -> Path:
    """File of an episode's scores in a folder of scores."""
    return folder / EPISODES / f"{video}.json"


def read_scores(folder: Path, video: str) -> EpisodeScores | None:
    """An episode's scores in a folder of scores; None if it was not scored.

    Raises:
        ConfigError: The file is damaged.
    """
    file = scores_file(folder, video)
    if not file.is_file():
        return None
    if (size := file.stat().st_size) > MAX_BYTES:
        raise ConfigError(f"{file}: expected at most {MAX_BYTES} bytes, got {size}")
    return EpisodeScores.read(file)


def find_scores(root: Path, deepest: int) -> Iterator[tuple[Path, RewardScores]]:
    """Folders of scores below a folder, in order of path; those that cannot be read are skipped.

    Args:
        root: Folder to search.
        deepest: Largest depth below it.
    """
    files = (
        file
        for depth in range(deepest + 1)
        for file in root.glob("/".join(["*"] * depth + [SCORES]))
    )
    for file in sorted(files):
        try:
            yield file.parent, RewardScores.read(file)
        except ConfigError:
            continue
