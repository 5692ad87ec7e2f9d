"""Settings of proximal policy optimisation."""

from typing import Annotated, Any

from pydantic import Field

from basalt.core.settings import Count, Float, Int, Natural, PathText, Positive, settings
from basalt.core.tasks import TRAIN_SEEDS
from basalt.io.errors import ConfigError

MAY_CHANGE = frozenset({"out", "iterations", "device", "progress"})
"""Settings that may differ when a run is resumed: they change nothing learned, or only how far."""


@settings
class PPOConfig:
    """Settings of proximal policy optimisation of a policy's heads against a reward model, in worlds side by side.

    The trunk is frozen, so the latents that were seen in play are those of training, and no memory is stale.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        init: Policy to start from: the trunk of the reward model. It has to stay where it is.
        reward: Run of `basalt train agent=reward` whose trunk is `init`.
        second: Run of a reward model of other answers: where its reward falls twice in a row, the run ends with the policy that
            it liked best. null for none.
        task: Task to play.
        iterations: Number of iterations of playing and learning.
        environments: Number of worlds side by side.
        steps: Number of steps in each world and iteration.
        max_steps: Number of steps after which an episode is cut.
        first_seed: First of the seeds to play, from 100000 to 199999 (train).
        seeds: Number of seeds to play.
        epochs: Number of passes over an iteration's steps.
        minibatch: Number of steps per optimizer step.
        lr: Learning rate of Adam at the first iteration; it falls linearly to 0.
        discount: Gamma.
        smoothing: Lambda of the advantage estimates.
        clip: Largest change of a step's chance that pays.
        value_weight: Weight of the value's loss.
        kl: Weight of the divergence from `init` at the first iteration.
        kl_target: Divergence in nats a frame to which the weight adapts; null keeps the weight.
        kl_horizon: Number of steps over which it adapts.
        kl_limit: Largest divergence from `init` in nats a frame; a run that passes it ends at the last iteration below it.
        step_limit: Divergence from the policy that played at which an iteration's passes stop.
        warmup: Largest number of iterations in which only the value learns, until it explains 30% of the returns.
        pessimism: Number of standard deviations over the ensemble that are taken off the reward of a step.
        gate: Whether states unlike the reward model's training frames get its lowest reward. false is for experiments only.
        seed: Seed of the actions, the seeds' order and the minibatches.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show a progress bar.
        world_name: Name of the world.
        world_args: Further arguments of its environment, as in `world.args`: {size: [128, 72]}; null for none.
    """

    out: PathText
    init: PathText = ""
    reward: PathText = ""
    second: PathText | None = None
    task: str = "find_cave"
    iterations: Count = 100
    environments: Count = 2
    steps: Count = 512
    max_steps: Count = 1_200
    first_seed: Annotated[Int, Field(ge=TRAIN_SEEDS.start, lt=TRAIN_SEEDS.stop)] = 180_000
    seeds: Count = 1_000
    epochs: Count = 3
    minibatch: Count = 256
    lr: Positive = 1e-4
    discount: Annotated[Float, Field(gt=0, le=1)] = 0.99
    smoothing: Annotated[Float, Field(ge=0, le=1)] = 0.95
    clip: Positive = 0.2
    value_weight: Positive = 0.5
    kl: Annotated[Float, Field(ge=0)] = 0.2
    kl_target: Positive | None = 0.03
    kl_horizon: Count = 10_000
    kl_limit: Positive = 0.5
    step_limit: Positive = 0.03
    warmup: Natural = 5
    pessimism: Annotated[float, Field(ge=0)] = 0.0
    gate: bool = True
    seed: Natural = 0
    device: str = "auto"
    progress: bool = True
    world_name: str = "luanti"
    world_args: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, what in (
            ("init", "a policy to start from"),
            ("reward", "a run of a reward model"),
        ):
            if not getattr(self, name):
                raise ConfigError(f"{name}: expected {what}; give {name}=RUN")
        if self.first_seed + self.seeds > TRAIN_SEEDS.stop:
            raise ConfigError(
                f"first_seed: expected at most {TRAIN_SEEDS.stop - self.seeds}, so that {self.seeds} seeds stay below "
                f"{TRAIN_SEEDS.stop}, where dev seeds begin; got {self.first_seed}"
            )
