"""Settings of a loop of feedback."""

from typing import Annotated, Any

from pydantic import Field

from agents.teachers.teacher import TEACHERS
from basalt.core.settings import (
    Count,
    Natural,
    PathText,
    Positive,
    settings,
    unknown_option,
)
from basalt.core.tasks import TRAIN_SEEDS
from basalt.feedback.label import LONGEST_CLIP
from basalt.feedback.selectors import Selector
from basalt.io.errors import ConfigError

PEOPLE = "people"
"""Value of `teacher` with which people answer."""

IMPROVERS = ("awr", "best_of_n", "cpl", "filtered_bc", "ppo", "steer_vector")
"""Algorithms that improve a policy by answers or by a reward model."""

MAY_CHANGE = frozenset(
    {"rounds", "device", "jobs", "progress", "minimum", "deadline", "poll", "address"}
)
"""Settings that may differ when a loop is resumed: they change nothing learned, or only how far."""


@settings
class LoopConfig:
    """A policy plays, clips of its episodes are compared, a reward model is fitted, and the policy improves, round by round.

    Every round learns from the start again, with all answers and episodes so far.

    Attributes:
        task: Task to play.
        init: Policy to start from: a run. It has to stay where it is.
        out: Folder of the loop. The same command resumes it, wherever it was stopped.
        rounds: Number of rounds.
        teacher: Who answers: a synthetic teacher (oracle, mistake, noisy, equal, skip, myopic or mixed), or people.
        improve: Algorithm that improves the policy: cpl, awr, steer_vector, ppo, filtered_bc or best_of_n.
        improve_args: Further settings of it, as in `basalt train`: {steps: 300}; null for none.
        reward_args: Further settings of the reward model, as in `basalt train agent=reward`: {model: linear}; null for none.
        stop: Run of a stopping head that ends the episodes, or null.
        temperature: Divisor of the logits that the policy's actions are sampled from when it plays.
        seeds: Number of seeds that are played in a round, each round's own.
        plays: Number of episodes on each seed, so that clips of one seed can be compared.
        first_seed: First of these seeds, from 100000 to 199999 (train).
        evaluation: Seeds that each round's policy is evaluated on, such as dev:30.
        max_steps: Number of steps after which an episode is cut.
        answers: Number of pairs that are asked about in a round.
        clip: Length of each clip in steps of 50 ms.
        selector: Rule that chooses the pairs from round 2 on: uniform, or disagreement, entropy or k_center of the last reward
            model.
        kl_limit: Largest divergence of a policy from the start, in nats a frame; beyond it the loop ends with the policy before.
        least: Smallest number of decided answers that a round may learn from.
        minimum: With people, number of new answers at which a round continues; null for all that were asked.
        deadline: With people, minutes after which a round continues with the answers so far; null for none.
        poll: With people, seconds between two looks for answers.
        store: With people, the leaderboard that `basalt ui` serves, a file or a database URL; null for the default one.
        study: With people, name of the study; null for the task's name and `clips`.
        address: With people, address of the app, which is printed.
        world_name: Name of the world.
        world_args: Further arguments of its environment, as in `world.args`: {render_every: 1}; null for none.
        jobs: Number of processes that play, each with a world of its own.
        seed: Seed of everything that is drawn.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show progress bars.
    """

    task: str
    init: PathText
    out: PathText = "runs/loops/${task.name}/${improve}"
    rounds: Count = 3
    teacher: str = "mixed"
    improve: str = "cpl"
    improve_args: dict[str, Any] | None = None
    reward_args: dict[str, Any] | None = None
    stop: PathText | None = None
    temperature: Positive = 1.0
    seeds: Count = 20
    plays: Annotated[int, Field(ge=2, le=100)] = 2
    first_seed: Annotated[int, Field(ge=TRAIN_SEEDS.start, lt=TRAIN_SEEDS.stop)] = 160_000
    evaluation: str | int | list[int] = "dev:30"
    max_steps: Count = 1_800
    answers: Annotated[int, Field(ge=1, le=100_000)] = 500
    clip: Annotated[int, Field(ge=2, le=LONGEST_CLIP)] = 128
    selector: Selector = "uniform"
    kl_limit: Positive = 0.5
    least: Count = 20
    minimum: Count | None = None
    deadline: Positive | None = None
    poll: Positive = 5.0
    store: str | None = None
    study: str | None = None
    address: str = "http://127.0.0.1:8501"
    world_name: str = "luanti"
    world_args: dict[str, Any] | None = None
    jobs: Count = 1
    seed: Natural = 0
    device: str = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.teacher != PEOPLE and self.teacher not in TEACHERS:
            raise ConfigError(unknown_option("teacher", self.teacher, [*TEACHERS, PEOPLE]))
        if self.improve not in IMPROVERS:
            raise ConfigError(unknown_option("improve", self.improve, list(IMPROVERS)))
        stop = self.first_seed + self.rounds * self.seeds
        if stop > TRAIN_SEEDS.stop:
            raise ConfigError(
                f"first_seed: expected at most {self.first_seed + TRAIN_SEEDS.stop - stop}, so that {self.rounds} rounds of "
                f"{self.seeds} seeds stay below {TRAIN_SEEDS.stop}, where dev seeds begin; got {self.first_seed}"
            )

    def seeds_of(self, number: int) -> range:
        """Seeds that are played in a round; no round has one of another's."""
        first = self.first_seed + (number - 1) * self.seeds
        return range(first, first + self.seeds)
